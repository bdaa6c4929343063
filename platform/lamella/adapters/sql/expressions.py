"""Expressions that PostgreSQL and SQLite spell differently and answer alike."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

from lamella.adapters.sql.types import UTCDateTime


class shifted(GenericFunction[Any]):  # noqa: N801 - reads as a function of SQL
    """A moment and some whole seconds later."""

    type = UTCDateTime()
    inherit_cache = True


class attribute(GenericFunction[Any]):  # noqa: N801 - as above
    """The attribute of a JSON object as text: numbers and booleans as JSON writes them, NULL for lists and objects."""

    type = sa.Text()
    inherit_cache = True


class unit_block(GenericFunction[Any]):  # noqa: N801 - as above
    """A number from 0 to 255 by a hash of a unit, the same in both databases: the first byte of its MD5."""

    type = sa.Integer()
    inherit_cache = True


class days_between(GenericFunction[Any]):  # noqa: N801 - as above
    """The whole days from one date to another."""

    type = sa.Integer()
    inherit_cache = True


@compiles(shifted, "postgresql")
def _shifted_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    moment, seconds = (compiler.process(each, **options) for each in element.clauses)
    return f"({moment} + make_interval(secs => {seconds}))"


@compiles(shifted, "sqlite")
def _shifted_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    # The text's last digits are the fraction of a second, which SQLite's own arithmetic would round.
    moment, seconds = (compiler.process(each, **options) for each in element.clauses)
    return f"(datetime(substr({moment}, 1, 19), ({seconds}) || ' seconds') || substr({moment}, 20))"


@compiles(attribute, "postgresql")
def _attribute_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    held, name = (compiler.process(each, **options) for each in element.clauses)
    is_plain = f"json_typeof({held} -> {name}) IN ('string', 'number', 'boolean')"
    return f"(CASE WHEN {is_plain} THEN {held} ->> {name} END)"


@compiles(attribute, "sqlite")
def _attribute_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    held, name = (compiler.process(each, **options) for each in element.clauses)
    path = f"'$.\"' || {name} || '\"'"
    return (
        f"(CASE json_type({held}, {path}) WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' WHEN 'object' THEN NULL "
        f"WHEN 'array' THEN NULL ELSE CAST(json_extract({held}, {path}) AS TEXT) END)"
    )


@compiles(unit_block, "postgresql")
def _block_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    (unit,) = (compiler.process(each, **options) for each in element.clauses)
    return f"('x' || substr(md5({unit}), 1, 2))::bit(8)::integer"


@compiles(unit_block, "sqlite")
def _block_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    (unit,) = (compiler.process(each, **options) for each in element.clauses)
    return f"unit_block({unit})"


@compiles(days_between, "postgresql")
def _days_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    one, other = (compiler.process(each, **options) for each in element.clauses)
    return f"({other} - {one})"


@compiles(days_between, "sqlite")
def _days_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    one, other = (compiler.process(each, **options) for each in element.clauses)
    return f"CAST(julianday({other}) - julianday({one}) AS INTEGER)"
