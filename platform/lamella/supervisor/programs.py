"""The children of `lamella up`: what each runs, with which settings, and how one sees that it works."""

import errno
import http.client
import os
import socket
import sys
from collections.abc import Callable
from typing import Final

from lamella.adapters.redis.broker import ping
from lamella.adapters.redis.embedded import EmbeddedBroker
from lamella.adapters.redis.liveness import is_alive
from lamella.config import PREFIX, Settings
from lamella.errors import BrokerUnavailable, InvalidSettings, PortInUse
from lamella.supervisor.child import Program
from lamella.supervisor.folder import DataFolder

_PROBE_SECONDS: Final = 2.0


def broker(embedded: EmbeddedBroker, folder: DataFolder) -> Program:
    """The private Valkey."""
    return Program(
        name="broker",
        command=embedded.command(),
        environment={},
        log=folder.log("broker"),
        is_ready=lambda: _answers(embedded.url),
    )


def services(settings: Settings, broker_url: str, folder: DataFolder) -> list[Program]:
    """The web process, the worker, the trainer and beat, in the order in which they stop.

    Training has a worker of its own: the record is never late because models are trained.
    """
    # An empty variable means the default: what this process was not given, its children do not get either.
    environment = {name: "" for name in os.environ if name.startswith(PREFIX)} | settings.to_environment()

    def program(name: str, *arguments: str, is_ready: Callable[[], bool] | None = None) -> Program:
        return Program(
            name=name,
            command=[sys.executable, "-m", "lamella", *arguments],
            environment=environment,
            log=folder.log(name),
            is_ready=is_ready or (lambda: is_alive(broker_url, name)),
        )

    return [
        program("beat", "beat"),
        program("web", "web", is_ready=lambda: web_is_ready(settings)),
        program("worker", "worker", "--queue", "default"),
        program("trainer", "worker", "--queue", "train", "--name", "trainer", "--processes", "1"),
    ]


def address(settings: Settings) -> str:
    """The address under which people of this machine reach the web process."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - compared only
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def check_port(settings: Settings) -> None:
    """Raises PortInUse where somebody listens on the web process's port, InvalidSettings where nobody could."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUse(settings.host, settings.port) from None
            where = f"{settings.host}:{settings.port}"
            raise InvalidSettings(
                [f"cannot listen on {where} ({error.strerror}); choose another --host or --port"]
            ) from None


def web_is_ready(settings: Settings) -> bool:
    """Whether /readyz answers 200."""
    connection = http.client.HTTPConnection(address(settings).removeprefix("http://"), timeout=_PROBE_SECONDS)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _answers(url: str) -> bool:
    try:
        ping(url)
    except BrokerUnavailable:
        return False
    return True
