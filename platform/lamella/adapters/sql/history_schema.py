"""The tables of what units read and clicked, on SQLite: a chain of short rows for each unit.

A row holds what one ingest brought of a unit and points to the unit's row before. So ingest appends, whatever the
number of units: into an index of reads and clicks by unit it would write all over, which cost as much as the rows
themselves. PostgreSQL does have that index; it is cheaper there than the chains.
"""

from typing import Final

import sqlalchemy as sa

from lamella.adapters.sql.schema import ONLY_SQLITE, metadata
from lamella.adapters.sql.types import required

# `events` is a JSON list: microseconds since 1970, item, microseconds, item, and so on. `newest` is the latest time of
# this row and of all before it: events may come late, and who looks for the last ones knows by it when to stop.
history: Final = sa.Table(
    "history",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    required("unit", sa.Text),
    sa.Column("previous", sa.BigInteger),
    required("newest", sa.BigInteger),
    required("events", sa.LargeBinary),
    info=ONLY_SQLITE,
)
# Where the chain of a unit begins, and the `newest` of that row.
history_head: Final = sa.Table(
    "history_head",
    metadata,
    sa.Column("unit", sa.Text, primary_key=True),
    required("last", sa.BigInteger),
    required("newest", sa.BigInteger),
    sqlite_with_rowid=False,
    info=ONLY_SQLITE,
)
