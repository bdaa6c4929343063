"""The in-process client against a real service: what it gives, what it tells, and what it does when nobody answers."""

import signal
import subprocess
import sys
import time
from contextlib import closing

import pytest

from lamella.client import InProcessClient, RemoteClient
from lamella.errors import InvalidInput, NotFound, Unavailable

UNITS = [f"{prefix}{i}" for prefix in ("reader-", "读者-", "👩🏽‍💻-") for i in range(40)]
TELLS = """
import sys
from datetime import datetime
from lamella.client import InProcessClient
now = datetime.fromisoformat(sys.argv[4])
client = InProcessClient(*sys.argv[1:4], flush_seconds=3600, refresh_seconds=3600, now=lambda: now)
client.start()
for i in range(200):
    client.value("rank.model", f"reader-{i}")
print("told", flush=True)
sys.stdin.read()
"""
ASKS = """
import json, sys
from lamella.client import InProcessClient
client = InProcessClient("http://127.0.0.1:9", "lam_none", sys.argv[1], timeout_seconds=0.2)
print(json.dumps([client.value("rank.model", unit, expose=False) for unit in json.loads(sys.argv[2])]))
"""


def made(service, folder, **options):
    options = {"refresh_seconds": 0.05, "flush_seconds": 0.05, "now": service.lab.services.clock.now, **options}
    return InProcessClient(service.url, service.key, folder, **options)


