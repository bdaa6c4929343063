"""A worker with one more task, which lasts as long as a test wants: for tests that kill it. Run as a program."""

import os
import socket
import sys
import time
from pathlib import Path

from lamella.config import Settings
from lamella_workers.app import create_worker_app


def note(path: str, gate: str) -> None:
    """Append the pid to the file, stay busy until there is a file `gate`, append "done"."""
    with Path(path).open("a", encoding="utf-8") as log:
        log.write(f"{os.getpid()}\n")
        log.flush()
        while not Path(gate).exists():
            time.sleep(0.02)
        log.write("done\n")


if __name__ == "__main__":
    app = create_worker_app(Settings.from_environment(os.environ), ["train"])
    app.task(name="test.note")(note)
    program = app.Worker(
        hostname=f"{sys.argv[1]}@{socket.gethostname()}",
        queues=["default"],
        concurrency=1,
        quiet=True,
        without_gossip=True,
        without_mingle=True,
    )
    program.start()
    sys.exit(program.exitcode)
