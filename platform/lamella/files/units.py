"""The rows of a file summed up by unit, in one pass and in memory that grows with the units, not with the rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lamella.errors import InvalidInput
from lamella.files.reading import Source

UNIT: Final = "unit"
VARIANT: Final = "variant"
SEVERAL: Final = "(several)"
MISSING: Final = "(missing)"
EVERYBODY: Final = "everybody"
_COMPACT_ROWS: Final = 2_000_000
_MOST_NAMES: Final = 1_000

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Which columns play which part. `unit` None: every row is a unit of its own; `variant` None: all is one.

    `sums` are added up by unit, `means` (covariates) averaged, `raw` kept value by value for quantiles.
    """

    unit: str | None
    variant: str | None
    sums: tuple[str, ...]
    means: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    raw: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Labels:
    """A label for each unit: the few different `names`, and for each unit its `codes` among them."""

    names: tuple[str, ...]
    codes: NDArray[np.int64]

    def are(self, name: str) -> NDArray[np.bool_]:
        """Which units have this label."""
        at = self.names.index(name) if name in self.names else -1
        return np.asarray(self.codes == at)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitTable:
    """One row a unit, in parallel arrays; units that were seen in two variants are counted in `crossed` and left out.

    `names` are all variants that were seen.
    `sums` and `means` are NaN where a unit has no value at all. `segments` hold a label for each unit. `events` maps
    a raw column to its values, the units' numbers and variants of all rows. `binary` are the columns that are 0 or 1 in
    every row. `unusable_rows` had no unit or no variant.
    """

    names: tuple[str, ...]
    variants: Labels
    rows: Values
    sums: Mapping[str, Values]
    means: Mapping[str, Values]
    segments: Mapping[str, Labels]
    crossed: Mapping[str, int]
    binary: frozenset[str]
    row_count: int
    unusable_rows: int
    events: Mapping[str, "Events"] = field(default_factory=dict)

    @property
    def has_events(self) -> bool:
        """Whether some unit has more than one row."""
        return bool((self.rows > 1).any())


@dataclass(frozen=True, slots=True)
class Events:
    """The values of one column, row by row, with the number of their unit in the UnitTable."""

    values: Values
    owners: NDArray[np.int64]


def read_units(source: Source, layout: Layout) -> UnitTable:
    """The file's units. Reads it once. Raises InvalidInput for a cell that is not of its column's kind."""
    gathered = _Gathered(layout)
    numbers = tuple(dict.fromkeys((*layout.sums, *layout.means, *layout.raw)))
    texts = tuple(dict.fromkeys(name for name in (layout.variant, layout.unit, *layout.segments) if name))
    for batch in source.batches([name for name in numbers if name not in texts], texts):
        gathered.take(batch)
    if not gathered.has_rows:
        raise InvalidInput(f"{source.path}: the file has a header and no rows")
    return gathered.finish()


