"""Under more than it can take, the intake says so, stays bounded, and keeps every promise that it made."""

import threading
import time
from datetime import timedelta

from lamella.adapters.sql.journal import SqlJournal
from lamella.adapters.sql.receipts import SqlReceipts
from lamella.adapters.sql.record import SqlRecordStore
from lamella.errors import Overloaded
from lamella.events.codec import encode
from lamella.services.recording import Recording
from lamella.testing.fakes import FakeClock
from lamella.testing.traffic import NOW, slate

LIMIT, THREADS, CALLS = 40, 8, 60


def test_a_full_inbox_refuses_and_every_acknowledged_event_is_stored_once(engine):
    journal = SqlJournal(engine, FakeClock(NOW), limit=LIMIT)
    store = SqlRecordStore(engine)
    journal.append(encode([slate()]))
    store.ingest(limit=10, now=NOW)
    recording = Recording(journal, FakeClock(NOW), receipts=SqlReceipts(engine), late=timedelta(hours=1))
    acknowledged, refused, deepest, is_over = [], [], [0], threading.Event()

    def send(thread):
        for call in range(CALLS):
            event_id = f"{thread}-{call}"
            event = {"kind": "click", "event_id": event_id, "request_id": "request-1", "unit": "reader-1"}
            event |= {"item": "item-1", "time": NOW.isoformat()}
            while True:
                try:
                    acknowledged.extend([event_id] * recording.events([event]).accepted)
                    break
                except Overloaded as full:
                    refused.append(full.retry_after_seconds)
                    time.sleep(0.01)

    def drain():
        while not is_over.is_set():
            deepest[0] = max(deepest[0], store.counts()["inbox"])
            if refused:
                store.ingest(limit=LIMIT, now=NOW)
            else:
                time.sleep(0.02)

    senders = [threading.Thread(target=send, args=(number,)) for number in range(THREADS)]
    worker = threading.Thread(target=drain)
    for each in (*senders, worker):
        each.start()
    for each in senders:
        each.join()
    is_over.set()
    worker.join()
    journal.close()
    while store.ingest(limit=1_000, now=NOW).batches:
        pass
    assert refused
    assert min(refused) >= 1
    assert deepest[0] <= LIMIT
    assert len(acknowledged) == len(set(acknowledged)) == THREADS * CALLS
    assert store.counts()["click"] == THREADS * CALLS
