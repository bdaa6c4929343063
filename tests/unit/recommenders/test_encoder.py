"""The history encoders in NumPy: what Keras's formulas give by hand, and that nothing later is seen."""

import numpy as np
import pytest

from lamella.recommenders.encoder import Encoder

K = 3


def encoder_of(kind: str) -> Encoder:
    rng = np.random.default_rng(8)

    def draw(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    weights = {
        "gru": (draw(K, 3 * K), draw(K, 3 * K), draw(2, 3 * K)),
        "lstm": (draw(K, 4 * K), draw(K, 4 * K), draw(4 * K)),
        "cnn": (draw(3, K, K), draw(K), draw(3, K, K), draw(K)),
    }[kind]
    return Encoder(kind=kind, length=5, weights=weights, taste=draw(K, K), dilations=(1, 2) if kind == "cnn" else ())


@pytest.mark.parametrize("kind", ["gru", "lstm", "cnn"])
def test_a_state_depends_on_nothing_that_was_read_later(kind: str) -> None:
    encoder, vectors = encoder_of(kind), np.random.default_rng(1).normal(size=(1, 5, K)).astype(np.float32)
    whole = encoder.states(vectors)
    for count in range(1, 6):
        assert encoder.encode(vectors[0, :count]) == pytest.approx(whole[0, count - 1], abs=1e-6)


@pytest.mark.parametrize("kind", ["gru", "lstm", "cnn"])
def test_without_a_read_the_taste_is_zero_and_only_the_last_reads_count(kind: str) -> None:
    encoder, vectors = encoder_of(kind), np.random.default_rng(1).normal(size=(9, K)).astype(np.float32)
    assert not encoder.encode(vectors[:0]).any()
    assert (encoder.encode(vectors) == encoder.encode(vectors[-5:])).all()
    assert not encoder.faults(K)
    assert encoder.faults(K + 1)


@pytest.mark.parametrize("kind", ["gru", "lstm", "cnn"])
def test_it_is_the_layer_of_keras(kind: str) -> None:
    from lamella.recommenders.keras_runtime import start

    layers = start(1).keras.layers
    encoder, vectors = encoder_of(kind), np.random.default_rng(1).normal(size=(4, 5, K)).astype(np.float32)
    if kind == "cnn":
        wanted = vectors
        for at, dilation in enumerate((1, 2)):
            layer = layers.Conv1D(K, 3, padding="causal", dilation_rate=dilation, activation="relu")
            layer.build(wanted.shape)
            layer.set_weights(list(encoder.weights[2 * at : 2 * at + 2]))
            wanted = wanted + np.asarray(layer(wanted))
    else:
        layer = {"gru": layers.GRU, "lstm": layers.LSTM}[kind](K, return_sequences=True)
        layer.build(vectors.shape)
        layer.set_weights(list(encoder.weights))
        wanted = np.asarray(layer(vectors))
    assert encoder.states(vectors) == pytest.approx(wanted @ encoder.taste, abs=1e-5)
