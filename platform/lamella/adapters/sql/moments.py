"""One grouped query that yields n, sums and products of all unit-level columns for each arm of a phase.

Sums are shifted by the arm's mean (the pilot), so that values near 1e9 with variance near 1 survive: neither database
has to compute a variance by itself, and both give the same numbers. Seconds and completion stay whole millionths
until the end, so that an arm without any has a mean of exactly 0, and one where all are the same a variance of 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from lamella.adapters.sql.schema import TOTALS, arm_member, exposure, flagged_unit, unit_total
from lamella.adapters.sql.totals import MICRO
from lamella.errors import InvalidInput

_MICROS: Final = {"read_seconds": "read_micros", "completion": "completion_micros"}
COLUMNS: Final = (*(_public for _public in TOTALS if not _public.endswith("_micros")), *_MICROS, "clicked")
"""The unit-level columns; each has a `pre_` twin, and there is `has_pre`: 1 for a unit with any traffic before."""

_SEEN: Final = frozenset({"slates", "clicks", "reads", "interactions"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of the record: of units exposed before `until`, with the totals as of then."""

    phase: int
    columns: tuple[str, ...]
    until: datetime | None
    covariate_since: datetime | None
    totals: sa.FromClause


def scale_of(column: str) -> float:
    """What a column of the query is multiplied by to be in the unit that its name says."""
    return 1.0 / MICRO if column.removeprefix("pre_") in _MICROS else 1.0


def check_columns(columns: Sequence[str]) -> None:
    """Returns if every column exists. Raises InvalidInput that names those that don't."""
    unknown = [each for each in columns if each != "has_pre" and each.removeprefix("pre_") not in COLUMNS]
    if unknown:
        raise InvalidInput(f"no columns {', '.join(unknown)}; there are {', '.join(COLUMNS)}, pre_ each, has_pre")


def moments_query(question: Question) -> sa.Select[Any]:
    """Rows of variant, crossed, units, slates, fallback_slates, pilot_i, sum_i and product_i_j."""
    return _summed(_units(question), len(question.columns))


def recent_query(columns: Sequence[str], since: datetime) -> sa.Select[Any]:
    """The same row over every unit with traffic from the day of `since` on, as the one variant ""."""
    names = {"slates", "fallback_slates", *(total_of(column) for column in columns)}
    recent = (
        sa.select(unit_total.c.unit, *(sa.func.sum(unit_total.c[name]).label(name) for name in sorted(names)))
        .where(unit_total.c.day >= since.astimezone(UTC).date())
        .group_by(unit_total.c.unit)
        .cte("recent")
    )
    kept = (sa.literal("").label("variant"), sa.false().label("crossed"), recent.c.slates, recent.c.fallback_slates)
    values = (unit_float(column, recent).label(f"c{i}") for i, column in enumerate(columns))
    return _summed(sa.select(*kept, *values).cte("units"), len(columns))


def _summed(units: sa.CTE, width: int) -> sa.Select[Any]:
    """The sums of the columns c0, c1, … of `units`, by variant and whether they crossed."""
    names = [f"c{i}" for i in range(width)]
    averages = (sa.func.avg(units.c[name]).label(name) for name in names)
    counted = sa.select(units.c.variant, *averages).where(sa.not_(units.c.crossed)).group_by(units.c.variant)
    means = counted.cte("pilot") if names else None
    asked: list[sa.ColumnElement[Any]] = [
        units.c.variant,
        units.c.crossed,
        sa.func.count().label("units"),
        sa.func.sum(units.c.slates).label("slates"),
        sa.func.sum(units.c.fallback_slates).label("fallback_slates"),
    ]
    source: sa.FromClause = units
    if means is not None:
        source = units.outerjoin(means, means.c.variant == units.c.variant)
        shifted = [units.c[name] - means.c[name] for name in names]
        asked += [sa.func.max(means.c[name]).label(f"pilot_{i}") for i, name in enumerate(names)]
        asked += [sa.func.sum(each).label(f"sum_{i}") for i, each in enumerate(shifted)]
        asked += [
            sa.func.sum(one * other).label(f"product_{i}_{j}")
            for i, one in enumerate(shifted)
            for j, other in enumerate(shifted)
            if i <= j
        ]
    return sa.select(*asked).select_from(source).group_by(units.c.variant, units.c.crossed)


