"""Declared metrics out of the facts: one scan of each fact that any of them asks for, whatever their number.

Every unit's events are summed by conditional aggregates, joined with its first exposure: those before it never count,
and those outside of the metric's window neither. The unit-level columns then give moments by variant.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any, Final, TypeAlias

import sqlalchemy as sa

from lamella.adapters.sql.engine import is_postgresql, snapshot
from lamella.adapters.sql.events import TABLES, events_of, filter_of, first_exposures, value_of
from lamella.adapters.sql.expressions import shifted
from lamella.adapters.sql.grouping import grouped, moments_in
from lamella.adapters.sql.quantiles import quantiles_in
from lamella.adapters.sql.types import UTCDateTime
from lamella.errors import LamellaError
from lamella.experiments.model import DeclaredMetric, Measure, MeasuredKind
from lamella.services.measure_ports import DENOMINATOR, NUMERATOR, Measured, Stretch
from lamella.stats.undefined import Reason, Undefined

# One row a unit is sorted and hashed: PostgreSQL's default of 4 MB spills to disk at some ten thousand units.
_ROOM: Final = "SET LOCAL work_mem = '64MB'"
# Whole tables are joined. Where PostgreSQL takes one to have few rows, it would go through the other for each of them.
_BY_HASH: Final = "SET LOCAL enable_nestloop = off"
_ALONE: Final = "SET LOCAL max_parallel_workers_per_gather = 0"

Prepare: TypeAlias = Callable[[sa.Connection], None]
"""What is set in a transaction before its queries."""


class SqlMeasureStore:
    """Declared metrics, from the facts."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def measured(self, stretch: Stretch, metrics: Sequence[DeclaredMetric]) -> Mapping[str, Measured]:
        """Every metric by key, over the units that were not crossed; one that fails costs no other one its figures.

        One grouped query for all of them, which scans each fact once; another for the caps where one is winsorised,
        and three for each quantile. Raises what the store raises where it does not answer.
        """
        return self._by_group(stretch, metrics, make_room)

    def _by_group(self, stretch: Stretch, metrics: Sequence[DeclaredMetric], prepare: Prepare) -> dict[str, Measured]:
        plain = [each for each in metrics if each.kind is not MeasuredKind.QUANTILE]
        groups = [plain, *([each] for each in metrics if each.kind is MeasuredKind.QUANTILE)]
        found: dict[str, Measured] = {}
        for group in groups:
            found |= self._tried(stretch, group, prepare)
        return {each.key: found[each.key] for each in metrics}

    def _tried(self, stretch: Stretch, group: Sequence[DeclaredMetric], prepare: Prepare) -> dict[str, Measured]:
        """What the group found; if it fails together, each by itself."""
        if not group:
            return {}
        try:
            return self._measured(stretch, group, prepare)
        except LamellaError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one metric must not cost the others theirs
            if len(group) == 1:
                reason = Undefined(Reason.FAILED, f"the metric could not be read: {str(error).splitlines()[0][:200]}")
                return {group[0].key: Measured(failed=reason)}
        return {key: one for each in group for key, one in self._tried(stretch, [each], prepare).items()}

    def _measured(self, stretch: Stretch, group: Sequence[DeclaredMetric], prepare: Prepare) -> dict[str, Measured]:
        with snapshot(self._engine) as connection:
            prepare(connection)
            if group[0].kind is MeasuredKind.QUANTILE:
                return {group[0].key: quantiles_in(connection, stretch, group[0])}
            caps = caps_of(connection, stretch, group)
            layout = Layout(group, stretch, caps)
            rows = connection.execute(grouped(layout.units(), layout.families, ("variant",))).all()
        return {
            metric.key: Measured(
                moments={row.variant: moments_in(row, layout.columns[metric.key], number) for row in rows},
                cap=caps.get(metric.key),
            )
            for number, metric in enumerate(group)
        }


def make_room(connection: sa.Connection) -> None:
    """Prepares the transaction for queries that read all units of a phase."""
    if is_postgresql(connection):
        connection.exec_driver_sql(_ROOM)
        connection.exec_driver_sql(_BY_HASH)


def step_aside(connection: sa.Connection) -> None:
    """As `make_room`, for what can wait: PostgreSQL takes one process for a query and leaves the others their cores."""
    make_room(connection)
    if is_postgresql(connection):
        connection.exec_driver_sql(_ALONE)


