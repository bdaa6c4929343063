"""What is looked at besides the plan: days, segments, pairs of experiments; grouped queries over the same columns."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from lamella.adapters.sql.as_of import totals_as_of
from lamella.adapters.sql.days import cumulative_query, cumulative_rows, daily_query, daily_rows
from lamella.adapters.sql.engine import snapshot, writing
from lamella.adapters.sql.events import first_exposures
from lamella.adapters.sql.expressions import attribute
from lamella.adapters.sql.grouping import grouped, moments_in
from lamella.adapters.sql.measures import Layout, SqlMeasureStore, caps_of, step_aside
from lamella.adapters.sql.moments import check_columns, scale_of, total_of, unit_float
from lamella.adapters.sql.schema import arm_member, exploration, exposure, item, slate
from lamella.adapters.sql.shown import shown_in
from lamella.experiments.model import DeclaredMetric, Json
from lamella.metrics.health import Shown
from lamella.services.measure_ports import Cell, Days, Measured, Stretch

_SAMPLE: Final = 1_000
_UNKNOWN: Final = ""


class SqlFactStore(SqlMeasureStore):
    """Declared metrics, and what is explored besides the plan."""

    def days(self, stretch: Stretch, columns: Sequence[str]) -> Days:
        """The totals by day, of units that were not crossed. Three grouped queries over the per-unit totals."""
        check_columns(columns)
        with self._reading() as connection:
            totals = totals_as_of(connection, stretch.until)
            first = first_exposures(stretch).cte("exposed")
            entered = sa.select(first.c.variant, first.c.first_day, sa.func.count().label("units")).group_by(
                first.c.variant, first.c.first_day
            )
            return Days(
                entered={(row.variant, row.first_day): row.units for row in connection.execute(entered)},
                daily=daily_rows(connection.execute(daily_query(stretch, totals, columns)), columns),
                cumulative=cumulative_rows(connection.execute(cumulative_query(stretch, totals, columns)), columns),
            )

    def attributes(self, stretch: Stretch) -> Sequence[str]:
        """The attributes of the context that a sample of first slates names, by name; lists and objects are none."""
        first = first_exposures(stretch).cte("exposed")
        joined = first.join(slate, sa.and_(slate.c.time == first.c.first_at, slate.c.unit == first.c.unit))
        sample = sa.select(slate.c.context).select_from(joined).limit(_SAMPLE)
        with self._reading() as connection:
            contexts = connection.execute(sample).scalars().all()
        plain = (str, int, float, bool)
        return sorted({name for each in contexts for name, value in each.items() if isinstance(value, plain)})

    def cells(
        self, stretch: Stretch, columns: Sequence[str], by: Sequence[str], metrics: Sequence[DeclaredMetric] = ()
    ) -> Mapping[str, Sequence[Cell]]:
        """The moments by variant and attributes of the first slate: under "" those of `columns`, then by metric.

        A unit's attributes are those of the slate that exposed it; None where it was exposed without one, or the slate
        does not say. Later values may follow from the treatment, so that they are not looked at.
        """
        first = first_exposures(stretch).cte("first_seen")
        since = [slate.c.time >= stretch.since] if stretch.since is not None else []
        known = (
            sa.select(
                first.c.unit,
                *(sa.func.max(attribute(slate.c.context, name)).label(f"a{i}") for i, name in enumerate(by)),
            )
            .select_from(first.join(slate, sa.and_(slate.c.time == first.c.first_at, slate.c.unit == first.c.unit)))
            .where(*since)
            .group_by(first.c.unit)
            .cte("known")
        )
        names = [f"a{i}" for i in range(len(by))]
        exposed = (
            sa.select(*first.columns, *(sa.func.coalesce(known.c[name], _UNKNOWN).label(name) for name in names))
            .select_from(first.outerjoin(known, known.c.unit == first.c.unit))
            .cte("exposed")
        )
        return self._cells(stretch, exposed, names, columns, metrics)

    def crossed_with(
        self, stretch: Stretch, columns: Sequence[str], other: int, metrics: Sequence[DeclaredMetric] = ()
    ) -> Mapping[str, Sequence[Cell]]:
        """As `cells`, `values` being the variant of phase `other`; of units in both, crossed in neither."""
        beside = exposure.alias("beside")
        exposed = (
            first_exposures(stretch, beside.c.variant.label("a0"))
            .where(
                beside.c.phase == other,
                beside.c.unit == exposure.c.unit,
                beside.c.counted,
                sa.not_(beside.c.crossed),
                beside.c.first_at < stretch.until,
            )
            .cte("exposed")
        )
        return self._cells(stretch, exposed, ["a0"], columns, metrics)

    def shown(self, stretch: Stretch, *, blocks: int) -> Sequence[Shown]:
        """What was shown to the units of each variant, in blocks by a hash of the unit. Scans the impressions."""
        with self._reading() as connection:
            return shown_in(connection, stretch, blocks)

    def measured_aside(self, stretch: Stretch, metrics: Sequence[DeclaredMetric]) -> Mapping[str, Measured]:
        """As `measured`, of what can wait."""
        return self._by_group(stretch, metrics, step_aside)

    def catalogue_size(self, until: datetime) -> int:
        """How many items were published before then."""
        with self._reading() as connection:
            counted = sa.select(sa.func.count()).select_from(item).where(item.c.published_at < until)
            return connection.execute(counted).scalar_one()

    def keep_exploration(self, experiment: str, phase: int, document: Mapping[str, Json]) -> None:
        """From now on the experiment's newest report shows these parts; those of before are gone."""
        kept = exploration.c.experiment == experiment
        with writing(self._engine) as connection:
            connection.execute(sa.delete(exploration).where(kept))
            connection.execute(sa.insert(exploration).values(experiment=experiment, phase=phase, document=document))

    def _cells(
        self,
        stretch: Stretch,
        exposed: sa.CTE,
        names: Sequence[str],
        columns: Sequence[str],
        metrics: Sequence[DeclaredMetric],
    ) -> dict[str, Sequence[Cell]]:
        check_columns(columns)
        keys = ("variant", *names)
        found: dict[str, Sequence[Cell]] = {}
        with self._reading() as connection:
            if columns:
                totals = totals_as_of(connection, stretch.until)
                units = _unit_totals(stretch, exposed, names, columns, totals)
                family = [f"c{i}" for i in range(len(columns))]
                rows = connection.execute(grouped(units, [family], keys)).all()
                scale = [scale_of(column) for column in columns]
                found[""] = [_cell(row, names, columns, 0, scale) for row in rows]
            if metrics:
                layout = Layout(metrics, _without_past(stretch), caps_of(connection, stretch, metrics))
                rows = connection.execute(grouped(layout.units(exposed=exposed), layout.families, keys)).all()
                for number, metric in enumerate(metrics):
                    own = layout.columns[metric.key]
                    found[metric.key] = [_cell(row, names, own, number, ()) for row in rows]
        return found

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        """A snapshot with room to sort, for what can wait."""
        with snapshot(self._engine) as connection:
            step_aside(connection)
            yield connection


