"""How a web process starts."""

import gc
import json
import os
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from lamella.cli import main, processes, serving
from lamella.cli.acceptor import Seats
from lamella.config import Settings


@pytest.mark.parametrize("processes", [1, 2])
def test_workers_share_the_code_that_their_parent_imported(processes: int, tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import gc, json, multiprocessing, os, sys
        from lamella.cli import processes
        multiprocessing.set_start_method("fork")

        class Server:
            def __init__(self, *_):
                pass

            def run(self):
                print(json.dumps(["lamella.web.asgi" in sys.modules, gc.isenabled(), gc.get_freeze_count() > 0]))

        processes.Server = Server
        from lamella.cli.serving import serve
        from lamella.config import Settings
        serve(Settings(web_processes=int(sys.argv[1]), data_dir=sys.argv[2]))
        assert gc.isenabled()
    """)
    done = subprocess.run(
        [sys.executable, "-c", program, str(processes), str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [True, False, True]


def test_a_worker_sets_apart_what_it_started_with(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bool] = []
    monkeypatch.setattr("lamella.adapters.lifeline.die_with_parent", lambda: None)
    monkeypatch.setattr("lamella.web.asgi.create", lambda: made.append(gc.isenabled()))
    try:
        serving.create()
        assert made == [False]
        assert gc.isenabled()
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


def test_a_start_waits_for_no_broker(monkeypatch: pytest.MonkeyPatch, sqlite_database_url: str, tmp_path: Path) -> None:
    asked: list[bool] = []

    def serve(_settings: object) -> None:
        try:
            silent.accept()
        except BlockingIOError:
            asked.append(False)
        else:
            asked.append(True)

    monkeypatch.setattr("lamella.cli.serving.serve", serve)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.create_server(("127.0.0.1", 0)) as free:
        silent.setblocking(False)
        port = free.getsockname()[1]
        free.close()
        environment = {
            "LAMELLA_DATABASE_URL": sqlite_database_url,
            "LAMELLA_REDIS_URL": f"redis://127.0.0.1:{silent.getsockname()[1]}/0",
        }
        arguments = ["web", "--port", str(port), "--data-dir", str(tmp_path)]
        result = CliRunner(env=environment).invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert asked == [False]


@pytest.mark.parametrize("is_told", [False, True])
def test_only_workers_that_were_not_told_to_end_are_replaced_with_pauses(is_told: bool) -> None:
    parent = SimpleNamespace(pauses=processes.Pauses(), seats=Seats(1))
    settled = processes.Server(Settings(), serving.create).cfg.child_exit
    for pid in range(processes.Pauses.AT_ONCE + 1):
        settled(parent, SimpleNamespace(pid=pid, began=time.monotonic(), is_told=is_told, seat=0))
    assert parent.pauses.are_over(time.monotonic()) == is_told


def test_who_has_ended_is_left_no_connections() -> None:
    parent = SimpleNamespace(pauses=processes.Pauses(), seats=Seats(2))
    parent.seats.note(1, 3)
    settled = processes.Server(Settings(), serving.create).cfg.child_exit
    settled(parent, SimpleNamespace(pid=7, began=time.monotonic(), is_told=True, seat=1))
    assert parent.seats.fewest_of_others(0) > 3


def test_what_a_worker_said_of_itself_ends_with_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("gauge_livemin_17.db", "gauge_livemin_18.db", "counter_17.db"):
        (tmp_path / name).touch()
    monkeypatch.setenv(serving.METRICS_FOLDER, str(tmp_path))
    processes.Server(Settings(), serving.create).cfg.child_exit(None, SimpleNamespace(pid=17, is_told=True, seat=None))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["counter_17.db", "gauge_livemin_18.db"]
