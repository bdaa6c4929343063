"""How fast the record is, beside what the machine's own PostgreSQL and SQLite do in the same run.

    python benchmarks/record.py [--slates 10000] [--json]

Appends go through the journal from 16 threads, each durable before it returns (fsync is on). Ingest rows are slates,
impressions, clicks and reads, deduplicated, with receipts, exposures and per-unit totals in the same transaction. The
limit is the same number of impressions written bare: binary COPY without an index, one executemany into SQLite.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from lamella.adapters.clock import SystemClock
from lamella.adapters.sql import migrations
from lamella.adapters.sql.bulk import bulk
from lamella.adapters.sql.engine import create_engine, writing
from lamella.adapters.sql.journal import SqlJournal
from lamella.adapters.sql.record import SqlRecordStore
from lamella.adapters.sql.schema import impression
from lamella.events.codec import Record, encode
from lamella.events.contract import Click, Exposed, Read
from lamella.testing.servers import postgresql
from lamella.testing.traffic import NOW, click, read, slate

THREADS = 16
ITEMS = tuple(f"item-{number}" for number in range(9_000))


def requests(rng: random.Random, number: int) -> list[list[Record]]:
    """What the web process would append: one batch a slate, one for the events on every second slate."""
    batches: list[list[Record]] = []
    for each in range(number):
        exposures = [Exposed(phase=1, variant=rng.choice("ab")), Exposed(phase=2, variant="x")]
        unit = f"reader-{rng.randrange(3_000)}"
        shown = slate(f"{rng.getrandbits(128):032x}", unit=unit, exposures=exposures, items=rng.sample(ITEMS, 10))
        batches.append([shown])
        if each % 2:
            names = [f"{rng.getrandbits(128):032x}" for _ in range(6)]
            events: list[Click | Read] = [click(name, of=shown) for name in names[:3]]
            batches.append([*events, *(read(name, of=shown) for name in names[3:])])
    return batches


def measure(url: str, batches: Sequence[bytes]) -> dict[str, float]:
    """Appends a second, ingested rows a second, and the limit of the store."""
    migrations.upgrade(url)
    engine = create_engine(url)
    journal = SqlJournal(engine, SystemClock(), limit=len(batches))
    with seconds() as appending, ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(journal.append, batches))
    journal.close()
    store, rows = SqlRecordStore(engine), 0
    with seconds() as ingesting:
        while (receipt := store.ingest(limit=2_000, now=NOW)).batches:
            rows += sum(receipt.stored.values())
    limit = bare(engine)
    engine.dispose()
    return {
        "appends_per_s": len(batches) / appending[0],
        "ingest_rows_per_s": rows / ingesting[0],
        "ingest_cpu_us_per_row": ingesting[1] / rows * 1e6,
        "bare_rows_per_s": limit,
        "ratio_to_bare": rows / ingesting[0] / limit,
    }


def bare(engine: sa.Engine, number: int = 200_000) -> float:
    """Impressions a second into a table without any index."""
    table = sa.Table("bare", sa.MetaData(), *(sa.Column(each.name, each.type) for each in impression.columns))
    table.create(engine)
    names = [each.name for each in impression.columns]
    with writing(engine) as connection, seconds() as taken:
        ways = bulk(connection)
        time_ = ways.moment(NOW)
        row = {"time": time_, "request_id": "r" * 32, "unit": "reader-1", "arm": 1, "item": "item-1", "rank": 1}
        row |= {"score": 0.5, "source": "mf@1", "propensity": 1.0}
        ways.append(table, names, [tuple(row[name] for name in names)] * number)
    return number / taken[0]


@contextmanager
def seconds() -> Iterator[list[float]]:
    """The wall time and this process's CPU time of the block."""
    taken: list[float] = []
    wall, cpu = time.perf_counter(), time.process_time()
    yield taken
    taken += [time.perf_counter() - wall, time.process_time() - cpu]


def main() -> None:
    """Measures both stores and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slates", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    batches = [encode(batch) for batch in requests(random.Random(7), options.slates)]
    with tempfile.TemporaryDirectory() as folder, postgresql(durable=True) as server:
        found = {
            "sqlite": measure(f"sqlite:///{Path(folder) / 'lamella.db'}", batches),
            "postgresql": measure(server, batches),
        }
    if options.json:
        print(json.dumps(found, indent=1))
        return
    for store, figures in found.items():
        print(store, *(f"  {name:24} {value:12,.2f}" for name, value in figures.items()), sep="\n")


if __name__ == "__main__":
    main()
