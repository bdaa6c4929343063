"""A process that ingests until it is killed: `python ingester.py URL LIMIT [MOST]`. Says "ready" once it can begin.

After MOST ingests it only waits for its end.
"""

import math
import sys
import time

from lamella.adapters.sql.engine import create_engine
from lamella.adapters.sql.record import SqlRecordStore
from lamella.testing.traffic import NOW


def ingest_forever(url: str, limit: int, most: float) -> None:
    store = SqlRecordStore(create_engine(url))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    done = 0
    while True:
        if done < most and store.ingest(limit=limit, now=NOW).batches:
            done += 1
        else:
            time.sleep(0.005)


if __name__ == "__main__":
    ingest_forever(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) if len(sys.argv) > 3 else math.inf)