@dataclass(frozen=True, slots=True)
class _Part:
    """One conditional sum over a fact: the measure in the window after the first exposure, or before it."""

    name: str
    measure: Measure
    start: int
    end: int | None
    is_before: bool = False


class Layout:
    """The unit-level columns of some metrics: `families` as the query names them, `columns` as `Moments` does."""

    def __init__(self, metrics: Sequence[DeclaredMetric], stretch: Stretch, caps: Mapping[str, float]) -> None:
        self._metrics, self._stretch, self._caps = metrics, stretch, caps
        self._with_past = stretch.covariate_since is not None
        self.columns = {each.key: tuple(self._names(each)) for each in metrics}
        self.families = [
            tuple(f"m{number}_{name}" for name in self.columns[each.key]) for number, each in enumerate(metrics)
        ]

    def units(self, *extra: sa.ColumnElement[Any], exposed: sa.CTE | None = None) -> sa.CTE:
        """One row a unit: `unit`, `variant`, `extra`, and the columns of `families`.

        `exposed` stands for the first exposures; its other columns are kept.
        """
        everybody = (
            first_exposures(self._stretch, *extra).cte("exposed").prefix_with("NOT MATERIALIZED", dialect="sqlite")
        )
        first = everybody if exposed is None else exposed
        parts = list(self._parts())
        source: sa.FromClause = first
        sums: dict[str, sa.ColumnElement[Any]] = {}
        for event in dict.fromkeys(part.measure.event for part in parts if part.measure.event in TABLES):
            own = [part for part in parts if part.measure.event == event]
            facts = self._facts(event, own, first)
            source = source.outerjoin(facts, facts.c.unit == first.c.unit)
            sums |= {part.name: sa.func.coalesce(facts.c[part.name], 0.0) for part in own}
        for part in parts:
            if part.measure.event == "exposure":
                counts = part.start == 0 and not part.is_before
                sums[part.name] = sa.literal_column("1.0" if counts else "0.0")
        columns = [
            expression.label(name)
            for number, metric in enumerate(self._metrics)
            for name, expression in zip(
                self.families[number], self._expressions(number, metric, first, sums), strict=True
            )
        ]
        return sa.select(*first.columns, *columns).select_from(source).cte("units")

    def _names(self, metric: DeclaredMetric) -> Iterator[str]:
        yield NUMERATOR
        if metric.kind in (MeasuredKind.RATIO, MeasuredKind.RETENTION):
            yield DENOMINATOR
        if self._with_past:
            yield f"pre_{NUMERATOR}"
            if metric.kind is MeasuredKind.RATIO:
                yield f"pre_{DENOMINATOR}"
            yield "has_pre"

    def _parts(self) -> Iterator[_Part]:
        for number, metric in enumerate(self._metrics):
            end = metric.window.end_hours
            start, stop = _seconds(metric.window.start_hours), None if end is None else _seconds(end)
            sides = [(NUMERATOR, metric.measure)]
            if metric.denominator is not None:
                sides.append((DENOMINATOR, metric.denominator))
            for name, measure in sides:
                yield _Part(f"s{number}_{name}", measure, start, stop)
                if self._with_past:
                    counted = Measure(event=measure.event, filter=measure.filter)
                    yield _Part(f"s{number}_pre_{name}", measure, 0, None, is_before=True)
                    yield _Part(f"s{number}_seen_{name}", counted, 0, None, is_before=True)

    def _facts(self, event: str, parts: Sequence[_Part], first: sa.CTE) -> sa.CTE:
        """The sums of one fact by unit."""
        fact = TABLES[event]
        # Shifted once a unit and window, not once an event.
        moments = {seconds for part in parts for seconds in (part.start, part.end) if seconds}
        edges = (
            sa.select(
                first.c.unit,
                first.c.first_at.label("at_0"),
                first.c.first_day,
                *(shifted(first.c.first_at, seconds).label(f"at_{seconds}") for seconds in sorted(moments)),
            )
            .select_from(first)
            .cte(f"edges_{event}")
            .prefix_with("NOT MATERIALIZED", dialect="sqlite")
        )
        sums = [sa.func.sum(self._added(part, fact, edges)).label(part.name) for part in parts]
        conditions = [fact.c.time < self._stretch.until]
        oldest = self._oldest()
        if oldest is not None:
            conditions.append(fact.c.time >= oldest)
        if not self._with_past:
            conditions.append(fact.c.time >= edges.c.at_0)
        return (
            sa.select(edges.c.unit, *sums)
            .select_from(events_of(fact, edges))
            .where(*conditions)
            .group_by(edges.c.unit)
            .cte(f"facts_{event}")
        )

    def _oldest(self) -> datetime | None:
        since = self._stretch.covariate_since
        return self._stretch.since if since is None else datetime.combine(since.astimezone(UTC).date(), time(), UTC)

    def _added(self, part: _Part, fact: sa.Table, edges: sa.CTE) -> sa.ColumnElement[Any]:
        if part.is_before:
            # Whole days: that of the first exposure belongs to neither side.
            limits = [fact.c.time < sa.type_coerce(edges.c.first_day, UTCDateTime())]
        else:
            limits = [fact.c.time >= edges.c[f"at_{part.start}"]]
            if part.end is not None:
                limits.append(fact.c.time < edges.c[f"at_{part.end}"])
        counts = sa.and_(filter_of(part.measure), *limits)
        return sa.case((counts, value_of(part.measure)), else_=sa.literal_column("0.0"))

    def _expressions(
        self, number: int, metric: DeclaredMetric, first: sa.CTE, sums: Mapping[str, sa.ColumnElement[Any]]
    ) -> Iterator[sa.ColumnElement[Any]]:
        """The unit's value of each of the metric's columns."""
        own = sums[f"s{number}_{NUMERATOR}"]
        is_share = metric.kind in (MeasuredKind.PROPORTION, MeasuredKind.RETENTION)
        cap = self._caps.get(metric.key)
        if metric.kind is MeasuredKind.RETENTION:
            end = shifted(first.c.first_at, _seconds(metric.window.end_hours or 0.0))
            is_over = end <= sa.literal(self._stretch.until, UTCDateTime())
            yield _flag(sa.and_(own > 0, is_over))
            yield _flag(is_over)
        elif is_share:
            yield _flag(own > 0)
        else:
            yield own if cap is None else sa.case((own > cap, sa.literal(cap, sa.Double)), else_=own)
        if metric.kind is MeasuredKind.RATIO:
            yield sums[f"s{number}_{DENOMINATOR}"]
        if self._with_past:
            before = sums[f"s{number}_pre_{NUMERATOR}"]
            yield _flag(before > 0) if is_share else before
            seen = sums[f"s{number}_seen_{NUMERATOR}"]
            if metric.kind is MeasuredKind.RATIO:
                yield sums[f"s{number}_pre_{DENOMINATOR}"]
                seen = seen + sums[f"s{number}_seen_{DENOMINATOR}"]
            yield _flag(seen > 0)