def _units(question: Question) -> sa.CTE:
    """One row a unit: its variant, whether it crossed, and its columns c0, c1, … as floats."""
    during = _during(question)
    source: sa.FromClause = during
    before: sa.CTE | None = None
    if any(_is_pre(column) for column in question.columns):
        before = _before(question)
        source = during.outerjoin(before, before.c.unit == during.c.unit)
    columns = [_value(column, during, before).label(f"c{i}") for i, column in enumerate(question.columns)]
    kept = (during.c.variant, during.c.crossed, during.c.slates, during.c.fallback_slates)
    return sa.select(*kept, *columns).select_from(source).cte("units")


def _value(column: str, during: sa.CTE, before: sa.CTE | None) -> sa.ColumnElement[Any]:
    if before is None or not _is_pre(column):
        return unit_float(column, during)
    if column == "has_pre":
        return sa.case((sa.or_(*(before.c[name] > 0 for name in sorted(_SEEN))), 1.0), else_=0.0)
    return sa.func.coalesce(unit_float(column.removeprefix("pre_"), before), 0.0)


def unit_float(column: str, of: sa.CTE) -> sa.ColumnElement[Any]:
    """The column of a unit as a float, out of its totals."""
    if column == "clicked":
        return sa.case((of.c.clicks > 0, 1.0), else_=0.0)
    return sa.cast(of.c[total_of(column)], sa.Double)


def _is_pre(column: str) -> bool:
    return column == "has_pre" or column.startswith("pre_")


def total_of(column: str) -> str:
    """The per-unit total that a column is made of."""
    return "clicks" if column == "clicked" else _MICROS.get(column, column)


def _asked_exposures(question: Question) -> list[sa.ColumnElement[bool]]:
    is_reader = exposure.c.unit.not_in(sa.select(flagged_unit.c.unit))
    conditions = [exposure.c.phase == question.phase, exposure.c.counted, is_reader]
    return conditions if question.until is None else [*conditions, exposure.c.first_at < question.until]


def _during(question: Question) -> sa.CTE:
    """The totals of each exposed unit over what it was served under its variant of the phase."""
    totals = question.totals
    member = sa.and_(
        arm_member.c.arm == totals.c.arm,
        arm_member.c.phase == exposure.c.phase,
        arm_member.c.variant == exposure.c.variant,
        arm_member.c.counted,
    )
    unit = (exposure.c.unit, exposure.c.variant, exposure.c.crossed)
    names = {"slates", "fallback_slates", *(total_of(column) for column in question.columns if not _is_pre(column))}
    return (
        sa.select(*unit, *(sa.func.sum(totals.c[name]).label(name) for name in sorted(names)))
        .select_from(exposure.join(totals, totals.c.unit == exposure.c.unit).join(arm_member, member))
        .where(*_asked_exposures(question))
        .group_by(*unit)
        .cte("during")
    )


def _before(question: Question) -> sa.CTE:
    """The totals of each exposed unit, in whatever arm, on the days before that of its first exposure."""
    conditions = [*_asked_exposures(question), unit_total.c.day < exposure.c.first_day]
    if question.covariate_since is not None:
        conditions.append(unit_total.c.day >= question.covariate_since.astimezone(UTC).date())
    names = {total_of(column.removeprefix("pre_")) for column in question.columns if column.startswith("pre_")} | _SEEN
    return (
        sa.select(exposure.c.unit, *(sa.func.sum(unit_total.c[name]).label(name) for name in sorted(names)))
        .select_from(exposure.join(unit_total, unit_total.c.unit == exposure.c.unit))
        .where(*conditions)
        .group_by(exposure.c.unit)
        .cte("before")
    )
