"""Durable intake over HTTP: `lamella web` with two processes, and a client that costs as little as it can."""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import orjson
import sqlalchemy as sa

from lamella.adapters.sql import migrations
from lamella.adapters.sql.engine import create_engine
from lamella.testing.servers import valkey

PROCESSES = 2
CONNECTIONS = 8
BATCH = 100
JOURNALS = ("disk", "store")
STRETCHES = 3


def intake(database_url: str, *, seconds: float) -> dict[str, float]:
    """Events a second in turns, medians of three stretches: batches of 100, one by one, one by one with a commit each.

    The commit is that of the store: `LAMELLA_JOURNAL=store`, all else alike.
    """
    migrations.upgrade(database_url)
    sent: list[list[tuple[int, float]]] = [[], [], []]
    with tempfile.TemporaryDirectory() as folder, valkey() as redis_url, ExitStack() as stack:
        disk, store = (stack.enter_context(_server(database_url, redis_url, folder, each)) for each in JOURNALS)
        _send(*disk, size=BATCH, seconds=1.0)
        for _ in range(STRETCHES):
            for (web, size), stretches in zip(((disk, BATCH), (disk, 1), (store, 1)), sent, strict=True):
                stretches.append(_send(*web, size=size, seconds=seconds))
    number = sum(number for stretches in sent for number, _ in stretches)
    stored = _stored(database_url)
    if stored < number:
        raise SystemExit(f"{number} events were acknowledged, {stored} are in the inbox")
    batches, singles, commits = (statistics.median(number / taken for number, taken in each) for each in sent)
    return {
        "events_per_s": batches,
        "single_events_per_s": singles,
        "single_commits_per_s": commits,
        "ratio_to_single": batches / singles,
        "ratio_to_single_commit": batches / commits,
    }


@contextmanager
def _server(database_url: str, redis_url: str, folder: str, journal: str) -> Iterator[tuple[tuple[str, int], str]]:
    """Where the service listens, and a client's key."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    names = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "DATA_DIR": folder, "LOG_LEVEL": "warning"}
    names |= {"JOURNAL": journal, "INBOX_LIMIT": "10000000"}
    environment = {**os.environ, **{f"LAMELLA_{name}": value for name, value in names.items()}}
    command = [sys.executable, "-m", "lamella"]
    key = subprocess.run(
        [*command, "keys", "create", "--role", "client", "--name", journal],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()[-1]
    with (Path(folder) / journal).open("wb") as log:
        server = subprocess.Popen(
            [*command, "web", "--port", str(port), "--processes", str(PROCESSES)],
            env=environment,
            stdout=log,
            stderr=log,
        )
        try:
            _wait(f"http://127.0.0.1:{port}/readyz", server, Path(folder) / journal)
            yield ("127.0.0.1", port), key
        finally:
            server.terminate()
            server.wait()


def _wait(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(300):
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            if server.poll() is not None:
                break
            time.sleep(0.1)
    raise SystemExit(log.read_text()[-2_000:])


def _send(address: tuple[str, int], key: str, *, size: int, seconds: float) -> tuple[int, float]:
    """How many events were acknowledged, in how much time."""
    counts = [0] * CONNECTIONS
    end = time.monotonic() + seconds

    def run(number: int) -> None:
        with socket.create_connection(address) as connection:
            while time.monotonic() < end:
                _post(connection, key, _body(size))
                counts[number] += size

    began = time.monotonic()
    threads = [threading.Thread(target=run, args=(number,)) for number in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts), time.monotonic() - began


_TEMPLATE = '{"kind":"click","event_id":"%s","request_id":"%s","unit":"reader-%d","item":"item-%d","time":"%s"}'


def _body(size: int) -> bytes:
    """A batch of clicks, each with an id of its own."""
    now, request = datetime.now(UTC).isoformat(), uuid.uuid4().hex
    events = ",".join(_TEMPLATE % (f"{request}-{each}", request, each % 7, each, now) for each in range(size))
    return f'{{"events":[{events}]}}'.encode()


def _post(connection: socket.socket, key: str, body: bytes) -> None:
    head = (
        f"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode() + body)
    answer = b""
    while b"\r\n\r\n" not in answer:
        part = connection.recv(65_536)
        if not part:
            raise SystemExit("the service closed the connection")
        answer += part
    head_bytes, _, rest = answer.partition(b"\r\n\r\n")
    lengths = [line for line in head_bytes.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    missing = int(lengths[0].split(b":")[1]) - len(rest)
    while missing > 0:
        missing -= len(connection.recv(65_536))
    if not head_bytes.startswith(b"HTTP/1.1 202"):
        raise SystemExit(answer.decode(errors="replace"))


def _stored(database_url: str) -> int:
    """The events in the inbox."""
    engine = create_engine(database_url)
    with engine.connect() as connection:
        bodies = connection.execute(sa.text("SELECT body FROM inbox")).scalars().all()
    engine.dispose()
    return sum(len(_events(body)) for body in bodies)


def _events(body: bytes) -> list[Mapping[str, object]]:
    found: list[Mapping[str, object]] = orjson.loads(body)
    return found
