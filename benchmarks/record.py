"""How fast the record is, beside what the machine's own PostgreSQL and SQLite do in the same run.

    python benchmarks/record.py [--rounds 5] [--slates 30000] [--seconds 4] [--json]

Ingest: rows are slates, impressions, clicks and reads, deduplicated, with receipts, first exposures and per-unit totals
in the same transaction; `feedback` is the same for clicks and reads alone, whose slates were stored before. The limit
is the same number of impressions written bare: one binary COPY into a table of PostgreSQL without an index, batches of
1,000 into a table of SQLite without an index, each batch committed (WAL, synchronous FULL). Every round measures the
limit, ingest and the limit again; figures are medians over the rounds, ratios those of each round. PostgreSQL has
512 MB of shared buffers.

Intake: `lamella web` with two processes on PostgreSQL, fsync on; eight connections send batches of 100 events, events
one by one, and events one by one that the store commits before the answer. Each answer is 202, so each was on disk.
"""

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path

import sqlalchemy as sa
from record_http import intake

from lamella.adapters.sql import migrations
from lamella.adapters.sql.engine import create_engine, writing
from lamella.adapters.sql.record import SqlRecordStore
from lamella.adapters.sql.schema import impression, inbox
from lamella.events.codec import Record, encode
from lamella.events.contract import Click, Exposed, Read, Slate
from lamella.testing.servers import postgresql
from lamella.testing.traffic import NOW, click, read, slate

ITEMS = tuple(f"item-{number}" for number in range(9_000))
BATCHES = 20_000
"""What a worker asks for at once."""

_SERVER = {"shared_buffers": "512MB", "max_wal_size": "4GB"}
"""What whoever installs PostgreSQL for such a record sets at least: its own 128 MB are for the smallest of machines."""
SQLITE_BATCH = 1_000
BETWEEN_MICROS = 1_500
"""Time goes on, as in life: some hundred slates a second, in about their order, and feedback soon after."""
FEEDBACK_MICROS = 100_000
_SLATES = count()


def requests(rng: random.Random, number: int) -> list[list[Record]]:
    """What the web process would append: one batch a slate, one for the events on every second slate."""
    batches: list[list[Record]] = []
    for each in range(number):
        shown = _slate(rng)
        batches.append([shown])
        if each % 2:
            batches.append(_feedback(rng, [shown], 6))
    return batches


def feedback(rng: random.Random, number: int) -> tuple[list[list[Record]], list[list[Record]]]:
    """Batches of slates, and batches of 100 events on them."""
    slates = [_slate(rng) for _ in range(number)]
    return [slates[at : at + 500] for at in range(0, number, 500)], [
        _feedback(rng, slates[at : at + 20], 100) for at in range(0, number, 20)
    ]


def _slate(rng: random.Random) -> Slate:
    exposures = [Exposed(phase=1, variant=rng.choice("ab")), Exposed(phase=2, variant="x")]
    unit = f"reader-{rng.randrange(3_000)}"
    moment = NOW + timedelta(microseconds=next(_SLATES) * BETWEEN_MICROS + rng.randrange(2 * BETWEEN_MICROS))
    name, items = f"{rng.getrandbits(128):032x}", rng.sample(ITEMS, 10)
    return slate(name, unit=unit, time=moment, exposures=exposures, items=items)


def _feedback(rng: random.Random, slates: Sequence[Slate], number: int) -> list[Record]:
    events: list[Click | Read] = []
    for each in range(number):
        name, shown = f"{rng.getrandbits(128):032x}", slates[each % len(slates)]
        after = timedelta(microseconds=rng.randrange(FEEDBACK_MICROS))
        events.append(click(name, of=shown, after=after) if each % 2 else read(name, of=shown, after=after))
    return list(events)


