"""Matrix factorisation with user and item biases and a bounded (sigmoid) output, in Keras."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from lamella.recommenders.artifact import FactorModel, centred
from lamella.recommenders.dataset import MAX_RANK, Dataset, Impressions
from lamella.recommenders.hyperparameters import Hyperparameters, integer, number
from lamella.recommenders.keras_runtime import (
    Network,
    Runtime,
    Variable,
    embedding,
    normal_penalty,
    saved,
    start,
    values,
)
from lamella.recommenders.kind import Fitted, Kind, Progress
from lamella.recommenders.learning import Batch, Course, learn
from lamella.recommenders.priors import priors_of
from lamella.recommenders.probing import probe_error, probe_pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class MfHyperparameters(Hyperparameters):
    """See `lamella.recommenders.hyperparameters` for what the names mean."""

    embedding_size: int = integer(16, 1, 512)
    epochs: int = integer(30, 1, 1000)
    learning_rate: float = number(0.01, 1e-6, 1.0)
    reg: float = number(5.0, 0.0, 1e6)
    batch_size: int = integer(8192, 1, 1_000_000)


class _Networks(NamedTuple):
    """`chance` ends in the sigmoid and is what is saved; `logit` is the same without it. `tables` are by name."""

    chance: Network
    logit: Network
    tables: Mapping[str, Variable]


def fit(dataset: Dataset, chosen: MfHyperparameters, seed: int, progress: Progress) -> Fitted:
    """The factorisation that minimises log loss on the training part, stopped early on the validation part.

    sigmoid(c_rank + b_u + b_i + p_u · q_i); c_rank, a free bias for each rank, takes up what the position did and
    is dropped when serving. The biases start from the click counts and are held to the spread that those show; `reg`
    holds the vectors. Source: Koren, Bell and Volinsky (2009), eq. 4, on a logit scale.
    """
    progress(0.0, "starting TensorFlow")
    runtime, priors = start(seed), priors_of(dataset)
    networks = _build(runtime, dataset, chosen)
    networks.tables["rank_bias"].assign(priors.rank_bias[:, None])
    networks.tables["item_bias"].assign(priors.item_bias[:, None])
    precisions = {
        "user_vectors": chosen.reg,
        "item_vectors": chosen.reg,
        "user_bias": priors.user_precision,
        "item_bias": priors.item_precision,
    }
    course = Course(
        network=networks.logit,
        tables=list(networks.tables.values()),
        table_pace=1.0,
        logits=lambda inputs, training: networks.logit(list(inputs), training=training),
        penalty=lambda: normal_penalty(runtime, networks.tables, precisions),
        impressions=len(dataset.training),
        training_batches=lambda rng: shuffled_batches(dataset.training, chosen.batch_size, rng),
        validation_batches=lambda: iter([_arrays(dataset.validation)]),
    )
    rng = np.random.default_rng(seed)
    learn(runtime, course, epochs=chosen.epochs, learning_rate=chosen.learning_rate, rng=rng, progress=progress)
    factors = _compile(dataset, networks)
    users, items = probe_pairs(dataset, rng)
    first = np.zeros(len(users), dtype=np.int32)
    error = probe_error(factors, dataset, users, items, networks.chance.predict_on_batch([users, items, first]))
    return Fitted(factors=factors, files={"model.keras": saved(networks.chance)}, probe_error=error)


def shuffled_batches(impressions: Impressions, batch_size: int, rng: np.random.Generator) -> Iterator[Batch]:
    """One epoch in batches of equal length near `batch_size`; the few impressions left over wait for the next."""
    n = len(impressions)
    steps = max(1, round(n / batch_size))
    length = n // steps
    order = rng.permutation(n)
    for at in range(steps):
        yield _arrays(impressions.take(order[at * length : (at + 1) * length]))


def _arrays(impressions: Impressions) -> Batch:
    return impressions.user, impressions.item, impressions.rank, impressions.clicked


def _build(runtime: Runtime, dataset: Dataset, chosen: MfHyperparameters) -> _Networks:
    keras, layers = runtime.keras, runtime.keras.layers
    user, item, rank = (keras.Input((), dtype="int32", name=name) for name in ("user", "item", "rank"))
    users, items, size = len(dataset.users), len(dataset.items), chosen.embedding_size
    table = {
        "user_vectors": embedding(runtime, users, size, "user_vectors"),
        "item_vectors": embedding(runtime, items, size, "item_vectors"),
        "user_bias": embedding(runtime, users, 1, "user_bias"),
        "item_bias": embedding(runtime, items, 1, "item_bias"),
        "rank_bias": embedding(runtime, MAX_RANK, 1, "rank_bias"),
    }
    taste = layers.Dot(axes=1, name="taste")([table["user_vectors"](user), table["item_vectors"](item)])
    biases = [table["user_bias"](user), table["item_bias"](item), table["rank_bias"](rank)]
    logit = layers.Add(name="logit")([taste, *biases])
    chance = layers.Activation("sigmoid", name="chance")(logit)
    inputs = [user, item, rank]
    tables = {name: layer.embeddings for name, layer in table.items()}
    return _Networks(keras.Model(inputs, chance, name="mf"), keras.Model(inputs, logit), tables)


def _compile(dataset: Dataset, networks: _Networks) -> FactorModel:
    table = {name: values(variable) for name, variable in networks.tables.items()}
    return centred(
        users=dataset.users,
        user_vectors=table["user_vectors"],
        user_bias=table["user_bias"][:, 0],
        is_active=dataset.is_active,
        items=dataset.items,
        item_vectors=table["item_vectors"],
        item_bias=table["item_bias"][:, 0],
        has_evidence=dataset.is_shown,
        rank_bias=table["rank_bias"][:, 0],
    )


KIND: Final = Kind(
    name="mf",
    summary="matrix factorisation with user and item biases and a sigmoid output; personal, knows only shown items",
    hyperparameters=MfHyperparameters,
    fit=fit,
)