def caps_of(connection: sa.Connection, stretch: Stretch, group: Sequence[DeclaredMetric]) -> dict[str, float]:
    """The cap of each winsorised metric: the quantile of the numerator over all units of all arms, interpolated."""
    capped = [each for each in group if each.winsorise is not None]
    if not capped:
        return {}
    layout = Layout(capped, Stretch(phase=stretch.phase, until=stretch.until, since=stretch.since), {})
    units = layout.units()
    names = [family[0] for family in layout.families]
    everybody = sa.func.count().over().label("units")
    places = [sa.func.row_number().over(order_by=units.c[name]).label(f"place_{i}") for i, name in enumerate(names)]
    ranked = sa.select(everybody, *places, *(units.c[name] for name in names)).cte("ranked")
    asked = []
    for i, (name, metric) in enumerate(zip(names, capped, strict=True)):
        place = ranked.c[f"place_{i}"] - 1 - (ranked.c.units - 1) * sa.literal(metric.winsorise, sa.Double)
        asked.append(sa.func.max(sa.case((place <= 0, ranked.c[name]))).label(f"below_{i}"))
        asked.append(sa.func.min(sa.case((place >= 0, ranked.c[name]))).label(f"above_{i}"))
    row = connection.execute(sa.select(sa.func.max(ranked.c.units).label("units"), *asked)).one()
    if not row.units:
        return {}
    values, caps = row._mapping, {}  # noqa: SLF001 - SQLAlchemy's public name for it
    for i, metric in enumerate(capped):
        low, high = float(values[f"below_{i}"]), float(values[f"above_{i}"])
        caps[metric.key] = low + (high - low) * (((row.units - 1) * (metric.winsorise or 1.0)) % 1.0)
    return caps


def _flag(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[Any]:
    return sa.case((condition, sa.literal_column("1.0")), else_=sa.literal_column("0.0"))


def _seconds(hours: float) -> int:
    return round(hours * 3600.0)
