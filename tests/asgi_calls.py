"""Requests to an ASGI application without a server: what a client sends in parts, and what it is answered."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote


@dataclass(frozen=True)
class Answered:
    """`parts` are the bodies as they were sent."""

    status: int
    headers: Mapping[str, str]
    parts: Sequence[bytes]

    @property
    def body(self) -> bytes:
        return b"".join(self.parts)


def scope_of(
    method: str, target: str, headers: Iterable[tuple[str, str]], *, length: int | None = None
) -> dict[str, Any]:
    """What a server makes of a request line and headers; `length` is declared where it is not None."""
    path, _, query = target.partition("?")
    named = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    if length is not None:
        named.append((b"content-length", str(length).encode()))
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": named,
        "client": ("127.0.0.1", 40_000),
        "server": ("127.0.0.1", 8000),
    }


async def ask(
    app: Any, scope: Mapping[str, Any], parts: Sequence[bytes] = (b"",), *, is_whole: bool = True
) -> Answered:
    """The answer to a body in these parts, after which the client goes away where that is not the whole of it."""
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": part, "more_body": not is_whole or place < len(parts) - 1}
        for place, part in enumerate(parts)
    ]
    sent: list[Mapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(dict(message))

    await app(dict(scope), receive, send)
    if not sent:
        return Answered(0, {}, ())
    start, *bodies = sent
    assert [each["type"] for each in bodies] == ["http.response.body"] * len(bodies)
    assert [each.get("more_body", False) for each in bodies] == [True] * (len(bodies) - 1) + [False]
    headers = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
    return Answered(start["status"], headers, [each["body"] for each in bodies])


def call(
    app: Any,
    method: str,
    target: str,
    *parts: bytes,
    headers: Mapping[str, str] | None = None,
    is_chunked: bool = False,
    is_whole: bool = True,
) -> Answered:
    """One request on an event loop of its own."""
    length = None if is_chunked else sum(map(len, parts))
    sent = [*(headers or {}).items(), *([("Transfer-Encoding", "chunked")] if is_chunked else [])]
    scope = scope_of(method, target, sent, length=length)
    return asyncio.run(ask(app, scope, parts or (b"",), is_whole=is_whole))