class _Gathered:
    """The totals so far: partial tables that are merged whenever they have grown."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._numbers = tuple(dict.fromkeys((*layout.sums, *layout.means)))
        self._partials: list[pa.Table] = []
        self._pending = self._compact = 0
        self._binary = set(layout.sums)
        self._raw: list[pa.Table] = []
        self._rows = self._unusable = 0
        self._names: set[str] = set()

    @property
    def has_rows(self) -> bool:
        """Whether any row came."""
        return self._rows > 0

    def take(self, batch: pa.RecordBatch) -> None:
        """Adds a batch of rows."""
        layout, first = self._layout, self._rows
        self._rows += len(batch)
        unit = pa.array(np.arange(first, self._rows)) if layout.unit is None else batch.column(layout.unit)
        everybody = pa.array(np.full(len(batch), EVERYBODY))
        columns: dict[str, Any] = {UNIT: unit, VARIANT: batch.column(layout.variant) if layout.variant else everybody}
        usable = pc.and_(_is_named(columns[UNIT]), _is_named(columns[VARIANT]))
        columns["rows"] = pa.array(np.ones(len(batch)))
        for name in self._numbers:
            known = (
                pc.is_finite(batch.column(name)) if name in layout.means else pc.invert(pc.is_nan(batch.column(name)))
            )
            known = pc.fill_null(known, fill_value=False)
            columns[f"n {name}"] = known.cast(pa.float64())
            columns[f"s {name}"] = pc.if_else(known, batch.column(name), 0.0)
        for name in tuple(self._binary):
            values = columns[f"s {name}"].to_numpy()
            if not ((values == 0.0) | (values == 1.0)).all():
                self._binary.discard(name)
        for name in layout.segments:
            columns[f"g {name}"] = pc.fill_null(batch.column(name), MISSING)
        rows = pa.table(columns).filter(usable)
        self._unusable += len(batch) - len(rows)
        if len(self._names) < _MOST_NAMES:
            self._names.update(str(each) for each in pc.unique(rows[VARIANT]).to_pylist())
        if layout.raw:
            kept = {UNIT: rows[UNIT]} | {f"r {name}": batch.column(name).filter(usable) for name in layout.raw}
            self._raw.append(pa.table(kept))
        self._add(self._grouped(rows) if layout.unit else rows)

    def finish(self) -> UnitTable:
        """The units of all batches."""
        whole = self._merged()
        crossed: dict[str, int] = {}
        if self._layout.unit and pc.count_distinct(whole[UNIT]).as_py() < len(whole):
            seen = whole.group_by(UNIT).aggregate([(VARIANT, "count"), (VARIANT, "min")])
            both = seen.filter(pc.greater(seen[f"{VARIANT}_count"], 1))
            for each in pc.value_counts(both[f"{VARIANT}_min"]).to_pylist():
                crossed[str(each["values"])] = int(each["counts"])
            whole = whole.filter(pc.invert(pc.is_in(whole[UNIT], value_set=both[UNIT].combine_chunks())))
        return self._table(whole, crossed)

    def _table(self, whole: pa.Table, crossed: Mapping[str, int]) -> UnitTable:
        def values(name: str) -> Values:
            return np.asarray(whole[name].to_numpy(), dtype=np.float64)

        known = {name: values(f"n {name}") for name in self._numbers}
        with np.errstate(invalid="ignore", divide="ignore"):
            sums = {name: np.where(known[name] > 0, values(f"s {name}"), np.nan) for name in self._layout.sums}
            means = {name: values(f"s {name}") / known[name] for name in self._layout.means}
        return UnitTable(
            names=tuple(sorted(self._names)),
            variants=_labels(whole[VARIANT]),
            rows=values("rows"),
            sums=sums,
            means=means,
            segments={name: _labels(whole[f"g {name}"]) for name in self._layout.segments},
            crossed=crossed,
            binary=frozenset(self._binary),
            row_count=self._rows,
            unusable_rows=self._unusable,
            events=self._events(whole),
        )

    def _events(self, whole: pa.Table) -> dict[str, Events]:
        if not self._raw:
            return {}
        raw = pa.concat_tables(self._raw)
        owners = pc.index_in(raw[UNIT], value_set=whole[UNIT].combine_chunks())
        found = {}
        for name in self._layout.raw:
            values = raw[f"r {name}"]
            usable = pc.and_(pc.is_valid(owners), pc.fill_null(pc.invert(pc.is_nan(values)), fill_value=False))
            found[name] = Events(
                np.asarray(values.filter(usable).to_numpy(), dtype=np.float64),
                np.asarray(owners.filter(usable).to_numpy(), dtype=np.int64),
            )
        return found

    def _add(self, partial: pa.Table) -> None:
        self._partials.append(partial)
        self._pending += len(partial)
        if self._layout.unit and self._pending > max(_COMPACT_ROWS, 2 * self._compact):
            self._partials = [self._merged()]
            self._pending = self._compact = len(self._partials[0])

    def _merged(self) -> pa.Table:
        whole = pa.concat_tables(self._partials)
        return self._grouped(whole) if self._layout.unit and len(self._partials) > 1 else whole

    def _grouped(self, rows: pa.Table) -> pa.Table:
        """Sums by unit and variant; a segment's label becomes `(several)` where it is not the same in all rows."""
        added = ["rows", *(f"{sign} {name}" for name in self._numbers for sign in ("n", "s"))]
        labels = [f"g {name}" for name in self._layout.segments]
        asked = [(name, "sum") for name in added] + [(name, how) for name in labels for how in ("min", "max")]
        found = rows.group_by([UNIT, VARIANT]).aggregate(asked)
        columns: dict[str, Any] = {name: found[name] for name in (UNIT, VARIANT)} | {
            name: found[f"{name}_sum"] for name in added
        }
        for name in labels:
            low, high = found[f"{name}_min"], found[f"{name}_max"]
            columns[name] = pc.if_else(pc.equal(low, high), low, SEVERAL)
        return pa.table(columns)


def _is_named(column: pa.Array) -> pa.Array:
    if not pa.types.is_string(column.type):
        return pc.is_valid(column)
    return pc.fill_null(pc.greater(pc.utf8_length(column), 0), fill_value=False)


def _labels(column: pa.ChunkedArray) -> Labels:
    if not len(column):
        return Labels((), np.zeros(0, dtype=np.int64))
    encoded = pa.concat_arrays(column.chunks).dictionary_encode()
    return Labels(
        tuple(str(each) for each in encoded.dictionary.to_pylist()),
        np.asarray(encoded.indices.to_numpy(zero_copy_only=False), dtype=np.int64),
    )
