"""The record that `analysis.py` measures on: made by numpy, loaded as facts in bulk.

Slates of five impressions; every unit has at least one slate in the experiment, and as many again are spread over the
units, more of them on eager ones, and over the week before and the week of the experiment.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from lamella.adapters.sql.arms import Arms
from lamella.adapters.sql.bulk import Bulk, bulk
from lamella.adapters.sql.engine import is_postgresql, writing
from lamella.adapters.sql.partitions import make_partitions, months_of
from lamella.adapters.sql.schema import click, impression, interaction, read, slate
from lamella.events.contract import Exposed

SLATE = 5
DAYS = 14
START = datetime(2026, 3, 9, tzinfo=UTC)
END = START + timedelta(days=DAYS / 2)
PHASE = 1
VARIANTS = ("a", "b")
ITEMS = 9_000
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_STEP = 500_000


@dataclass(frozen=True, slots=True)
class Events:
    """Impressions in the order of time: `slates` (m,) says whose, when and in which arm; the others are (5 m,)."""

    unit: NDArray[np.int64]
    micros: NDArray[np.int64]
    arm: NDArray[np.int64]
    clicked: NDArray[np.bool_]
    is_read: NDArray[np.bool_]
    seconds: NDArray[np.float64]
    completion: NDArray[np.float64]
    action: NDArray[np.int64]


def events(rng: np.random.Generator, rows: int) -> Events:
    """That many impressions of a tenth as many units; arm 1 is before the experiment, 2 and 3 its variants."""
    units, slates = rows // 10, rows // SLATE
    eager = rng.gamma(0.5, 2.0, units)
    others = rng.choice(units, slates - units, p=eager / eager.sum())
    unit = np.concatenate([np.arange(units), others])
    half = DAYS * 86_400 * 1_000_000 // 2
    micros = np.concatenate([rng.integers(0, half, units), rng.integers(-half, half, slates - units)])
    order = np.argsort(micros, kind="stable")
    unit, micros = unit[order], micros[order]
    treated = unit % 2 == 1
    arms = np.where(micros < 0, 1, 2 + treated)
    rate = np.clip(rng.beta(1.0, 19.0, units), 0, 0.5)[unit] * np.where((arms == 3), 1.02, 1.0)
    clicked = rng.random((slates, SLATE)) < rate[:, None]
    flat = clicked.ravel()
    is_read = flat & (rng.random(flat.size) < 0.6)
    acted = is_read & (rng.random(flat.size) < 0.15)
    return Events(
        unit=unit,
        micros=micros,
        arm=arms,
        clicked=flat,
        is_read=is_read,
        seconds=np.round(rng.lognormal(3.0, 1.0, flat.size), 3),
        completion=np.round(rng.random(flat.size), 3),
        action=np.where(acted, 1 + rng.integers(0, 2, flat.size), 0),
    )


def unit_name(number: int) -> str:
    """The id of a unit."""
    return f"unit-{number:08d}"


def load(engine: sa.Engine, of: Events) -> None:
    """Stores the facts, and nothing that is derived from them."""
    with writing(engine) as connection:
        make_partitions(connection, months_of([START.date(), (START - timedelta(days=9)).date()], END))
        for number, exposed in enumerate([(), *((Exposed(phase=PHASE, variant=key),) for key in VARIANTS)], 1):
            if Arms().numbers(connection, [exposed]) != {exposed: number}:
                raise RuntimeError("the store was not empty")
        for table, columns, kinds, parts in _tables(of):
            for part in parts:
                _append(connection, table, columns, kinds, part)
    if is_postgresql(engine):
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM (ANALYZE) slate, click, read, interaction, impression")


def bare_table(engine: sa.Engine, of: Events) -> None:
    """The same impressions as flat rows with their click, for the scan that sets the measure."""
    names = ("time", "unit", "arm", "clicked")
    kinds = ("moment", "unit", "int4", "int4")
    table = sa.Table(
        "bare_event",
        sa.MetaData(),
        sa.Column("time", sa.DateTime(timezone=True)),
        sa.Column("unit", sa.Text),
        *(sa.Column(name, sa.Integer) for name in names[2:]),
    )
    table.create(engine)
    with writing(engine) as connection:
        for rows in _stretches(of.clicked.size):
            of_slate = rows // SLATE
            part = [of.micros[of_slate], of.unit[of_slate], of.arm[of_slate], of.clicked[rows]]
            _append(connection, table, names, kinds, part)
    if is_postgresql(engine):
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM (ANALYZE) bare_event")


def write_parquet(of: Events, path: Path) -> None:
    """The same impressions as one flat file for the peers: units as numbers, which is kind to them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    of_slate = np.arange(of.clicked.size) // SLATE
    is_read = of.is_read
    columns = {
        "unit": of.unit[of_slate].astype(np.int32),
        "variant": (of.arm[of_slate] == 3).astype(np.int8),
        "is_before": of.arm[of_slate] == 1,
        "slates": (np.arange(of.clicked.size) % SLATE == 0).astype(np.int8),
        "clicks": of.clicked.astype(np.int8),
        "reads": is_read.astype(np.int8),
        "read_seconds": np.where(is_read, of.seconds, 0.0),
        "completion": np.where(is_read, of.completion, 0.0),
        "comments": (of.action == 1).astype(np.int8),
        "shares": (of.action == 2).astype(np.int8),
    }
    variant = np.zeros(int(of.unit.max()) + 1, dtype=np.int8)
    variant[1::2] = 1
    columns["variant"] = variant[columns["unit"]]
    pq.write_table(pa.table(columns), path, row_group_size=1_000_000)


