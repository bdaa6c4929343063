"""A lab behind a real port of this machine, which can go away and come back."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from integration.web.conftest import Lab, make_lab


class Quiet(WSGIRequestHandler):
    """Logs no request."""

    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002
        pass


@dataclass
class Service:
    """The lab over HTTP."""

    lab: Lab
    port: int = 0
    _server: BaseWSGIServer | None = field(default=None, repr=False)
    _thread: threading.Thread | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def key(self) -> str:
        return self.lab.keys["client"]

    def up(self) -> None:
        self._server = make_server("127.0.0.1", self.port, self.lab.app, threaded=True, request_handler=Quiet)
        self._server.daemon_threads = True  # type: ignore[attr-defined]
        self._server.block_on_close = False  # type: ignore[attr-defined]
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def down(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = None

    def start(self, key: str = "ranking-mf") -> None:
        assert self.lab.call("POST", f"/v1/admin/experiments/{key}/start", json={}).status_code == 200

    def exposed(self) -> dict[str, str]:
        self.lab.ingest()
        return {unit: first.variant for unit, first in self.lab.record.exposed(1).items()}


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service(make_lab())
    made.up()
    made.start()
    yield made
    made.down()
