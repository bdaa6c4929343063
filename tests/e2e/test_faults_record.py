"""Faults of everything but the processes, inflicted on a running installation under load, with an audit after each."""

import random
import resource
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa
from redis import Redis

from e2e.fault_lab import Lab, laboratory
from lamella.adapters.sql.engine import writing
from lamella.adapters.sql.schema import inbox, quarantine
from lamella.testing.cluster import cluster, tree
from lamella.testing.ledger import Event, Ledger
from lamella.testing.proxies import Mode, proxy

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("faults")]

HOUR = timedelta(hours=1)
POISON = (
    b"\xff\xfe\x00 these bytes are no text",
    b'{"an": "object"}',
    b'[{"kind": "click", "event_id": "a\\u0000b"}, 7, null, [[]], {"kind": "bomb", "event_id": "boom"}]',
    b'[{"kind": "interaction", "event_id": "r", "request_id": "q", "unit": "u", "item": "i", "time": "now"}]',
)
POISONED = 8
"""The faults in POISON."""


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One installation with two web processes; each test leaves it whole."""
    folder = tmp_path_factory.mktemp("faults")
    if request.param == "sqlite":
        with laboratory(folder / "lab", webs=2) as made:
            yield made
        return
    with cluster() as store, laboratory(folder / "lab", cluster=store, webs=2) as made:
        yield made


def test_a_broker_that_is_flushed_under_load_costs_nothing(lab: Lab) -> None:
    with lab.load(), Redis.from_url(lab.settings.redis_url or "") as broker:
        for _ in range(3):
            lab.progress()
            broker.flushall()
        before = lab.counts()["slate"]
        lab.heal_until(lambda: lab.counts()["slate"] > before, "the workers to go on")
    lab.audit("broker flushed 3 times")


def test_a_storm_of_repeats_over_two_processes_is_stored_once(lab: Lab) -> None:
    stop = threading.Event()
    quiet = lab.reader(1, stop)
    batches: list[Sequence[Event]] = []
    quiet.send = batches.append  # type: ignore[method-assign]
    while len(batches) < 40:
        quiet.visit()
    quiet.caller.close()
    copies = batches * 3
    random.Random(3).shuffle(copies)

    def send(number: int) -> None:
        sender = lab.reader(number, stop)
        for batch in copies[number::8]:
            sender.send(batch)
        sender.caller.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send, range(8)))
    lab.audit(f"{len(batches)} batches sent three times each over two processes")


def test_poison_in_the_inbox_goes_to_quarantine_and_the_rest_goes_on(lab: Lab) -> None:
    before = _quarantined(lab)
    with lab.load():
        for bad in POISON:
            lab.progress(5)
            with writing(lab.stores.engine) as connection:
                connection.execute(sa.insert(inbox).values(received_at=lab.stores.clock.now(), body=bad))
        lab.progress(5)
    lab.drained()
    found = _quarantined(lab) - before
    assert found == POISONED
    with writing(lab.stores.engine) as connection:
        connection.execute(sa.delete(quarantine))
    lab.audit(f"{len(POISON)} poisoned batches, {found} faults in quarantine")


def test_answers_lost_after_the_commit_are_asked_for_again_with_the_same_ids(lab: Lab) -> None:
    parts = urlsplit(lab.urls[0])
    before = lab.ledger.repeats
    with proxy(parts.hostname or "", parts.port or 0) as between:
        with lab.load(3, url=f"http://127.0.0.1:{between.port}", timeout_seconds=2.0):
            for mode in (Mode.HANG, Mode.CUT, Mode.REFUSE):
                lab.progress(5)
                lost, repeats = between.lost, lab.ledger.repeats
                between.mode = mode
                if mode is Mode.REFUSE:
                    lab.heal_until(lambda n=repeats: lab.ledger.repeats >= n + 20, "requests to be refused")
                else:
                    most = lost + (3 if mode is Mode.HANG else 25)  # each reader waits for one that hangs
                    lab.heal_until(lambda n=most: between.lost >= n, "answers to be lost")
                between.mode = Mode.OPEN
        lost = between.lost
    assert lost >= 28
    assert lab.ledger.repeats > before
    lab.audit(f"{lost} answers swallowed after the commit")


def test_a_full_disk_refuses_what_it_cannot_keep_and_loses_nothing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file of the store grows any more (RLIMIT_FSIZE, which asks for no rights), and then grows again.

    PostgreSQL has a disk of its own: the journal goes on taking what is shown meanwhile.
    """
    refused, repeated = Counter[int](), Ledger.repeated

    def count(ledger: Ledger) -> None:
        refused[threading.get_ident()] += 1
        repeated(ledger)

    monkeypatch.setattr(Ledger, "repeated", count)
    with lab.load(4):
        lab.progress()
        _fill(lab)
        before = refused.copy()
        if lab.cluster is not None:
            time.sleep(1.0)
            lab.progress()
        else:
            # What a reader asked before the limit has been answered when it was refused twice since.
            lab.heal_until(
                lambda: len(refused) == 4 and all(refused[each] > before[each] + 1 for each in refused),
                "each reader to be refused",
            )
            stored = len(lab.ledger.slates)
            time.sleep(0.5)
            assert len(lab.ledger.slates) == stored, "acknowledged on a full disk"
        assert not any(each.process is None or each.process.poll() for each in lab.webs), "a web process ended"
        _empty(lab)
        lab.progress()
    lab.audit("a full disk")


def test_a_clients_clock_that_is_an_hour_wrong_loses_nothing(lab: Lab) -> None:
    for ahead, is_telling in ((-HOUR, False), (-HOUR, True), (HOUR, True)):
        with lab.load(2, ahead=ahead, is_telling=is_telling):
            lab.progress()
    assert not lab.ledger.refused, "who says when it sends is set right"
    with lab.load(2, ahead=HOUR):
        lab.progress()
    assert set(lab.ledger.refused.values()) == {"in_future"}
    lab.audit("clients an hour behind and an hour ahead", quarantined={"in_future": len(lab.ledger.refused)})


def test_a_servers_clock_that_is_an_hour_wrong_loses_nothing(lab: Lab) -> None:
    already = len(lab.ledger.refused)
    for offset in (-HOUR, HOUR):
        lab.offset = offset
        with lab.load(2):
            lab.progress()
    refused = len(lab.ledger.refused)
    assert refused > already, "the true time lies ahead of a clock that is behind"
    lab.audit("servers an hour behind, then an hour ahead", quarantined={"in_future": refused})


def _quarantined(lab: Lab) -> int:
    return lab.scalar(sa.select(sa.func.count()).select_from(quarantine))


def _fill(lab: Lab) -> None:
    if lab.cluster is not None:
        lab.cluster.fill_disk()
        return
    for each in [*lab.webs, lab.programs["worker"]]:
        _limit(each.process.pid, 0)


def _empty(lab: Lab) -> None:
    if lab.cluster is not None:
        lab.cluster.empty_disk()
        return
    for each in [*lab.webs, lab.programs["worker"]]:
        _limit(each.process.pid, resource.RLIM_INFINITY)


def _limit(root: int, size: int) -> None:
    for pid in tree(root):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
