"""The inputs, tables and pooled fields of a network with side inputs, and their values when it is trained."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from lamella.recommenders.keras_runtime import Embedding, Runtime, Tensor, Variable, embedding, values
from lamella.recommenders.layers import Floats
from lamella.recommenders.sided import Entry, field_inputs


@dataclass(frozen=True, slots=True)
class EntryInputs:
    """One side as Keras inputs: `row`, and rows and weights for each field."""

    entry: Entry
    row: Tensor
    fields: tuple[tuple[Tensor, Tensor], ...]

    @property
    def all(self) -> list[Tensor]:
        """The inputs in the order of `Entry.arrays`."""
        return [self.row, *(each for pair in self.fields for each in pair)]


@dataclass(frozen=True, slots=True)
class TableSet:
    """The embeddings of one purpose on one side: one for the key, one for each field."""

    key: Embedding
    fields: tuple[Embedding, ...] = field(default=())

    @property
    def variables(self) -> list[Variable]:
        """The key's table and those of the fields."""
        return [self.key.embeddings, *(each.embeddings for each in self.fields)]

    def pooled(self, entry: Entry) -> list[Floats]:
        """For the key and each field, what every entity has: (n, k) each."""
        found = [values(self.key.embeddings)[entry.rows]]
        for table, encoded in zip(self.fields, entry.encoded, strict=True):
            vectors = values(table.embeddings)[encoded.rows]
            found.append(np.einsum("ns,nsk->nk", encoded.weights, vectors).astype(np.float32))
        return found


def entry_inputs(runtime: Runtime, entry: Entry) -> EntryInputs:
    """The Keras inputs of one side."""
    keras = runtime.keras
    pairs = []
    for at, each in enumerate(entry.fields):
        rows, weights = field_inputs(entry.name, at)
        given = keras.Input((each.slots,), dtype="int32", name=rows)
        pairs.append((given, keras.Input((each.slots,), dtype="float32", name=weights)))
    return EntryInputs(entry, keras.Input((), dtype="int32", name=entry.name), tuple(pairs))


def tables(runtime: Runtime, entry: Entry, size: int, name: str) -> TableSet:
    """Embeddings of `size` for the key and each field; the key's is named `<side>_<name>`."""
    key = embedding(runtime, len(entry.rows) + 1, size, f"{entry.name}_{name}")
    fields = tuple(
        embedding(runtime, each.size, size, f"{entry.name}_field_{at}_{name}") for at, each in enumerate(entry.fields)
    )
    return TableSet(key, fields)


def weighted(runtime: Runtime, inputs: EntryInputs, table: TableSet) -> list[Tensor]:
    """For each field, the weighted mean of the vectors of its values: (batch, k) each."""
    dot = runtime.keras.layers.Dot
    return [
        dot(axes=1)([weights, each(rows)]) for each, (rows, weights) in zip(table.fields, inputs.fields, strict=True)
    ]


def by_name(sets: Sequence[TableSet]) -> dict[str, Variable]:
    """Every table of these sets, by its path."""
    return {variable.path: variable for each in sets for variable in each.variables}
