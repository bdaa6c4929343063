"""What PostgreSQL's planner knows of how full tables are.

Of one that was never looked at it assumes that it is nearly empty, and joins it row by row: some seconds for a query
that takes a tenth of one. Autovacuum comes by once a minute, and the first report of a young installation, or of a new
month, is earlier.
"""

from typing import Final

import sqlalchemy as sa

from lamella.adapters.sql.engine import is_postgresql, writing
from lamella.adapters.sql.schema import FACTS, metadata

_CLASS: Final = sa.table(
    "pg_class",
    sa.column("relname", sa.Text),
    sa.column("oid", sa.Integer),
    sa.column("relkind", sa.Text),
    sa.column("reltuples", sa.Float),
)
_PREFIXES: Final = tuple(f"{fact.name}_" for fact in FACTS)
_UNKNOWN: Final = sa.select(_CLASS.c.relname).where(
    _CLASS.c.relkind == "r",
    _CLASS.c.reltuples < 0,
    sa.func.pg_table_is_visible(_CLASS.c.oid),
    sa.func.pg_relation_size(_CLASS.c.oid) > 0,
)


def look_at_new_tables(engine: sa.Engine) -> None:
    """Has PostgreSQL look at our tables that it never looked at and that have rows; nothing on SQLite.

    One that autovacuum is at, or that belongs to another role, is left alone.
    """
    if not is_postgresql(engine):
        return
    with engine.connect() as connection:
        found = [name for name in connection.execute(_UNKNOWN).scalars() if _is_ours(name)]
    for name in sorted(found):
        with writing(engine) as connection:
            connection.exec_driver_sql(f"ANALYZE (SKIP_LOCKED) {connection.dialect.identifier_preparer.quote(name)}")


def _is_ours(name: str) -> bool:
    return name in metadata.tables or name.startswith(_PREFIXES)
