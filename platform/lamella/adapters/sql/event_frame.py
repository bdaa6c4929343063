"""Events as columns."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Final

import numpy as np

from lamella.adapters.sql.columns import (
    Column,
    Integers,
    are_millionths,
    are_texts,
    floats,
    joined,
    taken,
    transposed,
)
from lamella.adapters.sql.steps import Steps, made_by
from lamella.events.validation import ACTION_LIMIT, NAME_LIMIT, READ_SECONDS_LIMIT, VALUE_LIMIT

_COMMON: Final = ("kind", "event_id", "unit", "time", "request_id", "item")
EXTRAS: Final[Mapping[str, tuple[str, ...]]] = {
    "click": (),
    "read": ("read_seconds", "completion"),
    "interaction": ("action",),
    "custom": ("name", "value"),
}
"""What each kind has besides."""

_SHAPES: Final = frozenset((kind, len(_COMMON) + len(extras)) for kind, extras in EXTRAS.items())


@dataclass(slots=True, kw_only=True)
class Events:
    """Clicks, reads, interactions and custom events, in the order in which they came.

    `micros` are microseconds since 1970; `request_ids` and `items` hold None where a custom event has none. `rows` says
    where the events of a kind are, `extras` has the columns of that kind alone, as long as its rows.
    """

    documents: Sequence[Mapping[str, Any]]
    kinds: Column
    event_ids: Column
    units: Column
    micros: Integers
    request_ids: Column
    items: Column
    rows: dict[str, Integers] = field(default_factory=dict)
    extras: dict[str, tuple[Column, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, documents: Sequence[Mapping[str, Any]]) -> "Events":
        """The frame of these objects. Raises LookupError, TypeError or ValueError where one cannot be an event."""
        return made_by(cls.steps(documents))

    @classmethod
    def steps(cls, documents: Sequence[Mapping[str, Any]]) -> "Steps[Events]":
        """Makes the frame, and raises the same."""
        from lamella.adapters.sql.arrays import moments_of  # Arrow, which readers of the store need not import

        columns = transposed(map(itemgetter(*_COMMON), documents), len(_COMMON))
        kinds, event_ids, units, times, request_ids, items = columns
        frame = cls(
            documents=documents,
            kinds=kinds,
            event_ids=event_ids,
            units=units,
            micros=moments_of(times),
            request_ids=request_ids,
            items=items,
        )
        yield
        names = np.array(kinds)
        for kind in sorted(set(kinds)):
            frame.rows[kind] = np.flatnonzero(names == kind)
            mine = taken(documents, frame.rows[kind])
            frame.extras[kind] = tuple(_extra(name, mine) for name in EXTRAS[kind])
        return frame

    @classmethod
    def joined(cls, parts: Sequence["Events"]) -> "Events":
        """All events of these frames; those of a kind by unit: neighbours lie on the same page of the index by unit."""
        from lamella.adapters.sql.arrays import order_of

        before = np.cumsum([0, *(len(part.kinds) for part in parts)])
        frame = cls(
            documents=joined([part.documents for part in parts]),
            kinds=joined([part.kinds for part in parts]),
            event_ids=joined([part.event_ids for part in parts]),
            units=joined([part.units for part in parts]),
            micros=np.concatenate([part.micros for part in parts]),
            request_ids=joined([part.request_ids for part in parts]),
            items=joined([part.items for part in parts]),
        )
        by_unit = order_of(frame.units)
        for kind in sorted({kind for part in parts for kind in part.rows}):
            mine = [(at, part) for at, part in zip(before, parts, strict=False) if kind in part.rows]
            rows = np.concatenate([at + part.rows[kind] for at, part in mine])
            place = np.full(by_unit.size, -1)
            place[rows] = np.arange(rows.size)
            order = place[by_unit]
            order = order[order >= 0]
            frame.rows[kind] = rows[order]
            extras = zip(*(part.extras[kind] for _, part in mine), strict=True)
            frame.extras[kind] = tuple(taken(joined(column), order) for column in extras)
        return frame

    def fits(self) -> bool:
        """Whether every event keeps the contract, so that reading it by itself would change nothing."""
        if not set(zip(self.kinds, map(len, self.documents), strict=True)) <= _SHAPES:
            return False
        if not are_texts(self.event_ids) or not are_texts(self.units):
            return False
        return all(self._has(column) for column in (self.request_ids, self.items)) and all(
            _FITS[name](column)
            for kind, columns in self.extras.items()
            for name, column in zip(EXTRAS[kind], columns, strict=True)
        )

    def _has(self, column: Column) -> bool:
        """Whether the column has texts, or None for some custom events."""
        if "custom" not in self.rows or None not in column:
            return are_texts(column)
        required = [taken(column, rows) for kind, rows in self.rows.items() if kind != "custom"]
        optional = [each for each in taken(column, self.rows["custom"]) if each is not None]
        return all(map(are_texts, required)) and are_texts(optional)


def _extra(name: str, documents: Sequence[Mapping[str, Any]]) -> Column:
    column = [document[name] for document in documents]
    return column if name in ("action", "name") else floats(column)


def _completions_fit(column: Column) -> bool:
    return are_millionths([each for each in column if each is not None], least=0.0, most=1.0)


_FITS: Final[Mapping[str, Callable[[Column], bool]]] = {
    "read_seconds": lambda column: are_millionths(column, least=0.0, most=READ_SECONDS_LIMIT),
    "completion": _completions_fit,
    "action": lambda column: are_texts(column, most=ACTION_LIMIT),
    "name": lambda column: are_texts(column, most=NAME_LIMIT),
    "value": lambda column: are_millionths(column, least=-VALUE_LIMIT, most=VALUE_LIMIT),
}
