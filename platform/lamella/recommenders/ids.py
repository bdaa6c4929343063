"""What the kinds that know users and items by key alone have in common: batches, the course, the probe."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from lamella.recommenders.artifact import FactorModel
from lamella.recommenders.dataset import Dataset, Impressions
from lamella.recommenders.hyperparameters import NetworkHyperparameters
from lamella.recommenders.keras_runtime import Network, Runtime, Variable, normal_penalty, saved
from lamella.recommenders.kind import Fitted, Progress
from lamella.recommenders.learning import Batch, Course, Curve, learn, packed
from lamella.recommenders.probing import probe_error, probe_pairs


class IdNetworks(NamedTuple):
    """Networks of (user, item, rank): `chance` ends in the sigmoid and is saved, `logit` is the same without it.

    `tables` have a row for each user, item or rank; `kernels` are the weights of dense layers. Both by name.
    """

    chance: Network
    logit: Network
    tables: Mapping[str, Variable]
    kernels: Mapping[str, Variable] = {}


def learn_ids(
    runtime: Runtime,
    networks: IdNetworks,
    dataset: Dataset,
    chosen: NetworkHyperparameters,
    precisions: Mapping[str, float],
    *,
    rng: np.random.Generator,
    progress: Progress,
) -> Curve:
    """The course of the training; `precisions` are those of the normal priors of tables and kernels, by name."""
    variables = {**networks.tables, **networks.kernels}
    course = Course(
        network=networks.logit,
        tables=list(networks.tables.values()),
        table_pace=1.0,
        logits=lambda inputs, training: networks.logit(list(inputs), training=training),
        penalty=lambda: normal_penalty(runtime, variables, precisions),
        impressions=len(dataset.training),
        training_batches=lambda rng: shuffled_batches(dataset.training, chosen.batch_size, rng),
        validation_batches=lambda: ordered_batches(dataset.validation, chosen.batch_size),
    )
    return learn(runtime, course, epochs=chosen.epochs, learning_rate=chosen.learning_rate, rng=rng, progress=progress)


def fitted_ids(
    networks: IdNetworks, factors: FactorModel, curve: Curve | None, dataset: Dataset, rng: np.random.Generator
) -> Fitted:
    """The fitted kind: `factors` compared with the network on a probe batch, and the network's file."""
    users, items = probe_pairs(dataset, rng)
    first = np.zeros(len(users), dtype=np.int32)
    error = probe_error(factors, dataset, users, items, networks.chance.predict_on_batch([users, items, first]))
    return Fitted(factors=factors, files={"model.keras": saved(networks.chance), **packed(curve)}, probe_error=error)


def shuffled_batches(impressions: Impressions, batch_size: int, rng: np.random.Generator) -> Iterator[Batch]:
    """One epoch in batches of equal length near `batch_size`; the few impressions left over wait for the next."""
    for block in shuffled_blocks(impressions, batch_size, rng):
        yield _arrays(block)


def ordered_batches(impressions: Impressions, batch_size: int) -> Iterator[Batch]:
    """The impressions in their order, in batches of at most `batch_size`."""
    for at in range(0, len(impressions), batch_size):
        yield _arrays(impressions.take(slice(at, at + batch_size)))


def shuffled_blocks(impressions: Impressions, batch_size: int, rng: np.random.Generator) -> Iterator[Impressions]:
    """One epoch in blocks of equal length near `batch_size`, drawn by `rng`."""
    n = len(impressions)
    steps = max(1, round(n / batch_size))
    length = n // steps
    order = rng.permutation(n)
    for at in range(steps):
        yield impressions.take(order[at * length : (at + 1) * length])


def _arrays(impressions: Impressions) -> Batch:
    return impressions.user, impressions.item, impressions.rank, impressions.clicked
