"""The records that could not be stored, as they are shown to people."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from lamella.adapters.sql.engine import writing
from lamella.adapters.sql.schema import quarantine
from lamella.services.quarantine import Quarantined

_SHOWN: Final = ("at", "reason", "detail", "kind", "key", "unit", "body")


class SqlQuarantine:
    """Records in quarantine, newest first."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def counts(self) -> Mapping[str, int]:
        """How many there are for each reason."""
        numbers = sa.select(quarantine.c.reason, sa.func.count().label("records")).group_by(quarantine.c.reason)
        with self._engine.connect() as connection:
            return {row.reason: row.records for row in connection.execute(numbers.order_by(quarantine.c.reason))}

    def newest(self, *, reason: str | None = None, skip: int = 0, limit: int = 100) -> Sequence[Quarantined]:
        """The newest records, of one reason or of all, after the first `skip`."""
        wanted = sa.select(*(quarantine.c[name] for name in _SHOWN)).offset(skip).limit(limit)
        if reason is not None:
            wanted = wanted.where(quarantine.c.reason == reason)
        with self._engine.connect() as connection:
            rows = connection.execute(wanted.order_by(quarantine.c.at.desc(), quarantine.c.digest)).mappings()
            return [Quarantined(**{**row, "unit": row["unit"] or "", "body": _text(row["body"])}) for row in rows]

    def clear(self, *, before: datetime) -> int:
        """How many records that came before the moment were removed for good."""
        with writing(self._engine) as connection:
            return connection.execute(sa.delete(quarantine).where(quarantine.c.at < before)).rowcount


def _text(body: bytes) -> str:
    return bytes(body).decode(errors="replace")
