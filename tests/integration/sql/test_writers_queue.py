"""Writers of one SQLite file take turns."""

import subprocess
import sys
import threading
from pathlib import Path

import sqlalchemy as sa

from lamella.adapters.sql.engine import create_engine, writing
from lamella.adapters.sql.queue import turn

HOLD = """
import sys, time
from lamella.adapters.sql.engine import create_engine, writing
with writing(create_engine(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_writer_of_another_thread_waits_for_its_turn(sqlite_database_url: str) -> None:
    engine, order = create_engine(sqlite_database_url), []
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with writing(engine):
            inside.set()
            leave.wait(120)
            order.append("first")

    def second() -> None:
        inside.wait(120)
        with writing(engine):
            order.append("second")

    threads = [threading.Thread(target=each) for each in (first, second)]
    for each in threads:
        each.start()
    inside.wait(120)
    assert order == []
    leave.set()
    for each in threads:
        each.join()
    assert order == ["first", "second"]
    engine.dispose()


def test_a_writer_that_is_killed_gives_its_turn_back(sqlite_database_url: str) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, sqlite_database_url], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    holder.wait()
    holder.stdout.close()
    engine = create_engine(sqlite_database_url)
    with writing(engine) as connection:
        assert connection.execute(sa.text("SELECT 1")).scalar() == 1
    engine.dispose()


def test_a_store_that_is_no_file_needs_no_turn(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url in ("sqlite://", "sqlite:///:memory:", "postgresql+psycopg://nobody@127.0.0.1:1/x"):
        with turn(sa.create_engine(url)):
            pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_takes_no_file_leaves_it_to_sqlite(tmp_path: Path) -> None:
    with turn(create_engine(f"sqlite:///{tmp_path / 'nowhere' / 'x.db'}")):
        pass
    assert list(tmp_path.iterdir()) == []
