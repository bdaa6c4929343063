"""The facts as events with properties: what a measure counts or sums, and its filter, as SQL."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles

from lamella.adapters.sql.schema import click, custom, flagged_unit, impression, interaction, read, slate
from lamella.adapters.sql.schema import exposure as exposed_unit
from lamella.experiments.conditions import Among, Compared, Condition, Every, Negated, Some, Value
from lamella.experiments.measures import condition_of
from lamella.experiments.model import Measure
from lamella.services.measure_ports import Stretch

TABLES: Final[Mapping[str, sa.Table]] = {
    "slate": slate,
    "impression": impression,
    "click": click,
    "read": read,
    "interaction": interaction,
    "custom": custom,
}
_FAULTS: Final = ("missing", "unavailable", "corrupt", "failed")
"""Why a model did not answer, other than that it was late."""


def _fell_back() -> sa.ColumnElement[Any]:
    return sa.case((sa.cast(slate.c.fallbacks, sa.Text) != "{}", 1), else_=0)


def _had_error() -> sa.ColumnElement[Any]:
    text = sa.cast(slate.c.fallbacks, sa.Text)
    return sa.case((sa.or_(*(text.contains(f'"{fault}"') for fault in _FAULTS)), 1), else_=0)


_DERIVED: Final[Mapping[tuple[str, str], Callable[[], sa.ColumnElement[Any]]]] = {
    ("slate", "fallback"): _fell_back,
    ("slate", "error"): _had_error,
}


def property_of(event: str, name: str) -> sa.ColumnElement[Any]:
    """The property of an event as a column; booleans are 1 and 0."""
    made = _DERIVED.get((event, name))
    return TABLES[event].c[name] if made is None else made()


def value_of(measure: Measure) -> sa.ColumnElement[Any]:
    """What one event adds to the measure: 1, or its property as a float."""
    if measure.property is None:
        return sa.literal_column("1.0")
    return sa.cast(property_of(measure.event, measure.property), sa.Double)


def filter_of(measure: Measure) -> sa.ColumnElement[bool]:
    """Whether an event counts: its filter, and that it has the property which is summed."""
    meets = _clause(condition_of(measure), measure.event)
    if measure.property is None:
        return meets
    return sa.and_(meets, property_of(measure.event, measure.property).is_not(None))


def first_exposures(stretch: Stretch, *extra: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """One row for each unit that the analysis counts and that was not crossed: its variant and first exposure."""
    unit = exposed_unit.c
    flagged = sa.exists().where(flagged_unit.c.unit == unit.unit)
    return sa.select(unit.unit, unit.variant, unit.first_at, unit.first_day, *extra).where(
        unit.phase == stretch.phase,
        unit.counted,
        sa.not_(unit.crossed),
        unit.first_at < stretch.until,
        sa.not_(flagged),
    )


class _Ordered(sa.Join):
    """A join that SQLite makes in the order in which it is written: it keeps the order of a CROSS JOIN."""

    inherit_cache = True


@compiles(_Ordered)
def _ordered(element: _Ordered, compiler: Any, **options: Any) -> str:
    return str(compiler.visit_join(element, **options))


@compiles(_Ordered, "sqlite")
def _ordered_sqlite(element: _Ordered, compiler: Any, **options: Any) -> str:
    # The left side is a table, so that the first JOIN is this one.
    return str(compiler.visit_join(element, **options)).replace(" JOIN ", " CROSS JOIN ", 1)


def events_of(fact: sa.Table, units: sa.CTE) -> sa.Join:
    """The events of these units.

    SQLite, which knows no sizes, goes through the events once and looks up each one's unit; left to itself it would go
    through all events for every unit.
    """
    return _Ordered(fact, units, units.c.unit == fact.c.unit)


def _clause(condition: Condition, event: str) -> sa.ColumnElement[bool]:
    """The condition; never NULL, as in Python."""
    match condition:
        case Every(parts):
            return sa.and_(sa.true(), *(_clause(part, event) for part in parts))
        case Some(parts):
            return sa.or_(sa.false(), *(_clause(part, event) for part in parts))
        case Negated(part):
            return sa.not_(_clause(part, event))
        case Among(name, values):
            column = property_of(event, name)
            return sa.and_(column.is_not(None), column.in_([_bound(each) for each in values]))
        case Compared(name, "==", None):
            return property_of(event, name).is_(None)
        case Compared(name, sign, value):
            column = property_of(event, name)
            compared = column == _bound(value) if sign == "==" else column.op(sign, is_comparison=True)(_bound(value))
            return sa.and_(column.is_not(None), compared)


def _bound(value: Value) -> Any:
    if isinstance(value, bool):
        return int(value)
    return sa.literal(value, sa.Double) if isinstance(value, float) else value
