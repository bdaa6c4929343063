"""Sends webhooks, and nowhere that a webhook has no business: the address is checked, then connected to as checked."""

import http.client
import ipaddress
import socket
import ssl
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from lamella.errors import Unavailable

TIMEOUT_SECONDS: Final = 5.0


class HttpSender:
    """Posts to http and https URLs; follows no redirect, uses no proxy, and reads no more than the status.

    Private, loopback, link-local and reserved addresses are refused unless `private_addresses` is set. A name is
    resolved once and connected to by the address that was checked, so that it cannot point elsewhere a moment later.
    """

    def __init__(self, *, private_addresses: bool = False, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._private_addresses, self._timeout = private_addresses, timeout_seconds

    def send(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """The HTTP status of the answer. Raises Unavailable where there is none, or the address is refused."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        address = self._address(host, port)
        kind = _PinnedTls if parts.scheme == "https" else _Pinned
        connection = kind(host, port, address, self._timeout)
        try:
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("POST", path, body=body, headers=dict(headers))
            return connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"{host}:{port} does not answer ({str(error) or type(error).__name__})") from None
        finally:
            connection.close()

    def _address(self, host: str, port: int) -> str:
        """The first address of the host, where all of them are allowed."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise Unavailable(f"{host!r} cannot be resolved ({error})") from None
        addresses = [str(each[4][0]) for each in found]
        refused = [each for each in addresses if not self._private_addresses and not _is_public(each)]
        if refused or not addresses:
            raise Unavailable(
                f"{host!r} is at {', '.join(refused)}, which is no public address; "
                f"set LAMELLA_WEBHOOK_PRIVATE_ADDRESSES to allow it"
            )
        return addresses[0]


class _Pinned(http.client.HTTPConnection):
    """A connection to `host` at an address that was checked."""

    def __init__(self, host: str, port: int, address: str, timeout: float) -> None:
        super().__init__(host, port, timeout=timeout)
        self._address = address

    def connect(self) -> None:
        """Connects to the address."""
        self.sock = socket.create_connection((self._address, self.port), self.timeout)


class _PinnedTls(_Pinned):
    """The same over TLS; the certificate must be the host's."""

    def connect(self) -> None:
        """Connects to the address and checks the certificate."""
        super().connect()
        self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self.host)


def _is_public(address: str) -> bool:
    """Whether the address is one of the public internet; an IPv4 address inside an IPv6 one counts as itself."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if inner is not None:
            return _is_public(str(inner))
    return found.is_global and not found.is_multicast
