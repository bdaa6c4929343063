"""Attributes as small integers: which fields users or items have, and what an attribute's value is numbered."""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lamella.experiments.model import Json
from lamella.recommenders.vocabulary import words

MOST_FIELDS: Final = 16
MOST_VALUES: Final = 5_000
_LEAST_COUNT: Final = 2
_BINS: Final = 8
_LIST_SLOTS: Final = 8
_WORD_SLOTS: Final = 16

CATEGORY: Final = "category"
NUMBER: Final = "number"
LIST: Final = "list"
WORDS: Final = "words"
_SLOTS: Final[Mapping[str, int]] = {CATEGORY: 1, NUMBER: 1, LIST: _LIST_SLOTS, WORDS: _WORD_SLOTS}


class Encoded(NamedTuple):
    """What n entities have in one field: `rows` (n, slots) int32 and `weights` (n, slots) float32.

    Row 0 with weight 0 is no value. The weights of an entity's values are equal and sum to 1.
    """

    rows: NDArray[np.int32]
    weights: NDArray[np.float32]

    def take(self, entities: NDArray[np.int32]) -> "Encoded":
        """Those of these entities."""
        return Encoded(self.rows[entities], self.weights[entities])


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """An attribute by name. `values` are numbered from 1; a number falls between `edges`, also from 1; 0 is unknown."""

    name: str
    kind: str
    values: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()

    @property
    def size(self) -> int:
        """How many numbers there are, 0 included."""
        return 1 + (len(self.edges) + 1 if self.kind == NUMBER else len(self.values))

    @property
    def slots(self) -> int:
        """The most values of one entity."""
        return _SLOTS[self.kind]

    def encode(self, attributes: Sequence[Mapping[str, Json]]) -> Encoded:
        """What entities with these attributes have in this field; a value that is unknown or unusable is none."""
        number = {value: row + 1 for row, value in enumerate(self.values)}
        rows = np.zeros((len(attributes), self.slots), dtype=np.int32)
        weights = np.zeros((len(attributes), self.slots), dtype=np.float32)
        for entity, given in enumerate(attributes):
            found = self._numbers(given.get(self.name), number)[: self.slots]
            rows[entity, : len(found)] = found
            weights[entity, : len(found)] = 1 / max(len(found), 1)
        return Encoded(rows, weights)

    def _numbers(self, value: Json, number: Mapping[str, int]) -> list[int]:
        if self.kind == NUMBER:
            number_given = _number(value)
            return [] if number_given is None else [1 + bisect_right(self.edges, number_given)]
        return [number[each] for each in _texts(value, self.kind) if each in number]

    def document(self) -> dict[str, Json]:
        """The field as JSON."""
        return {"name": self.name, "kind": self.kind, "values": list(self.values), "edges": list(self.edges)}


def field_of(document: Mapping[str, Json]) -> Field:
    """The field that `document` wrote. Raises TypeError, KeyError or ValueError where it is none."""
    values, edges = document["values"], document["edges"]
    if not isinstance(values, list) or not isinstance(edges, list) or document["kind"] not in _SLOTS:
        raise TypeError(f"{document!r} is not a field")
    bounds = tuple(float(each) for each in edges if isinstance(each, (int, float)))
    name, kind = str(document["name"]), str(document["kind"])
    return Field(name=name, kind=kind, values=tuple(map(str, values)), edges=bounds)


def fields_of(attributes: Sequence[Mapping[str, Json]], *, texts: frozenset[str] = frozenset()) -> tuple[Field, ...]:
    """The fields that say something of entities with these attributes, by name; at most 16, the most filled ones.

    Texts and truths are categories; lists of texts are lists; numbers fall into eight quantile bins; those of `texts`
    are read word by word. A value counts from its second entity on; a field without two values is left out.
    """
    filled = Counter(name for given in attributes for name, value in given.items() if value is not None)
    names = sorted(filled, key=lambda name: (-filled[name], name))
    found = (_field(name, [given.get(name) for given in attributes], is_text=name in texts) for name in names)
    kept = [each for each in found if each is not None][:MOST_FIELDS]
    return tuple(sorted(kept, key=lambda each: each.name))


def _field(name: str, column: Sequence[Json], *, is_text: bool) -> Field | None:
    numbers = [number for number in map(_number, column) if number is not None]
    filled = [value for value in column if value is not None]
    if numbers and len(numbers) == len(filled):
        shares = np.linspace(0, 1, _BINS + 1)[1:-1]
        edges = np.unique(np.quantile(numbers, shares, method="higher"))
        edges = edges[edges > min(numbers)]
        return Field(name=name, kind=NUMBER, edges=tuple(edges.tolist())) if len(edges) else None
    kind = WORDS if is_text else LIST if any(isinstance(value, (list, tuple)) for value in filled) else CATEGORY
    counts = Counter(text for value in column for text in set(_texts(value, kind)))
    frequent = sorted(text for text, count in counts.items() if count >= _LEAST_COUNT)
    frequent.sort(key=lambda text: -counts[text])
    says_something = len(frequent) > 1 or (frequent and counts[frequent[0]] < len(column))
    return Field(name=name, kind=kind, values=tuple(frequent[:MOST_VALUES])) if says_something else None


def _texts(value: Json, kind: str) -> list[str]:
    if kind == WORDS:
        return list(dict.fromkeys(words(value))) if isinstance(value, str) else []
    if isinstance(value, (list, tuple)):
        return [text for each in value for text in _texts(each, CATEGORY)]
    return [str(value)] if isinstance(value, (str, bool, int, float)) else []


def _number(value: Json) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if is_number and isinstance(value, (int, float)) else None