def _tables(of: Events) -> Iterator[tuple[sa.Table, Sequence[str], Sequence[str], Iterator[list[Any]]]]:
    fact, fact_kinds = ("time", "request_id", "unit", "arm"), ("moment", "request", "unit", "int4")
    slates = (*fact, "snapshot", "items", "latency_ms", "models", "fallbacks", "context")
    kinds = (*fact_kinds, "int8", "int4", "float8", "models", "fallbacks", "context")
    yield slate, slates, kinds, (_slate_part(of, rows) for rows in _stretches(of.unit.size))
    shown = (*fact, "item", "rank", "score", "source", "propensity")
    kinds = (*fact_kinds, "item", "int2", "float8", "source", "float8")
    yield impression, shown, kinds, (_impression_part(of, rows) for rows in _stretches(of.clicked.size))
    event, event_kinds = (*fact, "event_id", "item"), (*fact_kinds, "event", "item")
    for table, more, which in (
        (click, (), np.flatnonzero(of.clicked)),
        (read, ("read_seconds", "completion"), np.flatnonzero(of.is_read)),
        (interaction, ("action",), np.flatnonzero(of.action)),
    ):
        more_kinds = {"read": ("float8", "float8"), "interaction": ("action",)}.get(table.name, ())
        parts = (_event_part(of, table.name, which[rows]) for rows in _stretches(which.size))
        yield table, (*event, *more), (*event_kinds, *more_kinds), parts


def _slate_part(of: Events, rows: NDArray[np.int64]) -> list[Any]:
    ones = np.ones(rows.size)
    fallbacks = (rows * 2_654_435_761 % 100 < 2).astype(np.int64)
    return [of.micros[rows], rows, of.unit[rows], of.arm[rows], ones, ones * SLATE, ones * 3.5, rows, fallbacks, rows]


def _impression_part(of: Events, rows: NDArray[np.int64]) -> list[Any]:
    of_slate, ones = rows // SLATE, np.ones(rows.size)
    rank = rows % SLATE + 1
    return [of.micros[of_slate], of_slate, of.unit[of_slate], of.arm[of_slate], rows, rank, 1.0 / rank, rows, ones]


def _event_part(of: Events, kind: str, rows: NDArray[np.int64]) -> list[Any]:
    of_slate = rows // SLATE
    part = [of.micros[of_slate], of_slate, of.unit[of_slate], of.arm[of_slate], rows, rows]
    if kind == "read":
        part += [of.seconds[rows], of.completion[rows]]
    return [*part, of.action[rows]] if kind == "interaction" else part


def _stretches(size: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, size, _STEP):
        yield np.arange(start, min(start + _STEP, size))


