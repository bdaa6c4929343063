"""What takes turns with ingests: everything else that changes totals, exposures, flags or facts."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import sqlalchemy as sa

from lamella.adapters.sql.engine import is_postgresql, writing

INGEST: Final = 0x696E67657374
"""The key of the advisory lock that ingests take on PostgreSQL: "ingest" in ASCII. SQLite has one writer anyway."""


@contextmanager
def ingesting(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction that may write, and during which no ingest runs."""
    with writing(engine) as connection:
        if is_postgresql(connection):
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(INGEST)))
        yield connection
