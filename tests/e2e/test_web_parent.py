"""The parent of the web's workers: what it does when they end, when it is asked to end, and when it is killed."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from lamella.cli.acceptor import SHORT_SECONDS
from lamella.cli.processes import Pauses

pytestmark = pytest.mark.slow

PATIENCE_SECONDS = 60
PROGRAM = textwrap.dedent("""
    import asyncio, gc, json, os, pathlib, sys
    import lamella.web.asgi

    folder = pathlib.Path(sys.argv[1])

    async def application(scope, receive, send):
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": message["type"] + ".complete"})
        body = b""
        while scope["path"] != "/early":
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        if scope["path"] == "/slow":
            (folder / "asked").touch()
            while not (folder / "go").exists():
                await asyncio.sleep(0.01)
        said = json.dumps([os.getpid(), not body and gc.get_freeze_count() > 0, body.decode()]).encode()
        headers = [(b"content-length", str(len(said)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": said})

    from lamella.cli.processes import Pauses

    if "PAUSE" in os.environ:
        Pauses.are_over = lambda self, now: not pathlib.Path(os.environ["PAUSE"]).exists()
    if "FORKED" in os.environ:
        import time
        import lamella.cli.processes as processes

        processes.be_nice = lambda more: (pathlib.Path(os.environ["FORKED"], str(os.getpid())).touch(), time.sleep(2))
    lamella.web.asgi.create = lambda: application
    from lamella.cli.serving import serve
    from lamella.config import Settings

    serve(Settings(port=int(sys.argv[2]), web_processes=int(sys.argv[3]), data_dir=folder, web_nice=3))
""")

Wait = Callable[[Callable[[], object], float], float]
Running = Callable[[int], bool]


class Web:
    """A parent whose workers answer with their pid, whether they set apart what they started with, and the body."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        self.process, self.port = process, port

    def ask(self, path: str = "/", seconds: float = PATIENCE_SECONDS) -> list[object]:
        """Its answer, over a connection of its own."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=seconds) as answer:
            return json.loads(answer.read())

    def pid(self, seconds: float = PATIENCE_SECONDS) -> int:
        """The worker that answered; 0 where none did."""
        try:
            return int(str(self.ask(seconds=seconds)[0]))
        except OSError:
            return 0

    def pour(self, beginning: bytes, more: bytes) -> None:
        """Sends 50 MB. Raises ConnectionError where the other side will not have them."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS) as connection:
            connection.sendall(beginning)
            for _ in range(50_000_000 // len(more)):
                connection.sendall(more)

    def half_talk(self, said: bytes) -> bytes:
        """All that comes back to a client that says nothing more, and says so."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS) as connection:
            connection.sendall(said)
            connection.shutdown(socket.SHUT_WR)
            answers = b""
            while got := connection.recv(65_536):
                answers += got
            return answers

    def talk(self, *pieces: bytes) -> bytes:
        """All that comes back on a connection which is closed after the pieces are answered, or by the other side."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS) as connection:
            answers = b""
            try:
                for piece in pieces:
                    connection.sendall(piece)
                while got := connection.recv(65_536):
                    answers += got
            except ConnectionError:
                pass
            return answers


@contextmanager
def web(folder: Path, port: int, processes: int, **environment: str) -> Iterator[Web]:
    folder.mkdir(exist_ok=True)
    (folder / "tmp").mkdir()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(folder), str(port), str(processes)],
            cwd=folder,
            env={**os.environ, "TMPDIR": str(folder / "tmp"), **environment},
            stderr=log,
            start_new_session=True,
        )
    try:
        yield Web(process, port)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("processes", [1, 2])
def test_a_killed_worker_is_replaced(tmp_path: Path, free_port: int, wait_until: Wait, processes: int) -> None:
    with web(tmp_path, free_port, processes) as served:
        seen: set[int] = set()
        wait_until(lambda: seen.add(served.pid()) or len(seen - {0}) == processes, PATIENCE_SECONDS)
        metrics = list((tmp_path / "tmp").glob("lamella-metrics-*"))
        assert len(metrics) == (processes > 1)
        killed = max(seen)
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: served.pid() not in {0, *seen}, PATIENCE_SECONDS)
        assert all(folder.is_dir() for folder in metrics)


def test_a_worker_that_crashes_again_and_again_is_replaced_with_pauses_and_in_the_end(
    tmp_path: Path, free_port: int, wait_until: Wait
) -> None:
    with web(tmp_path, free_port, 1) as served:
        killed: list[int] = []
        for _ in range(Pauses.AT_ONCE + 2):
            wait_until(lambda: served.pid() not in {0, *killed}, PATIENCE_SECONDS)
            killed.append(served.pid())
            os.kill(killed[-1], signal.SIGKILL)
        began = time.monotonic()
        wait_until(lambda: served.pid() not in {0, *killed}, PATIENCE_SECONDS)
        # It cannot be earlier, however fast the machine is.
        assert time.monotonic() - began > 1


def test_a_client_that_has_said_all_is_answered(tmp_path: Path, free_port: int, wait_until: Wait) -> None:
    with web(tmp_path, free_port, 1) as served:
        wait_until(served.pid, PATIENCE_SECONDS)
        get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        assert served.half_talk(get).count(b"HTTP/1.1 200 ") == 1
        assert served.half_talk(get * 3).count(b"HTTP/1.1 200 ") == 3
        assert served.half_talk(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n12") == b""


@pytest.mark.parametrize("header", [b"", b"Connection: close\r\n"])
def test_who_is_answered_before_the_end_of_a_long_body_hears_the_answer(
    tmp_path: Path, free_port: int, wait_until: Wait, header: bytes
) -> None:
    with web(tmp_path, free_port, 1) as served:
        wait_until(served.pid, PATIENCE_SECONDS)
        size = 20_000_000
        head = b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%b\r\n" % (size, header)
        with socket.create_connection(("127.0.0.1", free_port), timeout=PATIENCE_SECONDS) as connection:
            connection.sendall(head)
            for _ in range(size // 100_000):
                connection.sendall(b"x" * 100_000)
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")


def test_while_nobody_is_started_in_place_of_a_worker_the_others_get_its_connections(
    tmp_path: Path, free_port: int, wait_until: Wait
) -> None:
    pause = tmp_path / "pause"
    with web(tmp_path / "web", free_port, 2, PAUSE=str(pause)) as served:
        workers: set[int] = set()
        wait_until(lambda: workers.add(served.pid()) or len(workers - {0}) == 2, PATIENCE_SECONDS)
        pause.touch()
        killed, left = sorted(workers - {0})
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: [served.pid(1) for _ in range(8)] == [left] * 8, PATIENCE_SECONDS)
        assert {served.pid() for _ in range(40)} == {left}
        pause.unlink()
        again: set[int] = set()
        wait_until(lambda: again.add(served.pid()) or len(again - {0}) == 2, PATIENCE_SECONDS)
        assert left in again
        assert killed not in again


def test_connections_that_clients_keep_are_shared_evenly(tmp_path: Path, free_port: int, wait_until: Wait) -> None:
    with web(tmp_path / "web", free_port, 2) as served, ExitStack() as kept:
        workers: set[int] = set()
        wait_until(lambda: workers.add(served.pid()) or len(workers - {0}) == 2, PATIENCE_SECONDS)
        time.sleep(3 * SHORT_SECONDS)  # the connections that asked whether it is up are no hurry any more
        connections = [HTTPConnection("127.0.0.1", free_port, timeout=PATIENCE_SECONDS) for _ in range(16)]
        for each in connections:
            kept.enter_context(closing(each))
            each.connect()
        answered: Counter[int] = Counter()
        for each in connections:
            each.request("POST", "/", body=b"x")
            answered[json.loads(each.getresponse().read())[0]] += 1
        assert answered.keys() == workers - {0}
        assert max(answered.values()) <= 12  # one that has nothing to do would take all


def test_workers_have_the_code_of_their_parent_and_set_it_apart(
    tmp_path: Path, free_port: int, wait_until: Wait
) -> None:
    with web(tmp_path, free_port, 2) as served:
        wait_until(served.pid, PATIENCE_SECONDS)
        pid, is_set_apart, _ = served.ask()
        assert pid != served.process.pid
        assert is_set_apart


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_under_way_is_answered_before_the_end_and_nobody_is_left(
    tmp_path: Path, free_port: int, wait_until: Wait, is_running: Running, number: signal.Signals
) -> None:
    with web(tmp_path, free_port, 2) as served:
        workers: set[int] = set()
        wait_until(lambda: workers.add(served.pid()) or len(workers - {0}) == 2, PATIENCE_SECONDS)
        answers: list[object] = []
        asking = threading.Thread(target=lambda: answers.append(served.ask("/slow")))
        asking.start()
        wait_until((tmp_path / "asked").exists, PATIENCE_SECONDS)
        served.process.send_signal(number)
        wait_until(lambda: not served.pid(), PATIENCE_SECONDS)
        (tmp_path / "go").touch()
        asking.join(PATIENCE_SECONDS)
        assert len(answers) == 1
        assert served.process.wait(PATIENCE_SECONDS) == 0
        assert not [pid for pid in workers if pid and is_running(pid)]
        assert not served.pid()
        assert not list((tmp_path / "tmp").iterdir())


def test_a_request_that_does_not_end_does_not_keep_the_parent(tmp_path: Path, free_port: int, wait_until: Wait) -> None:
    with web(tmp_path, free_port, 1) as served:
        wait_until(served.pid, PATIENCE_SECONDS)
        with socket.create_connection(("127.0.0.1", free_port)) as connection:
            connection.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
            wait_until((tmp_path / "asked").exists, PATIENCE_SECONDS)
            served.process.terminate()
            assert served.process.wait(PATIENCE_SECONDS) == 0


def test_workers_end_with_a_parent_that_is_killed(
    tmp_path: Path, free_port: int, wait_until: Wait, is_running: Running
) -> None:
    with web(tmp_path, free_port, 2) as served:
        workers: set[int] = set()
        wait_until(lambda: workers.add(served.pid()) or len(workers - {0}) == 2, PATIENCE_SECONDS)
        assert {os.getsid(pid) for pid in workers - {0}} == workers - {0}  # none in the session of their parent
        own = os.getpriority(os.PRIO_PROCESS, 0)
        assert {os.getpriority(os.PRIO_PROCESS, pid) - own for pid in workers - {0}} == {min(3, 19 - own)}
        served.process.kill()
        wait_until(lambda: not [pid for pid in workers if pid and is_running(pid)], PATIENCE_SECONDS)


def test_workers_that_are_just_forked_end_with_the_group_of_their_parent(
    tmp_path: Path, free_port: int, wait_until: Wait, is_running: Running
) -> None:
    forked = tmp_path / "forked"
    forked.mkdir()
    with web(tmp_path, free_port, 2, FORKED=str(forked)) as served:
        wait_until(lambda: len(list(forked.iterdir())) == 2, PATIENCE_SECONDS)
        os.killpg(served.process.pid, signal.SIGKILL)
        workers = [int(each.name) for each in forked.iterdir()]
        wait_until(lambda: not [pid for pid in workers if is_running(pid)], PATIENCE_SECONDS)


def test_no_file_or_variable_of_the_server_behind_it_has_a_say(
    tmp_path: Path, free_port: int, wait_until: Wait
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    (tmp_path / "gunicorn.conf.py").write_text("raise SystemExit(9)")
    foreign = {"GUNICORN_CMD_ARGS": "--workers 0 --bind 127.0.0.1:1", "XDG_RUNTIME_DIR": str(place)}
    with web(tmp_path, free_port, 1, HOME=str(tmp_path / "nowhere"), **foreign) as served:
        wait_until(served.pid, PATIENCE_SECONDS)
        served.process.terminate()
        assert served.process.wait(PATIENCE_SECONDS) == 0
    assert not list(place.iterdir())
    assert not (tmp_path / "nowhere").exists()
    said = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert {line["logger"] for line in said} == {"gunicorn.error"}


@pytest.mark.parametrize("processes", ["1", "2"])
def test_what_keeps_workers_from_starting_is_a_sentence_and_the_end(
    tmp_path: Path, free_port: int, sqlite_database_url: str, redis_url: str, processes: str
) -> None:
    (tmp_path / "web-secret").write_bytes(b"short")
    command = ["web", "--port", str(free_port), "--data-dir", str(tmp_path), "--processes", processes]
    stores = {"LAMELLA_DATABASE_URL": sqlite_database_url, "LAMELLA_REDIS_URL": redis_url}
    done = subprocess.run(
        [sys.executable, "-m", "lamella", *command],
        env={**os.environ, **stores},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert set(said) == {f"error: {tmp_path / 'web-secret'} is damaged; delete it, and everybody logs in again"}


HEAD = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.fixture
def served(tmp_path: Path, free_port: int, wait_until: Wait) -> Iterator[Web]:
    with web(tmp_path, free_port, 1) as served:
        wait_until(served.pid, PATIENCE_SECONDS)
        yield served


@pytest.mark.parametrize(
    ("beginning", "more"),
    [
        (HEAD + b"X-Long: ", b"a" * 8192),
        (HEAD, b"X-Many: a\r\n" * 800),
        (b"GET /", b"a" * 8192),
        (CHUNKED + b"1;", b"a" * 8192),
        (CHUNKED + b"0\r\n", b"X-Many: a\r\n" * 800),
        (CHUNKED + b"0\r\nX-Long: ", b"a" * 8192),
    ],
    ids=["header", "headers", "address", "chunk extension", "trailers", "trailer"],
)
def test_a_head_or_trailer_without_end_ends_its_connection(served: Web, beginning: bytes, more: bytes) -> None:
    with pytest.raises(ConnectionError):
        served.pour(beginning, more)
    assert served.pid()


def test_a_long_head_is_refused_in_words(served: Web) -> None:
    pieces = [HEAD + b"X-Long: ", *[b"a" * 4096] * 17]
    assert served.talk(*pieces).startswith(b"HTTP/1.1 431 ")


def test_an_offer_of_another_protocol_is_passed_over_and_the_body_read(served: Web) -> None:
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    head = HEAD + offer + b"Content-Length: 5\r\n\r\n"
    for pieces in ([head + b"hello", head + b"hello" + LAST], [head, b"hel", b"lo" + head, b"hello", LAST]):
        said = served.talk(*pieces)
        assert len(re.findall(rb"HTTP/1\.1 200 OK", said)) == 3
        assert said.count(b'"hello"]') == 2


def test_requests_that_come_faster_than_they_are_answered_are_answered_in_order(served: Web) -> None:
    bodies = [b"%06d" % number for number in range(5000)]
    requests = [HEAD + b"Content-Length: 6\r\n\r\n" + body for body in bodies]
    said = served.talk(b"".join(requests), LAST)
    assert re.findall(rb'"(\d{6})"\]', said) == bodies
