"""The facts as what each adds to the totals of its unit, arm and day: the definition of `unit_total`, in SQL.

A slate says how many items it showed, so that the impressions need not be read for their number.
"""

from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

from lamella.adapters.sql.schema import TOTALS, click, interaction, read, slate

_ZERO: Final[sa.ColumnElement[int]] = sa.literal_column("0")
_ONE: Final[sa.ColumnElement[int]] = sa.literal_column("1")


class whole_micros(GenericFunction[Any]):  # noqa: N801 - reads as a function of SQL
    """A number of at least 0 in whole millionths, halves to even, as `round` of Python does it."""

    type = sa.BigInteger()
    inherit_cache = True


@compiles(whole_micros, "postgresql")
def _micros_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    (value,) = (compiler.process(each, **options) for each in element.clauses)
    return f"CAST({value} * 1e6::float8 AS bigint)"


@compiles(whole_micros, "sqlite")
def _micros_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    (value,) = (compiler.process(each, **options) for each in element.clauses)
    scaled = f"({value} * 1e6)"
    whole = f"CAST({scaled} AS INTEGER)"
    over = f"({scaled} - {whole})"
    return f"({whole} + ({over} > 0.5 OR ({over} = 0.5 AND {whole} % 2 = 1)))"


class whole_moment(GenericFunction[Any]):  # noqa: N801 - as above
    """A moment as eight bytes: whole microseconds since the year 2000 where it is copied in binary, or asked for."""

    type = sa.BigInteger()
    inherit_cache = True


@compiles(whole_moment, "postgresql")
def _moment_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    # That is how binary COPY writes a timestamptz; to compute it would cost more than the rest of the row.
    (moment,) = (compiler.process(each, **options) for each in element.clauses)
    return str(moment)


@compiles(whole_moment, "sqlite")
def _moment_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    (moment,) = (compiler.process(each, **options) for each in element.clauses)
    seconds = f"(CAST(strftime('%s', substr({moment}, 1, 19)) AS INTEGER) - 946684800)"
    return f"({seconds} * 1000000 + CAST(substr({moment}, 21, 6) AS INTEGER))"


def fact_rows(*, since: datetime | None = None, until: datetime | None = None, sign: int = 1) -> sa.CompoundSelect[Any]:
    """Rows of unit, arm, day and the totals, one a fact from `since` and before `until`, times `sign`."""
    parts = (
        _part(slate, slates=_ONE, fallback_slates=_FELL_BACK, impressions=slate.c["items"]),
        _part(click, clicks=_ONE),
        _part(
            read,
            reads=_ONE,
            read_micros=sa.func.whole_micros(read.c.read_seconds),
            completion_micros=sa.func.coalesce(sa.func.whole_micros(read.c.completion), 0),
            completion_reads=_if(read.c.completion.is_not(None)),
        ),
        _part(
            interaction,
            interactions=_ONE,
            comments=_if(interaction.c.action == "comment"),
            shares=_if(interaction.c.action == "share"),
        ),
    )
    return sa.union_all(*(_within(fact, columns, since, until, sign) for fact, columns in parts))


def day_of(moment: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """The day of a moment in UTC: sessions on PostgreSQL have that time zone."""
    return sa.func.date(moment, type_=sa.Date)


def fell_back() -> sa.ColumnElement[bool]:
    """Whether any stage of a slate fell back."""
    return sa.cast(slate.c.fallbacks, sa.Text) != "{}"


def _if(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.case((condition, _ONE), else_=_ZERO)


_FELL_BACK: Final = _if(fell_back())


def _part(fact: sa.Table, **values: sa.ColumnElement[Any]) -> tuple[sa.Table, dict[str, sa.ColumnElement[Any]]]:
    return fact, {name: values.get(name, _ZERO) for name in TOTALS}


def _within(
    fact: sa.Table,
    columns: dict[str, sa.ColumnElement[Any]],
    since: datetime | None,
    until: datetime | None,
    sign: int,
) -> sa.Select[Any]:
    totals = [(value if sign > 0 or value is _ZERO else -value).label(name) for name, value in columns.items()]
    rows = sa.select(fact.c.unit, fact.c.arm, day_of(fact.c.time).label("day"), *totals)
    if since is not None:
        rows = rows.where(fact.c.time >= since)
    return rows if until is None else rows.where(fact.c.time < until)
