"""TextCNN: an item's vector and bias come from the words of its headline, in Keras."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lamella.recommenders.artifact import FactorModel, centred
from lamella.recommenders.dataset import MAX_RANK, Dataset, Impressions
from lamella.recommenders.evaluation import impression_logits
from lamella.recommenders.hyperparameters import Hyperparameters, integer, number
from lamella.recommenders.keras_runtime import (
    Network,
    Runtime,
    Tensor,
    Variable,
    embedding,
    normal_penalty,
    saved,
    start,
    values,
)
from lamella.recommenders.kind import Fitted, Kind, Progress, Weights
from lamella.recommenders.learning import Batch, Course, Curve, learn, packed
from lamella.recommenders.priors import Priors, priors_of, residual_biases
from lamella.recommenders.probing import probe_error, probe_pairs
from lamella.recommenders.vocabulary import Vocabulary

_WIDTHS: Final = 3
_CHUNK: Final = 1024
_TABLE_PACE: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TextCnnHyperparameters(Hyperparameters):
    """See `lamella.recommenders.hyperparameters`; here `batch_size` counts items, with all their impressions.

    `word_size` is the length of a word's vector, `filters` the number of convolutions of each width, `title_words`
    how many words of a headline are read, `vocabulary_size` how many different words are known. `shortest_phrase` is
    the least width of the convolutions; the others are one and two words wider. `text_reg` is the precision of the
    prior of the words' vectors and the convolutions' weights; at 0 dropout and early stopping alone hold them.
    """

    embedding_size: int = integer(16, 1, 512)
    epochs: int = integer(30, 1, 1000)
    learning_rate: float = number(0.001, 1e-6, 1.0)
    reg: float = number(6.0, 0.0, 1e6)
    batch_size: int = integer(256, 1, 1_000_000)
    dropout: float = number(0.5, 0.0, 0.95)
    word_size: int = integer(32, 1, 512)
    filters: int = integer(32, 1, 1024)
    title_words: int = integer(24, 4, 512)
    vocabulary_size: int = integer(10_000, 1, 1_000_000)
    shortest_phrase: int = integer(2, 1, 2)
    text_reg: float = number(0.0, 0.0, 1e6)


class _Networks(NamedTuple):
    """`chance` is the whole network, and is saved; the others share its layers. `tables` are by name.

    `encoder` maps tokens (n, title_words) to vectors (n, k) and biases (n, 1); `match` maps users, items, ranks,
    vectors and biases to logits.
    """

    chance: Network
    encoder: Network
    match: Network
    tables: Mapping[str, Variable]


def fit(dataset: Dataset, chosen: TextCnnHyperparameters, seed: int, progress: Progress) -> Fitted:
    """The network that minimises log loss on the training part, stopped early on the validation part.

    sigmoid(c_rank + b_u + r_i + b(text_i) + p_u · q(text_i)). q and b are read off the headline, so that an item that
    nobody was shown is placed by its words. r_i, what the words do not explain of a shown item, is solved for when
    the network is trained: before that r_i is 0, so that the words must explain what they can. Each batch holds
    all impressions of some items, so that a headline is encoded once an epoch. Source: Kim (2014) for the encoder.
    """
    progress(0.0, "starting TensorFlow")
    runtime, priors = start(seed), priors_of(dataset)
    vocabulary = Vocabulary.of(dataset.titles, most=chosen.vocabulary_size)
    tokens = vocabulary.encode(dataset.titles, length=chosen.title_words)
    networks = _build(runtime, dataset, chosen, len(vocabulary))
    networks.tables["rank_bias"].assign(priors.rank_bias[:, None])
    precisions = {"user_vectors": chosen.reg, "user_bias": priors.user_precision}
    variables = dict(networks.tables)
    if chosen.text_reg:
        kernels = {each.path: each for each in networks.encoder.trainable_variables if not each.path.endswith("bias")}
        variables, precisions = variables | kernels, precisions | dict.fromkeys(kernels, chosen.text_reg)
    course = Course(
        network=networks.chance,
        tables=[networks.tables[name] for name in ("user_vectors", "user_bias", "rank_bias")],
        table_pace=_TABLE_PACE,
        logits=lambda inputs, training: _logits(runtime, networks, inputs, is_training=training),
        penalty=lambda: normal_penalty(runtime, variables, precisions),
        impressions=len(dataset.training),
        training_batches=lambda rng: item_batches(dataset.training, tokens, chosen.batch_size, rng),
        validation_batches=lambda: item_batches(dataset.validation, tokens, _CHUNK, None),
    )
    rng = np.random.default_rng(seed)
    curve = learn(runtime, course, epochs=chosen.epochs, learning_rate=chosen.learning_rate, rng=rng, progress=progress)
    networks.tables["item_residual"].assign(_residuals(dataset, _compile(dataset, networks, tokens), priors)[:, None])
    return _fitted(networks, dataset, tokens, vocabulary, rng=rng, curve=curve)


def _fitted(
    networks: _Networks,
    dataset: Dataset,
    tokens: NDArray[np.int32],
    vocabulary: Vocabulary,
    *,
    rng: np.random.Generator,
    curve: Curve | None,
) -> Fitted:
    factors = _compile(dataset, networks, tokens)
    users, items = probe_pairs(dataset, rng)
    first = np.zeros(len(users), dtype=np.int32)
    chances = networks.chance.predict_on_batch([users, items, first, tokens[items]])
    error = probe_error(factors, dataset, users, items, chances)
    files = {
        "model.keras": saved(networks.chance),
        "vocabulary.json": json.dumps(vocabulary.words).encode(),
        **packed(curve),
    }
    return Fitted(factors=factors, files=files, probe_error=error)


def restore(dataset: Dataset, chosen: TextCnnHyperparameters, weights: Weights) -> Fitted:
    """The network of these weights, which read titles in the words that came with them."""
    vocabulary = Vocabulary(weights.words)
    tokens = vocabulary.encode(dataset.titles, length=chosen.title_words)
    networks = _build(start(0), dataset, chosen, len(vocabulary))
    weights.fill(networks.chance)
    return _fitted(networks, dataset, tokens, vocabulary, rng=np.random.default_rng(0), curve=None)


def item_batches(
    impressions: Impressions, tokens: NDArray[np.int32], batch_size: int, rng: np.random.Generator | None
) -> Iterator[Batch]:
    """One epoch in batches of all impressions of `batch_size` items, drawn by `rng` or, without one, in order.

    Each is (user, item, rank, place, tokens, clicked): `tokens` has a row for each item of the batch, `place` is the
    row of each impression's item.
    """
    by_item = np.argsort(impressions.item, kind="stable")
    shown, starts, counts = np.unique(impressions.item[by_item], return_index=True, return_counts=True)
    order = np.arange(len(shown)) if rng is None else rng.permutation(len(shown))
    for at in range(0, len(order), batch_size):
        block = order[at : at + batch_size]
        lengths = counts[block]
        offsets = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        rows = impressions.take(by_item[np.repeat(starts[block], lengths) + offsets])
        place = np.repeat(np.arange(len(block), dtype=np.int32), lengths)
        yield rows.user, rows.item, rows.rank, place, tokens[shown[block]], rows.clicked


def _logits(runtime: Runtime, networks: _Networks, inputs: tuple[Tensor, ...], *, is_training: bool) -> Tensor:
    user, item, rank, place, tokens = inputs
    encoded = runtime.keras.ops.concatenate(networks.encoder(tokens, training=is_training), axis=1)
    rows = runtime.keras.ops.take(encoded, place, axis=0)
    return networks.match([user, item, rank, rows[:, :-1], rows[:, -1:]], training=is_training)


def _build(runtime: Runtime, dataset: Dataset, chosen: TextCnnHyperparameters, words: int) -> _Networks:
    keras, layers = runtime.keras, runtime.keras.layers
    text = keras.Input((chosen.title_words,), dtype="int32", name="tokens")
    embedded = layers.Embedding(words, chosen.word_size, name="words")(text)
    widths = [chosen.shortest_phrase + more for more in range(_WIDTHS)]
    phrases = [layers.Conv1D(chosen.filters, width, activation="relu", name=f"width_{width}") for width in widths]
    pooled = [layers.GlobalMaxPooling1D()(phrase(embedded)) for phrase in phrases]
    features = layers.Dropout(chosen.dropout, name="dropout")(layers.Concatenate()(pooled))
    vector = layers.Dense(chosen.embedding_size, name="item_vector")(features)
    bias = layers.Dense(1, kernel_initializer="zeros", name="text_bias")(features)
    encoder = keras.Model(text, [vector, bias], name="headline")

    user, item, rank = (keras.Input((), dtype="int32", name=name) for name in ("user", "item", "rank"))
    given_vector = keras.Input((chosen.embedding_size,), name="vector")
    given_bias = keras.Input((1,), name="bias")
    table = {
        "user_vectors": embedding(runtime, len(dataset.users), chosen.embedding_size, "user_vectors"),
        "user_bias": embedding(runtime, len(dataset.users), 1, "user_bias"),
        "item_residual": embedding(runtime, len(dataset.items), 1, "item_residual"),
        "rank_bias": embedding(runtime, MAX_RANK, 1, "rank_bias"),
    }
    table["item_residual"].trainable = False
    taste = layers.Dot(axes=1, name="taste")([table["user_vectors"](user), given_vector])
    biases = [table["user_bias"](user), table["item_residual"](item), table["rank_bias"](rank)]
    logit = layers.Add(name="logit")([taste, given_bias, *biases])
    match = keras.Model([user, item, rank, given_vector, given_bias], logit, name="match")
    chance = layers.Activation("sigmoid", name="chance")(match([user, item, rank, *encoder(text)]))
    whole = keras.Model([user, item, rank, text], chance, name="textcnn")
    return _Networks(whole, encoder, match, {name: layer.embeddings for name, layer in table.items()})


def _residuals(dataset: Dataset, factors: FactorModel, priors: Priors) -> NDArray[np.float64]:
    """What the clicks of each item say beyond `factors`: (items,), 0 for one that was never shown."""
    training = dataset.training
    offset = impression_logits(factors, dataset, training) + factors.rank_bias[training.rank]
    clicked = training.clicked.astype(np.float64)
    return residual_biases(training.item, len(dataset.items), offset, clicked, priors.item_precision)


def _compile(dataset: Dataset, networks: _Networks, tokens: NDArray[np.int32]) -> FactorModel:
    encoded = [networks.encoder.predict_on_batch(tokens[at : at + _CHUNK]) for at in range(0, len(tokens), _CHUNK)]
    vectors, biases = (np.concatenate([part[side] for part in encoded]) for side in (0, 1))
    table = {name: values(variable) for name, variable in networks.tables.items()}
    return centred(
        users=dataset.users,
        user_vectors=table["user_vectors"],
        user_bias=table["user_bias"][:, 0],
        is_active=dataset.is_active,
        items=dataset.items,
        item_vectors=vectors,
        item_bias=biases[:, 0] + table["item_residual"][:, 0],
        has_evidence=np.ones(len(dataset.items), dtype=bool),
        rank_bias=table["rank_bias"][:, 0],
        item_idf=dataset.item_idf,
    )


KIND: Final = Kind(
    name="textcnn",
    summary="a convolutional network over headline words meets each reader's taste; places brand-new items by text",
    hyperparameters=TextCnnHyperparameters,
    fit=fit,
    restore=restore,
)