def until(holds, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_it_gives_what_the_service_gives(service, tmp_path):
    with made(service, tmp_path) as client, closing(RemoteClient(service.url, service.key)) as remote:
        for unit in UNITS:
            for key in ("rank.model", "recall.model", "slate.size"):
                context = {"targetingKey": unit, "country": "CN"}
                here, there = client.flag(key, context), remote.flag(key, context)
                assert here[:4] == there[:4]
                assert here.metadata.items() <= there.metadata.items()


def test_it_tells_each_unit_once_and_only_what_a_variant_decided(service, tmp_path):
    with made(service, tmp_path) as client:
        for _ in range(3):
            for unit in UNITS:
                client.value("rank.model", unit)
                client.value("recall.model", unit)
        until(lambda: client.state.waiting == 0)
        assert client.state.sent == len(UNITS)
        expected = {unit: client.assign(unit).assignments[1].variant for unit in UNITS}
    assert service.exposed() == expected
    receipt = service.lab.record.counts()
    assert (receipt["exposure"], receipt["slate"]) == (len(UNITS), 0)


def test_asking_without_exposing_tells_nothing(service, tmp_path):
    with made(service, tmp_path) as client:
        client.value("rank.model", "reader-1", expose=False)
        client.assign("reader-1")
        assert client.state.waiting == 0
    assert service.exposed() == {}


def test_close_sends_what_waits(service, tmp_path):
    client = made(service, tmp_path, flush_seconds=3600)
    client.start()
    for unit in UNITS:
        client.value("rank.model", unit)
    assert service.exposed() == {}
    client.close()
    assert len(service.exposed()) == len(UNITS)


def test_a_new_configuration_arrives_in_the_background(service, tmp_path):
    seen = []
    with made(service, tmp_path) as client:
        client.watch(seen.append)
        before = client.state.snapshot
        service.lab.call("POST", "/v1/admin/experiments/ranking-mf/stop", json={})
        until(lambda: client.state.snapshot > before)
        assert client.flag("rank.model", {"targetingKey": "reader-1"}).variant == "default"
    assert seen == [before + 1]


def test_it_goes_on_while_the_service_is_down_and_sends_when_it_is_back(service, tmp_path):
    with made(service, tmp_path) as client:
        before = {unit: client.value("rank.model", unit, expose=False) for unit in UNITS}
        service.down()
        assert {unit: client.value("rank.model", unit) for unit in UNITS} == before
        until(lambda: client.state.failure is not None)
        assert client.state.waiting == len(UNITS)
        service.up()
        until(lambda: client.state.waiting == 0)
    assert len(service.exposed()) == len(UNITS)


def test_it_starts_from_the_kept_snapshot_while_the_service_is_down(service, tmp_path):
    with made(service, tmp_path) as client:
        before = [client.value("rank.model", unit, expose=False) for unit in UNITS]
    service.down()
    with made(service, tmp_path, timeout_seconds=0.2) as client:
        assert client.is_ready
        assert [client.value("rank.model", unit) for unit in UNITS] == before
        client.close(timeout_seconds=0.1)


def test_without_any_snapshot_it_says_so(tmp_path):
    client = InProcessClient("http://127.0.0.1:9", "lam_none", tmp_path, timeout_seconds=0.2)
    assert not client.is_ready
    with pytest.raises(Unavailable, match="no snapshot yet"):
        client.value("rank.model", "reader-1")
    client.close()


@pytest.mark.parametrize("kept", [b"", b"{", b"{}", b'{"schema": "lamella.snapshot/9"}'])
def test_a_kept_snapshot_that_is_broken_counts_as_none(service, tmp_path, kept):
    (tmp_path / "snapshot.json").write_bytes(kept)
    client = made(service, tmp_path)
    assert not client.is_ready
    client.start()
    assert client.is_ready
    client.close()


def test_exposures_survive_a_kill(service, tmp_path):
    now = service.lab.services.clock.now().isoformat()
    command = [sys.executable, "-c", TELLS, service.url, service.key, str(tmp_path), now]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "told\n"
        process.send_signal(signal.SIGKILL)
    assert service.exposed() == {}
    with made(service, tmp_path) as client:
        until(lambda: client.state.waiting == 0)
    assert set(service.exposed()) == {f"reader-{i}" for i in range(200)}


def test_a_process_that_starts_again_tells_nobody_twice(service, tmp_path):
    for _ in range(2):
        with made(service, tmp_path) as client:
            for unit in UNITS:
                client.value("rank.model", unit)
    assert client.state.sent == 0
    with made(service, tmp_path / "other") as another:
        for unit in UNITS:
            another.value("rank.model", unit)
    service.lab.ingest()
    assert len(service.exposed()) == len(UNITS)


def test_another_process_agrees_from_the_kept_snapshot(service, tmp_path):
    import json

    with made(service, tmp_path) as client:
        ours = [client.value("rank.model", unit, expose=False) for unit in UNITS]
    answer = subprocess.run(
        [sys.executable, "-c", ASKS, str(tmp_path), json.dumps(UNITS)], capture_output=True, check=True, text=True
    )
    assert json.loads(answer.stdout) == ours


def test_a_full_spool_drops_and_counts(service, tmp_path):
    client = made(service, tmp_path, spool_limit=10, flush_seconds=3600)
    client.start()
    for unit in UNITS:
        client.value("rank.model", unit)
    assert (client.state.waiting, client.state.dropped) == (10, len(UNITS) - 10)
    client.close()
    assert len(service.exposed()) == 10


def test_what_the_service_rejects_is_counted_and_not_sent_again(service, tmp_path):
    with made(service, tmp_path, flush_seconds=3600) as client:
        client.value("rank.model", "reader-1")
        client._spool.put(99, "reader-1", "nothing", counted=True, at=client._now())
        assert client.flush() == 2
        assert client.flush() == 0
        assert (client.state.sent, client.state.rejected) == (2, 1)


def test_bad_questions_are_named(service, tmp_path):
    with made(service, tmp_path) as client:
        with pytest.raises(NotFound, match=r"rank\.modle"):
            client.value("rank.modle", "reader-1")
        for unit in ("", "x" * 10_000, "a\x07"):
            with pytest.raises(InvalidInput):
                client.value("rank.model", unit)
        with pytest.raises(InvalidInput):
            client.flag("rank.model", {})


def test_threads_share_a_client(service, tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    with made(service, tmp_path) as client:
        with ThreadPoolExecutor(8) as pool:
            values = list(pool.map(lambda unit: client.value("rank.model", unit), UNITS * 5))
        assert values[: len(UNITS)] * 5 == values
    assert len(service.exposed()) == len(UNITS)
