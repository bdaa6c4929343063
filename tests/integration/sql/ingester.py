"""A process that ingests until it is killed: `python ingester.py URL LIMIT`. Says "ready" once it can begin."""

import sys
import time

from lamella.adapters.sql.engine import create_engine
from lamella.adapters.sql.record import SqlRecordStore
from lamella.testing.traffic import NOW


def ingest_forever(url: str, limit: int) -> None:
    store = SqlRecordStore(create_engine(url))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        if not store.ingest(limit=limit, now=NOW).batches:
            time.sleep(0.005)


if __name__ == "__main__":
    ingest_forever(sys.argv[1], int(sys.argv[2]))
