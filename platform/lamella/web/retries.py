"""Idempotency-Key: a POST of the admin API that is sent again is answered again, and done once."""

import hashlib
import re
from typing import Final

import orjson
from flask import Flask, Response, g, request

from lamella.errors import InvalidInput
from lamella.services.admin_ports import Answer
from lamella.services.idempotency import LONGEST_KEY, Idempotency
from lamella.web.auth import ADMIN

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotent-Replayed"
_KEPT_HEADERS: Final = ("Content-Type", "ETag", "Location", "Cache-Control", "WWW-Authenticate")
_KEY: Final = re.compile(rf"[\x21-\x7e]{{1,{LONGEST_KEY}}}")


def install_retries(app: Flask, idempotency: Idempotency) -> None:
    """Keeps the answers of POSTs that carry an Idempotency-Key for a day, by key holder."""

    @app.before_request
    def begin() -> Response | None:
        wanted = request.headers.get(HEADER)
        if wanted is None or request.method != "POST" or not request.path.startswith(ADMIN) or "principal" not in g:
            return None
        if not _KEY.fullmatch(wanted):
            raise InvalidInput(f"{HEADER}: send 1 to {LONGEST_KEY} printable ASCII characters without spaces")
        kept = idempotency.begin(g.principal.name, wanted, _digested())
        if kept is None:
            g.claimed = wanted
            return None
        g.is_replayed = True
        return Response(kept.body, status=kept.status, headers={**kept.headers, REPLAYED: "true"})

    @app.after_request
    def end(response: Response) -> Response:
        if "claimed" in g:
            idempotency.end(g.principal.name, g.pop("claimed"), _kept(response))
        return response


def _digested() -> bytes:
    """What makes two requests the same: the path with its query, what it must match, and the body."""
    parts = (request.full_path, request.headers.get("If-Match", ""))
    body = _form() if request.mimetype == "multipart/form-data" else request.get_data()
    return "\n".join(parts).encode() + b"\n" + body


def _form() -> bytes:
    """The fields, and the name and sha256 of each file: the bytes between them are another boundary in each try."""
    files: list[tuple[str, str | None, str]] = []
    for name, file in request.files.items(multi=True):
        files.append((name, file.filename, hashlib.sha256(file.read()).hexdigest()))
        file.seek(0)
    return orjson.dumps([list(request.form.items(multi=True)), files])


def _kept(response: Response) -> Answer:
    """The answer without what is shown once: a secret is never at rest in the store."""
    body = response.get_data()
    if response.headers.get("Cache-Control") == "no-store" and response.is_json:
        shown = {name: value for name, value in response.get_json().items() if name not in ("key", "secret")}
        body = orjson.dumps(shown)
    headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    return Answer(status=response.status_code, headers=headers, body=body)
