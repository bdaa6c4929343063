"""The per-unit totals by day: what units did on each, and all that they had done by its end.

The running moments come from one pass. On a day that a unit does something its total x becomes x', which adds
x'x'ᵀ - xxᵀ to the products of its arm and x' - x to the sums; all are shifted by one pilot, so that nothing cancels.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa

from lamella.adapters.sql.events import first_exposures
from lamella.adapters.sql.grouping import grouped, moments_in
from lamella.adapters.sql.moments import scale_of, total_of, unit_float
from lamella.adapters.sql.schema import arm_member
from lamella.services.measure_ports import CumulativeMoments, DayMoments, Stretch
from lamella.stats.moments import Moments


def daily_query(stretch: Stretch, totals: sa.FromClause, columns: Sequence[str]) -> sa.Select[Any]:
    """The moments by variant, day of first exposure and day."""
    by_day = _by_day(stretch, totals, columns)
    values = (unit_float(column, by_day).label(f"c{i}") for i, column in enumerate(columns))
    keys = ("variant", "first_day", "day")
    units = sa.select(*(by_day.c[key] for key in keys), *values).cte("units")
    return grouped(units, [[f"c{i}" for i in range(len(columns))]], keys)


def daily_rows(rows: Iterable[sa.Row[Any]], columns: Sequence[str]) -> list[DayMoments]:
    """What `daily_query` found, in order of time."""
    scale = [scale_of(column) for column in columns]
    found = [
        DayMoments(
            variant=row.variant, first_day=row.first_day, day=row.day, moments=moments_in(row, columns, scale=scale)
        )
        for row in rows
    ]
    return sorted(found, key=lambda each: (each.day, each.first_day, each.variant))


def cumulative_query(stretch: Stretch, totals: sa.FromClause, columns: Sequence[str]) -> sa.Select[Any]:
    """Rows of variant, day, entered, pilot_i, and what the day adds: sum_i, product_i_j."""
    size = range(len(columns))
    both = _now_and_then(_by_day(stretch, totals, columns), columns)
    means = (
        sa.select(both.c.variant, *(sa.func.avg(both.c[f"now_{i}"]).label(f"mean_{i}") for i in size))
        .group_by(both.c.variant)
        .cte("pilot")
    )
    now = [both.c[f"now_{i}"] - means.c[f"mean_{i}"] for i in size]
    # A unit that is new had no total that could be taken away.
    then = [sa.case((both.c.is_new == 1, 0.0), else_=both.c[f"then_{i}"] - means.c[f"mean_{i}"]) for i in size]
    return (
        sa.select(
            both.c.variant,
            both.c.day,
            sa.func.sum(both.c.is_new).label("entered"),
            *(sa.func.max(means.c[f"mean_{i}"]).label(f"pilot_{i}") for i in size),
            *(sa.func.sum(now[i] - then[i]).label(f"sum_{i}") for i in size),
            *(
                sa.func.sum(now[i] * now[j] - then[i] * then[j]).label(f"product_{i}_{j}")
                for i in size
                for j in size
                if i <= j
            ),
        )
        .select_from(both.join(means, means.c.variant == both.c.variant))
        .group_by(both.c.variant, both.c.day)
        .order_by(both.c.day, both.c.variant)
    )


def _now_and_then(by_day: sa.CTE, columns: Sequence[str]) -> sa.CTE:
    """For each unit and day its totals by the day's end (now_i) and before it (then_i), and whether it is_new."""
    names = sorted({total_of(column) for column in columns} | {"clicks"})
    window: dict[str, Any] = {"partition_by": by_day.c.unit, "order_by": by_day.c.day}
    running = sa.select(
        by_day.c.variant,
        by_day.c.day,
        sa.func.row_number().over(**window).label("place"),
        *(by_day.c[name].label(f"own_{name}") for name in names),
        *(sa.func.sum(by_day.c[name]).over(**window, rows=(None, 0)).label(name) for name in names),
    ).cte("running")
    before = sa.select(
        running.c.variant,
        running.c.day,
        running.c.place,
        *((running.c[name] - running.c[f"own_{name}"]).label(name) for name in names),
        *(unit_float(column, running).label(f"now_{i}") for i, column in enumerate(columns)),
    ).cte("before")
    return sa.select(
        before.c.variant,
        before.c.day,
        sa.case((before.c.place == 1, 1), else_=0).label("is_new"),
        *(before.c[f"now_{i}"] for i in range(len(columns))),
        *(unit_float(column, before).label(f"then_{i}") for i, column in enumerate(columns)),
    ).cte("both")


def cumulative_rows(rows: Iterable[sa.Row[Any]], columns: Sequence[str]) -> list[CumulativeMoments]:
    """The moments at the end of each day on which somebody of the variant did something, in order of time."""
    k = len(columns)
    scale = np.array([scale_of(column) for column in columns])
    units: defaultdict[str, int] = defaultdict(int)
    sums: defaultdict[str, Any] = defaultdict(lambda: np.zeros(k))
    products: defaultdict[str, Any] = defaultdict(lambda: np.zeros((k, k)))
    found = []
    for row in rows:
        values, variant = row._mapping, row.variant  # noqa: SLF001 - SQLAlchemy's public name for it
        added = np.zeros((k, k))
        for i in range(k):
            for j in range(i, k):
                added[i, j] = added[j, i] = values[f"product_{i}_{j}"]
        units[variant] += int(row.entered)
        sums[variant] = sums[variant] + np.array([float(values[f"sum_{i}"]) for i in range(k)])
        products[variant] = products[variant] + added
        pilot = np.array([float(values[f"pilot_{i}"]) for i in range(k)])
        moments = Moments.from_shifted_sums(
            columns, units[variant], pilot * scale, sums[variant] * scale, products[variant] * np.outer(scale, scale)
        )
        found.append(CumulativeMoments(variant=variant, day=row.day, moments=moments))
    return found


def _by_day(stretch: Stretch, totals: sa.FromClause, columns: Sequence[str]) -> sa.CTE:
    """One row a unit and day: what it was served under its variant."""
    first = first_exposures(stretch).cte("exposed")
    member = sa.and_(
        arm_member.c.arm == totals.c.arm,
        arm_member.c.phase == stretch.phase,
        arm_member.c.variant == first.c.variant,
        arm_member.c.counted,
    )
    key = (first.c.unit, first.c.variant, first.c.first_day, totals.c.day)
    names = sorted({total_of(column) for column in columns} | {"clicks"})
    return (
        sa.select(*key, *(sa.func.sum(totals.c[name]).label(name) for name in names))
        .select_from(first.join(totals, totals.c.unit == first.c.unit).join(arm_member, member))
        .group_by(*key)
        .cte("by_day")
    )
