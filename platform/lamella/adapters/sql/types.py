"""Column types that behave alike on PostgreSQL and SQLite."""

from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

# SQLite numbers rows by itself only where the key's type is INTEGER.
Identity: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# Each index by unit compares bytes, as SQLite does, and not letters as the server's language sorts them.
Unit: Final = sa.Text(collation="C").with_variant(sa.Text(), "sqlite")


def required(name: str, kind: Any) -> sa.Column[Any]:
    """A column that is never null."""
    return sa.Column(name, kind, nullable=False)


class UTCDateTime(sa.types.TypeDecorator[datetime]):
    """A moment, aware and in UTC on both sides; a naive one is refused.

    PostgreSQL keeps TIMESTAMPTZ, SQLite the text `2026-03-02 08:00:00.000000`, which sorts like the time.
    """

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """The moment in UTC. Raises ValueError for a naive one."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value.isoformat()} has no offset; the store keeps aware times only")
        return value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """The moment, aware, in UTC."""
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
