"""What the kinds with side inputs have in common: keys and attributes as inputs, hidden keys, batches, the probe.

A user or an item enters as its row (0 is unknown) and, for each field of its side, rows and weights of the field's
values. In training and validation a fifth of the users and of the items are hidden behind row 0, a quarter of
those with their attributes, so that the network learns what to say of somebody unknown: by attributes, and without
those what all do. Source: Volkovs, Yu and Poutanen (2017), DropoutNet.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lamella.experiments.model import Json
from lamella.recommenders.artifact import FactorModel
from lamella.recommenders.dataset import Dataset, Impressions
from lamella.recommenders.fields import Encoded, Field, fields_of
from lamella.recommenders.hyperparameters import NetworkHyperparameters
from lamella.recommenders.ids import shuffled_blocks
from lamella.recommenders.keras_runtime import Network, Runtime, Variable, normal_penalty, saved
from lamella.recommenders.kind import Fitted, Progress
from lamella.recommenders.learning import Batch, Course, Curve, learn, packed
from lamella.recommenders.probing import probe_pairs
from lamella.services.model_ports import Reader

HIDDEN_SHARE: Final = 0.2
BARE_SHARE: Final = 0.05
TITLE: Final = "title"
AGE: Final = "age_days"
SIDED: Final = frozenset({"deep", "fm", "twotower"})
"""The kinds whose networks have these inputs."""
_PROBE_ALONE: Final = 32

Rows = NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One side of the input: `fields` with what each entity has in them, and `rows` (n,), 0 where it is unknown."""

    name: str
    fields: tuple[Field, ...]
    encoded: tuple[Encoded, ...]
    rows: Rows

    @property
    def has_attribute(self) -> NDArray[np.bool_]:
        """Which entities have a value in any field: (n,)."""
        found = np.zeros(len(self.rows), dtype=bool)
        for each in self.encoded:
            found |= each.weights.any(axis=1)
        return found

    def arrays(self, entities: Rows, rng: np.random.Generator | None = None) -> list[NDArray[np.generic]]:
        """The input of these entities; with `rng`, some of them are hidden."""
        rows, shown = self.rows[entities], np.ones(len(entities), dtype=np.float32)
        if rng is not None:
            draw = rng.random(len(entities))
            rows = np.where(draw < HIDDEN_SHARE, 0, rows).astype(np.int32)
            shown = (draw >= BARE_SHARE).astype(np.float32)
        found: list[NDArray[np.generic]] = [rows]
        for each in self.encoded:
            values = each.take(entities)
            found += [values.rows, values.weights * shown[:, None]]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Both sides of a dataset."""

    users: Entry
    items: Entry

    def arrays(self, impressions: Impressions, rng: np.random.Generator | None = None) -> Batch:
        """The network's input for the impressions, and `clicked`."""
        inputs = [*self.users.arrays(impressions.user, rng), *self.items.arrays(impressions.item, rng)]
        return (*inputs, impressions.rank, impressions.clicked)


def field_inputs(side: str, at: int) -> tuple[str, str]:
    """The names of the inputs that take the rows and the weights of a side's field."""
    return f"{side}_field_{at}", f"{side}_field_{at}_weights"


def sides_of(dataset: Dataset) -> Sides:
    """The sides of `dataset`: all attributes of users; those of items, words of the title, and age in days."""
    users = dataset.user_attributes or ({},) * len(dataset.users)
    return Sides(
        users=_entry("user", users, dataset.is_active, texts=frozenset()),
        items=_entry("item", _described(dataset), dataset.is_shown, texts=frozenset((TITLE,))),
    )


def _described(dataset: Dataset) -> list[Mapping[str, Json]]:
    attributes = dataset.item_attributes or ({},) * len(dataset.items)
    ages = (dataset.until - dataset.published) / 86_400
    return [
        {TITLE: title, **given, **({AGE: max(0.0, float(age))} if np.isfinite(age) else {})}
        for title, given, age in zip(dataset.titles, attributes, ages, strict=True)
    ]


def _entry(
    name: str, attributes: Sequence[Mapping[str, Json]], is_known: NDArray[np.bool_], *, texts: frozenset[str]
) -> Entry:
    fields = fields_of(attributes, texts=texts)
    rows = np.where(is_known, np.arange(1, len(is_known) + 1), 0).astype(np.int32)
    return Entry(name=name, fields=fields, encoded=tuple(each.encode(attributes) for each in fields), rows=rows)


class SidedNetworks(NamedTuple):
    """Networks over the inputs of Sides; `tables` and `kernels` by name, as IdNetworks."""

    chance: Network
    logit: Network
    tables: Mapping[str, Variable]
    kernels: Mapping[str, Variable]


def learn_sides(
    runtime: Runtime,
    networks: SidedNetworks,
    dataset: Dataset,
    sides: Sides,
    *,
    chosen: NetworkHyperparameters,
    precisions: Mapping[str, float],
    rng: np.random.Generator,
    progress: Progress,
) -> Curve:
    """The course of the training; see `learn_ids`."""
    variables = {**networks.tables, **networks.kernels}

    def training_batches(rng: np.random.Generator) -> Iterator[Batch]:
        return (sides.arrays(block, rng) for block in shuffled_blocks(dataset.training, chosen.batch_size, rng))

    def validation_batches() -> Iterator[Batch]:
        n, same = len(dataset.validation), np.random.default_rng(0)
        for at in range(0, n, chosen.batch_size):
            yield sides.arrays(dataset.validation.take(slice(at, at + chosen.batch_size)), same)

    course = Course(
        network=networks.logit,
        tables=list(networks.tables.values()),
        table_pace=1.0,
        logits=lambda inputs, training: networks.logit(list(inputs), training=training),
        penalty=lambda: normal_penalty(runtime, variables, precisions),
        impressions=len(dataset.training),
        training_batches=training_batches,
        validation_batches=validation_batches,
    )
    return learn(runtime, course, epochs=chosen.epochs, learning_rate=chosen.learning_rate, rng=rng, progress=progress)


def fitted_sides(
    networks: SidedNetworks,
    factors: FactorModel,
    dataset: Dataset,
    sides: Sides,
    *,
    curve: Curve | None,
    rng: np.random.Generator,
) -> Fitted:
    """The fitted kind: `factors` compared with the network for known users, and for unknown ones by attributes."""
    users, items = probe_pairs(dataset, rng)
    attributes = dataset.user_attributes or ({},) * len(dataset.users)
    error = 0.0
    for alone in (False, True):
        asked, wanted = (users[:_PROBE_ALONE], items[:_PROBE_ALONE]) if alone else (users, items)
        given = sides.users.arrays(asked)
        if alone:
            given[0] = np.zeros(len(asked), dtype=np.int32)
        first = np.zeros(len(asked), dtype=np.int32)
        chances = np.ravel(networks.chance.predict_on_batch([*given, *sides.items.arrays(wanted), first]))
        served = [
            factors.score(
                "" if alone else dataset.users[user], [dataset.items[item]], Reader(attributes=attributes[user])
            )
            for user, item in zip(asked.tolist(), wanted.tolist(), strict=True)
        ]
        error = max(error, float(np.abs(np.concatenate(served).astype(np.float64) - chances).max()))
    return Fitted(factors=factors, files={"model.keras": saved(networks.chance), **packed(curve)}, probe_error=error)
