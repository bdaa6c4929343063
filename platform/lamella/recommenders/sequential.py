"""What the kinds that read a user's history have in common: an encoder over the reads meets items as a dot product."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lamella.recommenders.artifact import FactorModel
from lamella.recommenders.compiling import Entities, Stranger, assembled, nothing
from lamella.recommenders.dataset import MAX_RANK, Dataset, Impressions
from lamella.recommenders.encoder import Encoder
from lamella.recommenders.history import Histories, histories_of, window_blocks
from lamella.recommenders.hyperparameters import NetworkHyperparameters, integer, number
from lamella.recommenders.keras_runtime import (
    Embedding,
    Network,
    Runtime,
    Tensor,
    Variable,
    Weighted,
    dense,
    embedding,
    normal_penalty,
    saved,
    start,
    values,
)
from lamella.recommenders.kind import Fitted, Progress
from lamella.recommenders.layers import Floats
from lamella.recommenders.learning import CURVE, Batch, Course, learn
from lamella.recommenders.priors import priors_of
from lamella.recommenders.probing import probe_pairs
from lamella.services.model_ports import Reader

_VALIDATION_WINDOWS: Final = 256
_CHUNK: Final = 1024
_SPREAD: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryHyperparameters(NetworkHyperparameters):
    """See `lamella.recommenders.hyperparameters`; here `batch_size` counts windows of `history_length` reads."""

    embedding_size: int = integer(32, 1, 512)
    learning_rate: float = number(0.005, 1e-6, 1.0)
    reg: float = number(2.0, 0.0, 1e6)
    batch_size: int = integer(64, 1, 1_000_000)
    dropout: float = number(0.2, 0.0, 0.95)
    history_length: int = integer(50, 1, 1000)


class Recurrence(NamedTuple):
    """An encoder's Keras layers, what they make of (batch, length, size), and what its NumPy form is called."""

    kind: str
    layers: Sequence[Weighted]
    apply: Callable[[Tensor], Tensor]
    dilations: tuple[int, ...] = ()


MakeRecurrence: TypeAlias = Callable[[Runtime, HistoryHyperparameters], Recurrence]


class _Built(NamedTuple):
    """`chance` is the whole network, and is saved; the others share its layers.

    `encoder` maps the vectors of a window's items (n, length, k) to the taste after 0, 1, … reads (n, length + 1, k),
    `match` users, items, ranks, tastes and the items' vectors to logits.
    """

    chance: Network
    encoder: Network
    match: Network
    tables: Mapping[str, Embedding]
    recurrence: Recurrence
    taste: Weighted


def fit_history(
    dataset: Dataset, chosen: HistoryHyperparameters, seed: int, progress: Progress, make: MakeRecurrence
) -> Fitted:
    """The network that minimises log loss on the training part, stopped early on the validation part.

    logit = c_rank + b_u + b_i + taste(reads before the list) · q_i, with the vectors q of the items read as the
    encoder's input too. Without a read the taste is zero, which leaves the biases: popularity. They start from the
    click counts. Each batch holds all impressions of some windows, so that a history is encoded once an epoch.
    """
    progress(0.0, "starting TensorFlow")
    runtime, priors = start(seed), priors_of(dataset)
    histories = histories_of(dataset, length=chosen.history_length)
    built, rng = _build(runtime, dataset, chosen, make), np.random.default_rng(seed)
    built.tables["rank_bias"].embeddings.assign(priors.rank_bias[:, None])
    built.tables["item_bias"].embeddings.assign(np.concatenate([[0.0], priors.item_bias])[:, None])
    variables, precisions = _held(built, chosen)
    precisions |= {"user_bias": priors.user_precision, "item_bias": priors.item_precision}

    def training_batches(rng: np.random.Generator) -> Iterator[Batch]:
        return _batches(dataset.training, histories, histories.training, chosen.batch_size, rng)

    course = Course(
        network=built.chance,
        tables=[each.embeddings for each in built.tables.values()],
        table_pace=1.0,
        logits=lambda inputs, training: _logits(runtime, built, inputs, is_training=training),
        penalty=lambda: normal_penalty(runtime, variables, precisions),
        impressions=len(dataset.training),
        training_batches=training_batches,
        validation_batches=lambda: _batches(
            dataset.validation, histories, histories.validation, _VALIDATION_WINDOWS, None
        ),
    )
    curve = learn(runtime, course, epochs=chosen.epochs, learning_rate=chosen.learning_rate, rng=rng, progress=progress)
    factors = _compile(dataset, histories, built)
    files = {"model.keras": saved(built.chance), CURVE: curve.packed()}
    return Fitted(factors=factors, files=files, probe_error=_probe_error(factors, dataset, histories, built, rng))


def _held(built: _Built, chosen: HistoryHyperparameters) -> tuple[dict[str, Variable], dict[str, float]]:
    """Every variable that has a prior, by name, and the precisions of those that are not biases."""
    layers = (*built.recurrence.layers, built.taste)
    kernels = {
        each.path: each for layer in layers for each in layer.trainable_variables if not each.path.endswith("bias")
    }
    tables = {name: each.embeddings for name, each in built.tables.items()}
    return kernels | tables, dict.fromkeys((*kernels, "item_vectors"), chosen.reg)


def _batches(
    impressions: Impressions,
    histories: Histories,
    places: NDArray[np.int64],
    batch_size: int,
    rng: np.random.Generator | None,
) -> Iterator[Batch]:
    """Each is (user, item + 1, rank, cell, windows, clicked): `cell` is the taste's row among those of the windows."""
    for rows, windows, local in window_blocks(impressions, places, batch_size, rng):
        cell = (local[:, 0] * (histories.length + 1) + local[:, 1]).astype(np.int32)
        yield rows.user, rows.item + np.int32(1), rows.rank, cell, histories.windows[windows], rows.clicked