def _unit_totals(
    stretch: Stretch, exposed: sa.CTE, names: Sequence[str], columns: Sequence[str], totals: sa.FromClause
) -> sa.CTE:
    """One row a unit: variant, attributes and the columns c0, c1, … of what it was served under its variant."""
    member = sa.and_(
        arm_member.c.arm == totals.c.arm,
        arm_member.c.phase == stretch.phase,
        arm_member.c.variant == exposed.c.variant,
        arm_member.c.counted,
    )
    unit = (exposed.c.unit, exposed.c.variant, *(exposed.c[name] for name in names))
    wanted = sorted({total_of(column) for column in columns} | {"clicks"})
    during = (
        sa.select(*unit, *(sa.func.sum(totals.c[name]).label(name) for name in wanted))
        .select_from(exposed.join(totals, totals.c.unit == exposed.c.unit).join(arm_member, member))
        .group_by(*unit)
        .cte("during")
    )
    values = (unit_float(column, during).label(f"c{i}") for i, column in enumerate(columns))
    return sa.select(during.c.variant, *(during.c[name] for name in names), *values).cte("units")


def _cell(row: sa.Row[Any], names: Sequence[str], columns: Sequence[str], number: int, scale: Sequence[float]) -> Cell:
    held = row._mapping  # noqa: SLF001 - SQLAlchemy's public name for it
    return Cell(
        variant=row.variant,
        values=tuple(held[name] or None for name in names),
        moments=moments_in(row, columns, number, scale=scale),
    )


def _without_past(stretch: Stretch) -> Stretch:
    return Stretch(phase=stretch.phase, until=stretch.until, since=stretch.since)
