"""Real web processes over a real store: `lamella web` on free ports, gone at the end of the block."""

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from lamella.bootstrap.tools import open_tools
from lamella.config import Settings
from lamella.experiments.document import layer_from_document, parameter_from_document


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Web:
    """A web process, and a thread that asks it without a pause."""

    url: str
    keys: dict[str, str]
    asked: int = 0
    failed: list[object] = field(default_factory=list)

    def call(self, method: str, path: str, body: object = None, *, role: str = "client") -> Any:
        """The JSON that is answered. Raises HTTPError where it is an error."""
        headers = {"Authorization": f"Bearer {self.keys[role]}", "Content-Type": "application/json"}
        data = None if body is None else orjson.dumps(body)
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return orjson.loads(answer.read())

    @property
    def default(self) -> object:
        """What the reader ann gets as `rank.model`."""
        asked = {"context": {"targetingKey": "ann"}}
        return self.call("POST", "/ofrep/v1/evaluate/flags/rank.model", asked)["value"]

    def load(self, stop: threading.Event) -> None:
        """Asks until `stop`; counts what was answered and keeps what failed."""
        while not stop.is_set():
            try:
                assert self.default in ("mf", "textcnn", "gru")
                self.asked += 1
            except Exception as error:  # noqa: BLE001 - whatever it is, it is a failed request
                self.failed.append(error)


@contextmanager
def processes(count: int, folder: Path, database_url: str, redis_url: str) -> Iterator[list[Web]]:
    """Web processes over one store, which poll once a minute."""
    settings = Settings(data_dir=folder, database_url=database_url, redis_url=redis_url, snapshot_poll_seconds=60)
    with open_tools(settings) as tools:
        tools.configuring.create_layer(layer_from_document({"key": "ranking"}), author="ann")
        rank = {"key": "rank.model", "type": "string", "default": "mf", "layer": "ranking"}
        tools.configuring.create_parameter(parameter_from_document(rank), author="ann")
        keys = {role: tools.keys.create(role, role) for role in ("client", "admin")}
    ports = [free_port() for _ in range(count)]
    started = []
    try:
        for port in ports:
            command = [sys.executable, "-m", "lamella", "web", "--port", str(port)]
            environment = {**os.environ, **settings.to_environment()}
            started.append(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL))
        webs = [Web(f"http://127.0.0.1:{port}", keys) for port in ports]
        for web, process in zip(webs, started, strict=True):
            _wait_for(web, process)
        yield webs
    finally:
        for process in started:
            process.kill()
        for process in started:
            process.wait()


def _wait_for(web: Web, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            assert web.default == "mf"
        except OSError:
            assert process.poll() is None, "the web process ended"
            assert time.monotonic() < deadline, "the web process does not answer"
            time.sleep(0.1)
        else:
            return