def _texts(kind: str, values: NDArray[Any]) -> NDArray[np.bytes_] | None:
    """The values as texts of one width, or None for numbers."""
    numbers = values.astype(np.int64)
    if kind in ("unit", "request", "item", "event"):
        prefix, digits = {
            "unit": ("unit-", 8),
            "request": ("request-", 12),
            "item": ("item-", 5),
            "event": ("event-", 12),
        }[kind]
        numbers = numbers % ITEMS if kind == "item" else numbers
        powers = 10 ** np.arange(digits - 1, -1, -1)
        characters = (numbers[:, None] // powers % 10 + ord("0")).astype(np.uint8)
        head = np.broadcast_to(np.frombuffer(prefix.encode(), dtype=np.uint8), (len(numbers), len(prefix)))
        whole = np.ascontiguousarray(np.concatenate([head, characters], axis=1))
        return whole.view(f"S{whole.shape[1]}").ravel()
    constants = {"source": (b"mf@1",), "models": (b'{"recall":"mf@1"}',), "context": (b'{"device":"phone"}',)}
    constants |= {"fallbacks": (b"{}", b'{"rank":"late"}'), "action": (b"like", b"comment", b"share")}
    if kind not in constants:
        return None
    choices = np.array(constants[kind])
    return choices[numbers % len(choices)] if len(choices) > 1 else np.full(len(numbers), choices[0])


def _append(
    connection: sa.Connection, table: sa.Table, columns: Sequence[str], kinds: Sequence[str], part: Sequence[Any]
) -> None:
    texts = [_texts(kind, np.asarray(values)) for kind, values in zip(kinds, part, strict=True)]
    if is_postgresql(connection):
        _copy(connection, table, list(zip(columns, kinds, strict=True)), part, texts)
        return
    ways = bulk(connection)
    made = (
        _python(kind, np.asarray(values), text, ways) for kind, values, text in zip(kinds, part, texts, strict=True)
    )
    ways.append(table, dict(zip(columns, made, strict=True)))


def _python(kind: str, values: NDArray[Any], text: NDArray[np.bytes_] | None, ways: Bulk) -> Any:
    if text is not None:
        return [each.decode() for each in text.tolist()]
    if kind == "moment":
        return ways.moments(values + int(START.timestamp()) * 1_000_000)
    return values.tolist() if kind == "float8" else values.astype(np.int64).tolist()


def _copy(
    connection: sa.Connection,
    table: sa.Table,
    fields: Sequence[tuple[str, str]],
    part: Sequence[Any],
    texts: Sequence[NDArray[np.bytes_] | None],
) -> None:
    """Binary COPY of rows that numpy lays out; rows of texts of different lengths go one length at a time."""
    kinds = [kind for _, kind in fields]
    varying = [
        number for number, text in enumerate(texts) if text is not None and np.unique(np.char.str_len(text)).size > 1
    ]
    if varying:
        sizes = np.char.str_len(texts[varying[0]])
        for size in np.unique(sizes):
            rows = np.flatnonzero(sizes == size)
            chosen = [None if text is None else text[rows] for text in texts]
            chosen[varying[0]] = chosen[varying[0]].astype(f"S{size}")  # type: ignore[union-attr]
            _copy(connection, table, fields, [np.asarray(each)[rows] for each in part], chosen)
        return
    numbers = {"moment": ">i8", "int8": ">i8", "int4": ">i4", "int2": ">i2", "float8": ">f8"}
    types = [numbers.get(kind) or f"S{text.dtype.itemsize}" for kind, text in zip(kinds, texts, strict=True)]  # type: ignore[union-attr]
    layout = np.dtype(
        [("fields", ">i2"), *((f"{c}_{i}", t) for i, t in enumerate(types) for c, t in (("n", ">i4"), ("v", t)))]
    )
    rows = np.zeros(len(np.asarray(part[0])), dtype=layout)
    rows["fields"] = len(kinds)
    since = int((START - _EPOCH) / timedelta(microseconds=1))
    for number, (kind, values, text) in enumerate(zip(kinds, part, texts, strict=True)):
        rows[f"n_{number}"] = layout[f"v_{number}"].itemsize
        rows[f"v_{number}"] = text if text is not None else np.asarray(values) + (since if kind == "moment" else 0)
    names = ", ".join(f'"{name}"' for name, _ in fields)
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f'COPY "{table.name}" ({names}) FROM STDIN (FORMAT BINARY)') as copy:
        copy.write(b"PGCOPY\n\xff\r\n\x00" + bytes(8) + rows.tobytes() + b"\xff\xff")
