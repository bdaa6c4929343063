"""Events as columns."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
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
    kept,
    only,
    plain,
    taken,
    transposed,
)
from lamella.adapters.sql.digests import digested
from lamella.adapters.sql.steps import Steps, made_by
from lamella.events.validation import ACTION_LIMIT, NAME_LIMIT, READ_SECONDS_LIMIT, VALUE_LIMIT

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TEXTS: Final = ("event_id", "unit", "request_id", "item")
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
    where the events of a kind are, `extras` has the columns of that kind alone, as long as its rows. `digests` are of
    the event ids, one behind the other.
    """

    kinds: Sequence[str]
    digests: bytes
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
        from lamella.adapters.sql.arrays import moments_of, strings  # Arrow, which readers of the store need not import

        columns = transposed(map(itemgetter(*_COMMON), documents), len(_COMMON))
        kinds, event_ids, units, times, request_ids, items = columns
        if not set(zip(kinds, map(len, documents), strict=True)) <= _SHAPES:
            raise ValueError("an event of another kind, or with other fields")
        yield
        digests = digested(event_ids)
        yield
        frame = cls(
            kinds=kinds,
            digests=digests,
            event_ids=strings(event_ids),
            units=strings(units),
            micros=moments_of(times),
            request_ids=strings(request_ids, optional=True),
            items=strings(items, optional=True),
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
        from lamella.adapters.sql import arrays

        before = np.cumsum([0, *(len(part.kinds) for part in parts)])
        frame = cls(
            kinds=joined([part.kinds for part in parts]),
            digests=b"".join(part.digests for part in parts),
            event_ids=arrays.joined([part.event_ids for part in parts]),
            units=arrays.joined([part.units for part in parts]),
            micros=np.concatenate([part.micros for part in parts]),
            request_ids=arrays.joined([part.request_ids for part in parts]),
            items=arrays.joined([part.items for part in parts]),
        )
        by_unit = arrays.order_of(frame.units)
        for kind in sorted({kind for part in parts for kind in part.rows}):
            mine = [(at, part) for at, part in zip(before, parts, strict=False) if kind in part.rows]
            rows = np.concatenate([at + part.rows[kind] for at, part in mine])
            place = np.full(by_unit.size, -1)
            place[rows] = np.arange(rows.size)
            order = place[by_unit]
            order = order[order >= 0]
            frame.rows[kind] = rows[order]
            extras = zip(*(part.extras[kind] for _, part in mine), strict=True)
            frame.extras[kind] = tuple(_packed(taken(joined(column), order)) for column in extras)
        return frame

    def documents(self, rows: Integers) -> list[dict[str, Any]]:
        """The events of these rows, as a batch has them."""
        extras: dict[int, dict[str, Any]] = {}
        for kind, mine in self.rows.items():
            is_wanted = np.isin(mine, rows)
            columns = [plain(kept(column, is_wanted)) for column in self.extras[kind]]
            for row, *values in zip(mine[is_wanted].tolist(), *columns, strict=True):
                extras[row] = dict(zip(EXTRAS[kind], values, strict=True))
        of_all = (self.event_ids, self.units, self.request_ids, self.items)
        texts = zip(*(plain(taken(column, rows)) for column in of_all), strict=True)
        return [
            {
                "kind": self.kinds[row],
                "time": (_EPOCH + timedelta(microseconds=at)).isoformat(),
                **dict(zip(_TEXTS, common, strict=True)),
                **extras[row],
            }
            for row, at, common in zip(rows.tolist(), self.micros[rows].tolist(), texts, strict=True)
        ]

    def fits(self) -> bool:
        """Whether every event keeps the contract, so that reading it by itself would change nothing."""
        from lamella.adapters.sql import arrays

        columns = (self.event_ids, self.units, self.request_ids, self.items)
        return all(self._has(column) and arrays.are_texts(column) for column in columns) and all(
            _FITS[name](column)
            for kind, columns in self.extras.items()
            for name, column in zip(EXTRAS[kind], columns, strict=True)
        )

    def _has(self, column: Column) -> bool:
        """Whether only custom events lack the text."""
        if not column.null_count:
            return True
        is_missing = np.array(column.is_null())
        is_missing[self.rows.get("custom", [])] = False
        return not is_missing.any()


def _packed(column: Column) -> Column:
    """Numbers as an array of numpy; anything else stays."""
    return np.array(column, dtype=np.float64) if only(column, float) else column


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