class Lab:
    """One store under measurement. Each round brings records that it has not seen."""

    def __init__(self, url: str, *, slates: int) -> None:
        migrations.upgrade(url)
        self._engine, self._slates = create_engine(url), slates
        self._store = SqlRecordStore(self._engine)
        self._seeds = count(7)
        self._bare = sa.Table("bare", sa.MetaData(), *(sa.Column(each.name, each.type) for each in impression.columns))
        self._bare.create(self._engine)
        # What a worker imports with its first ingest is no part of its speed.
        self._ingest(requests(random.Random(1), 100))
        self.rounds: list[dict[str, float]] = []

    def measure(self) -> None:
        """One more round: the limit, ingest, the limit again, ingest of feedback alone, the limit again."""
        rng = random.Random(next(self._seeds))
        limits = [self._limit(rng)]
        mixed = self._ingest(requests(rng, self._slates))
        limits.append(self._limit(rng))
        slates, events = feedback(rng, self._slates)
        self._ingest(slates)
        alone = self._ingest(events)
        limits.append(self._limit(rng))
        self.rounds.append(
            {
                "ingest_rows_per_s": mixed,
                "feedback_rows_per_s": alone,
                "bare_rows_per_s": statistics.mean(limits),
                "ratio_to_bare": mixed / statistics.mean(limits[:2]),
                "feedback_ratio_to_bare": alone / statistics.mean(limits[1:]),
            }
        )

    def figures(self) -> dict[str, float]:
        """The medians over the rounds."""
        return {name: statistics.median(each[name] for each in self.rounds) for name in self.rounds[0]}

    def close(self) -> None:
        """Ends the connections."""
        self._engine.dispose()

    def _ingest(self, batches: Sequence[Sequence[Record]]) -> float:
        """Rows a second, from the inbox to the facts."""
        bodies = [{"received_at": NOW, "body": encode(batch)} for batch in batches]
        with writing(self._engine) as connection:
            connection.execute(sa.insert(inbox), bodies)
        rows = 0
        with seconds() as taken:
            while (receipt := self._store.ingest(limit=BATCHES, now=NOW)).batches:
                rows += sum(receipt.stored.values())
        return rows / taken[0]

    def _limit(self, rng: random.Random) -> float:
        """Impressions a second into a table without any index."""
        # As long as ingest takes, or longer: on a busy machine short work gets more than its share.
        number = self._slates * 30
        rows = _rows(rng, number)
        with writing(self._engine) as connection:
            # Deleted rows would be vacuumed meanwhile.
            is_postgresql = self._engine.dialect.name == "postgresql"
            connection.execute(sa.text("TRUNCATE bare") if is_postgresql else sa.delete(self._bare))
        with seconds() as taken:
            self._write(rows)
        return number / taken[0]

    def _write(self, rows: Sequence[tuple[object, ...]]) -> None:
        """As anybody would write them who keeps neither ids nor sums."""
        names = [each.name for each in impression.columns]
        if self._engine.dialect.name == "postgresql":
            statement = f"COPY bare ({', '.join(names)}) FROM STDIN (FORMAT BINARY)"
            with (
                self._engine.begin() as connection,
                connection.connection.cursor() as cursor,
                cursor.copy(statement) as copy,
            ):
                copy.set_types(["timestamptz", "text", "text", "int4", "text", "int2", "float8", "text", "float8"])
                for row in rows:
                    copy.write_row((NOW, *row))
            return
        statement, moment = f"INSERT INTO bare VALUES ({', '.join('?' * len(names))})", f"{NOW:%Y-%m-%d %H:%M:%S.%f}"
        for start in range(0, len(rows), SQLITE_BATCH):
            with writing(self._engine) as connection:
                batch = [(moment, *row) for row in rows[start : start + SQLITE_BATCH]]
                connection.exec_driver_sql(statement, batch)


def _rows(rng: random.Random, number: int) -> list[tuple[object, ...]]:
    """Impressions but for their time: ten of each request."""
    rows: list[tuple[object, ...]] = []
    for _ in range(number // 10):
        request, unit = f"{rng.getrandbits(128):032x}", f"reader-{rng.randrange(3_000)}"
        rows += [(request, unit, 1, rng.choice(ITEMS), rank, 1.0 / rank, "mf@1", 1.0) for rank in range(1, 11)]
    return rows


@contextmanager
def seconds() -> Iterator[list[float]]:
    """The wall time of the block."""
    taken: list[float] = []
    began = time.perf_counter()
    yield taken
    taken.append(time.perf_counter() - began)


def measured(*, rounds: int, slates: int, limit_seconds: float) -> dict[str, Mapping[str, float]]:
    """All figures, by store, and those of the intake."""
    with tempfile.TemporaryDirectory() as folder, postgresql(durable=True, options=_SERVER) as server:
        labs = {
            "postgresql": Lab(server, slates=slates),
            "sqlite": Lab(f"sqlite:///{Path(folder) / 'lamella.db'}", slates=slates),
        }
        for _ in range(rounds):
            for lab in labs.values():
                lab.measure()
        found: dict[str, Mapping[str, float]] = {name: lab.figures() for name, lab in labs.items()}
        for lab in labs.values():
            lab.close()
    with postgresql(durable=True) as server:
        found["http"] = intake(server, seconds=limit_seconds)
    return found


def main() -> None:
    """Measures everything and prints the figures; with --json, the last line is those that were promised."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slates", type=int, default=30_000)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each stretch of the intake")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measured(rounds=options.rounds, slates=options.slates, limit_seconds=options.seconds)
    for part, figures in found.items():
        print(part, *(f"  {name:32} {value:12,.2f}" for name, value in figures.items()), sep="\n")
    if options.json:
        promised = {
            "pg_ingest_events_per_s": found["postgresql"]["ingest_rows_per_s"],
            "pg_ratio_to_bare_copy": found["postgresql"]["ratio_to_bare"],
            "sqlite_ratio_to_limit": found["sqlite"]["ratio_to_bare"],
            "http_events_per_s": found["http"]["events_per_s"],
            "http_ratio_to_single_commit": found["http"]["ratio_to_single_commit"],
        }
        further = {
            "pg_feedback_events_per_s": found["postgresql"]["feedback_rows_per_s"],
            "pg_feedback_ratio_to_bare_copy": found["postgresql"]["feedback_ratio_to_bare"],
            "pg_bare_copy_rows_per_s": found["postgresql"]["bare_rows_per_s"],
            "sqlite_ingest_events_per_s": found["sqlite"]["ingest_rows_per_s"],
            "sqlite_feedback_ratio_to_limit": found["sqlite"]["feedback_ratio_to_bare"],
            "sqlite_limit_rows_per_s": found["sqlite"]["bare_rows_per_s"],
            "http_single_commit_events_per_s": found["http"]["single_commits_per_s"],
            "http_single_events_per_s": found["http"]["single_events_per_s"],
            "http_ratio_to_single": found["http"]["ratio_to_single"],
        }
        print(json.dumps({name: round(value, 4) for name, value in {**promised, **further}.items()}))


if __name__ == "__main__":
    main()
