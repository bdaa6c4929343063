"""Everything that the store holds of one unit: exported, or erased in one transaction.

Every table with a column `unit` takes part by itself, so a new one cannot be forgotten. Besides, a unit stands in the
batches that wait in the inbox and in the records in quarantine.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

import orjson
import sqlalchemy as sa

from lamella.adapters.sql import kept_schema
from lamella.adapters.sql.changes import forget
from lamella.adapters.sql.engine import is_postgresql, snapshot
from lamella.adapters.sql.keeping import SqlKeptStore
from lamella.adapters.sql.locks import ingesting
from lamella.adapters.sql.schema import inbox, quarantine, slate_receipt
from lamella.adapters.sql.tables import tables_of
from lamella.experiments.model import Json
from lamella.services.ports import Clock

_NOTES: Final = (kept_schema.total_change, kept_schema.exposure_change)
"""What tells the kept moments of the erasure; emptied right after it."""


class SqlUnitRecords:
    """The rows of one unit in every table."""

    def __init__(self, engine: sa.Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock

    def export(self, unit: str) -> Mapping[str, Sequence[Mapping[str, Json]]]:
        """The unit's rows by table, at one moment; tables without any are left out."""
        found: dict[str, Sequence[Mapping[str, Json]]] = {}
        with snapshot(self._engine) as connection:
            for table in _tables(connection):
                rows = connection.execute(sa.select(table).where(table.c.unit == unit)).mappings()
                found[str(table.name)] = [{str(name): _plain(value) for name, value in row.items()} for row in rows]
            refused = connection.execute(sa.select(quarantine).where(_mentions(connection, quarantine.c.body, unit)))
            found["quarantine"] = [
                {str(name): _plain(value) for name, value in row.items()}
                for row in refused.mappings()
                if row["unit"] == unit or _names(row["body"], unit)
            ]
            waiting = connection.execute(sa.select(inbox).where(_mentions(connection, inbox.c.body, unit)))
            found["inbox"] = [record for row in waiting for record in _records(row.body) if _is_of(record, unit)]
        return {name: rows for name, rows in found.items() if rows}

    def erase(self, unit: str) -> Mapping[str, int]:
        """How many rows of each table are gone, or (inbox) were rewritten without the unit.

        The receipts of its slates and events stay, without the unit: what is sent once more stays out.
        """
        gone: dict[str, int] = {}
        with ingesting(self._engine) as connection:
            forget(connection, [unit])
            gone["inbox"] = _rewrite(connection, unit)
            gone["quarantine"] = _clear(connection, unit)
            nameless = sa.update(slate_receipt).where(slate_receipt.c.unit == unit).values(unit="")
            gone["slate_receipt"] = connection.execute(nameless).rowcount
            for table in _tables(connection):
                if table is not slate_receipt and table not in _NOTES:
                    number = connection.execute(sa.delete(table).where(table.c.unit == unit)).rowcount
                    gone[str(table.name)] = gone.get(str(table.name), 0) + number
        # The notes named the unit so that the kept moments could lose it.
        SqlKeptStore(self._engine).check(self._clock.now())
        return {name: number for name, number in gone.items() if number}


def _tables(connection: sa.Connection) -> Iterator[sa.Table]:
    return (table for table in tables_of(connection.dialect.name) if "unit" in table.c)


def _mentions(connection: sa.Connection, body: sa.Column[Any], unit: str) -> sa.ColumnElement[bool]:
    """Whether the bytes may name the unit: as a JSON text, or as one inside of another."""
    plain = orjson.dumps(unit)
    ways = (plain, orjson.dumps(plain.decode())[1:-1])
    if is_postgresql(connection):
        found = [sa.func.position(sa.literal(each, sa.LargeBinary).op("IN")(body)) for each in ways]
    else:
        found = [sa.func.instr(body, each) for each in ways]
    return sa.or_(*(each > 0 for each in found))


def _rewrite(connection: sa.Connection, unit: str) -> int:
    """How many waiting batches were replaced by others without the unit's records."""
    rows = connection.execute(sa.select(inbox).where(_mentions(connection, inbox.c.body, unit)))
    changed = 0
    for row in rows.all():
        records = _records(row.body)
        kept = [each for each in records if not _is_of(each, unit)]
        if records and len(kept) == len(records):
            continue
        # Also of a batch that nobody can read, which is of no use to anybody.
        connection.execute(sa.delete(inbox).where(inbox.c.id == row.id))
        if kept:
            # Under a new number: an ingest that has read the old batch already must find it gone.
            connection.execute(sa.insert(inbox).values(received_at=row.received_at, body=orjson.dumps(kept)))
        changed += 1
    return changed


def _clear(connection: sa.Connection, unit: str) -> int:
    """How many records in quarantine said the unit somewhere, and are gone."""
    columns = (quarantine.c.digest, quarantine.c.unit, quarantine.c.body)
    may_be = sa.or_(quarantine.c.unit == unit, _mentions(connection, quarantine.c.body, unit))
    rows = connection.execute(sa.select(*columns).where(may_be)).all()
    digests = [row.digest for row in rows if row.unit == unit or _names(row.body, unit)]
    for digest in digests:
        connection.execute(sa.delete(quarantine).where(quarantine.c.digest == digest))
    return len(digests)


def _records(batch: bytes) -> list[Any]:
    try:
        found = orjson.loads(batch)
    except orjson.JSONDecodeError:
        return []
    return found if isinstance(found, list) else []


def _is_of(record: Any, unit: str) -> bool:
    """Whether a record of a batch is the unit's, or is a refused one that names it."""
    if not isinstance(record, dict):
        return False
    body = record.get("body")
    return record.get("unit") == unit or (isinstance(body, str) and _names(body.encode(), unit))


def _names(body: bytes, unit: str) -> bool:
    """Whether a text of the JSON is the unit; of what is no JSON, whether it holds the unit in quotes."""
    try:
        return _holds(orjson.loads(body), unit)
    except orjson.JSONDecodeError:
        return orjson.dumps(unit) in body


def _holds(document: Any, unit: str) -> bool:
    """Whether the unit is in the JSON, however deeply it is nested."""
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if value == unit:
            return True
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return False


def _plain(value: Any) -> Json:
    if isinstance(value, (bytes, memoryview)):
        return bytes(value).decode(errors="replace") if len(bytes(value)) != _DIGEST else bytes(value).hex()
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    plain: Json = value
    return plain


_DIGEST: Final = 16