def _logits(runtime: Runtime, built: _Built, inputs: tuple[Tensor, ...], *, is_training: bool) -> Tensor:
    user, item, rank, cell, windows = inputs
    ops = runtime.keras.ops
    vectors = built.tables["item_vectors"]
    tastes = built.encoder(vectors(windows), training=is_training)
    flat = ops.reshape(tastes, (-1, ops.shape(tastes)[-1]))
    return built.match([user, item, rank, ops.take(flat, cell, axis=0), vectors(item)], training=is_training)


def _build(runtime: Runtime, dataset: Dataset, chosen: HistoryHyperparameters, make: MakeRecurrence) -> _Built:
    keras, layers, size = runtime.keras, runtime.keras.layers, chosen.embedding_size
    table = {
        "user_bias": embedding(runtime, len(dataset.users), 1, "user_bias"),
        "item_bias": embedding(runtime, len(dataset.items) + 1, 1, "item_bias"),
        "rank_bias": embedding(runtime, MAX_RANK, 1, "rank_bias"),
        "item_vectors": embedding(runtime, len(dataset.items) + 1, size, "item_vectors", spread=_SPREAD),
    }
    recurrence, taste = make(runtime, chosen), dense(runtime, size, "taste", has_bias=False)
    read = keras.Input((chosen.history_length, size), name="read_vectors")
    states = recurrence.apply(layers.Dropout(chosen.dropout, name="dropout")(read))
    encoder = keras.Model(read, layers.ZeroPadding1D((1, 0), name="no_read")(taste(states)), name="encoder")

    user, item, rank = (keras.Input((), dtype="int32", name=name) for name in ("user", "item", "rank"))
    given, vector = (keras.Input((size,), name=name) for name in ("given_taste", "item_vector"))
    biases = [table["user_bias"](user), table["item_bias"](item), table["rank_bias"](rank)]
    logit = layers.Add(name="logit")([layers.Dot(axes=1, name="likes")([given, vector]), *biases])
    match = keras.Model([user, item, rank, given, vector], logit, name="match")
    history = keras.Input((chosen.history_length,), dtype="int32", name="history")
    reads = keras.Input((chosen.history_length + 1,), name="reads")
    now = layers.Dot(axes=1, name="now")([reads, encoder(table["item_vectors"](history))])
    chance = layers.Activation("sigmoid", name="chance")(match([user, item, rank, now, table["item_vectors"](item)]))
    whole = keras.Model([user, item, rank, history, reads], chance, name=recurrence.kind)
    return _Built(whole, encoder, match, table, recurrence, taste)


def _compile(dataset: Dataset, histories: Histories, built: _Built) -> FactorModel:
    """The item vectors, the encoder's weights, and every user's taste before the held-out part."""
    table = {name: values(each.embeddings) for name, each in built.tables.items()}
    encoder = Encoder(
        kind=built.recurrence.kind,
        length=histories.length,
        weights=tuple(each for layer in built.recurrence.layers for each in layer.get_weights()),
        taste=built.taste.get_weights()[0],
        dilations=built.recurrence.dilations,
    )
    vectors, size = table["item_vectors"], table["item_vectors"].shape[1]
    items = Entities(vectors=vectors[1:], hidden=nothing(len(dataset.items)), bias=table["item_bias"][1:, 0])
    users = Entities(
        vectors=_tastes(encoder, vectors, histories, len(dataset.users)),
        hidden=nothing(len(dataset.users)),
        bias=table["user_bias"][:, 0],
    )
    return assembled(
        dataset,
        users,
        items,
        stranger=Stranger(vector=np.zeros(size, np.float32), hidden=np.zeros(0, np.float32), bias=0.0),
        is_active=dataset.is_active,
        has_evidence=dataset.is_shown,
        rank_bias=table["rank_bias"][:, 0],
        encoder=encoder,
    )


def _tastes(encoder: Encoder, vectors: Floats, histories: Histories, users: int) -> Floats:
    """The taste of each user after the newest reads: (users, k), zero without any."""
    tastes = np.zeros((users, encoder.taste.shape[1]), dtype=np.float32)
    for at in range(0, users, _CHUNK):
        rows = np.arange(at, min(at + _CHUNK, users))
        windows, counts = histories.newest(rows)
        has_read = counts > 0
        states = encoder.states(vectors[windows[has_read]])
        tastes[rows[has_read]] = states[np.arange(len(states)), counts[has_read] - 1]
    return tastes


def _probe_error(
    factors: FactorModel, dataset: Dataset, histories: Histories, built: _Built, rng: np.random.Generator
) -> float:
    """The greatest difference from the network, once with the histories and once with what was computed of them."""
    users, items = probe_pairs(dataset, rng)
    windows, counts = histories.newest(users)
    reads = np.eye(histories.length + 1, dtype=np.float32)[counts]
    first = np.zeros(len(users), dtype=np.int32)
    chances = np.ravel(built.chance.predict_on_batch([users, items + np.int32(1), first, windows, reads]))
    worst = 0.0
    for user, item, chance in zip(users.tolist(), items.tolist(), chances.tolist(), strict=True):
        history = tuple(dataset.items[row] for row in histories.reads_of(user).tolist())
        for reader in (Reader(history=history), Reader()):
            (served,) = factors.score(dataset.users[user], [dataset.items[item]], reader)
            worst = max(worst, abs(float(served) - chance))
    return worst
