"""Who may call what: every route says which role it needs, and one without a word on it stops the application.

Programs send `Authorization: Bearer lam_...`; people log in to the pages with a viewer's key and get a signed cookie.
The pages alone are open to everybody where the service listens on loopback and is called by a loopback name.
"""

import ipaddress
from collections.abc import Callable, Mapping
from typing import Any, Final, ParamSpec, TypeAlias, TypeVar
from urllib.parse import urlsplit

from flask import Flask, g, request, session

from lamella.errors import Forbidden, Unauthenticated
from lamella.services.keys import COLLECTOR, Keys, digest_of, reaches, require
from lamella.services.ports import Principal

P = ParamSpec("P")
R = TypeVar("R")

ADMIN: Final = "/v1/admin"
"""Where the admin API begins: what is below is limited, audited and scoped to projects."""

PUBLIC: Final = "public"
PAGES: Final = "pages"
FORMS: Final = "forms"
FORMS_ROLE: Final = "experimenter"
"""Who may send the pages' forms that change something."""
_ATTRIBUTE: Final = "lamella_access"
_SCOPE: Final = "lamella_scope"
_IN_QUERY: Final = "lamella_key_in_query"
Scope: TypeAlias = Callable[[Principal, Mapping[str, Any]], None]
"""Checks the caller's projects against the path's values. Raises Forbidden."""

_EVERYBODY: Final = Principal(name="", role="viewer")
"""Who reads the pages where they are open to everybody."""

_FRAMEWORK_ROUTES: Final = frozenset({"static", "openapi.spec"})
_BEARER: Final = "bearer "


def whole_installation(holder: Principal, _values: Mapping[str, Any]) -> None:
    """The scope of a route that says nothing: only keys that reach every project."""
    if holder.projects is not None:
        raise Forbidden(
            f"key {holder.name!r} reaches project {', '.join(holder.projects)} only, this concerns all of them; "
            f"ask an admin for a key without projects"
        )


def needs(
    access: str, *, scope: Scope = whole_installation, is_key_in_query: bool = False
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator that lets callers of this role or higher in; PUBLIC asks for no key, PAGES for a log-in.

    FORMS asks for the log-in of an experimenter, also where the pages are open to everybody: another site could send
    the form there, and has no session.

    In the admin API and on pages, `scope` holds a key that is limited to some projects to those. With `is_key_in_query`
    the key of a collector, who can only send events, may also stand in the query as `key`: a beacon has no headers.
    """

    def mark(view: Callable[P, R]) -> Callable[P, R]:
        setattr(view, _ATTRIBUTE, access)
        setattr(view, _SCOPE, scope)
        setattr(view, _IN_QUERY, is_key_in_query)
        return view

    return mark


def access_of(app: Flask, endpoint: str) -> str | None:
    """What the endpoint asks for: PUBLIC, PAGES, FORMS or a role; None where its view says nothing."""
    if endpoint in _FRAMEWORK_ROUTES:
        return PUBLIC
    found: str | None = getattr(app.view_functions[endpoint], _ATTRIBUTE, None)
    return found


def install_auth(app: Flask, keys: Keys, *, host: str) -> None:
    """Checks the access of every request before anything of its body is read.

    Raises ValueError at once if some view does not say what it needs.
    """
    access = {rule.endpoint: access_of(app, rule.endpoint) for rule in app.url_map.iter_rules()}
    silent = sorted(endpoint for endpoint, wanted in access.items() if wanted is None)
    if silent:
        raise ValueError(f"views without @needs: {', '.join(silent)}")
    bound_to_loopback = is_loopback(host)

    @app.before_request
    def check() -> None:
        wanted = access.get(request.endpoint or "")
        if wanted is None or wanted == PUBLIC:
            return
        view = app.view_functions[request.endpoint or ""]
        if wanted == PAGES:
            is_open = bound_to_loopback and is_loopback(_called_name())
            g.principal = _EVERYBODY if is_open else _session_holder(keys)
        elif wanted == FORMS:
            g.principal = _session_holder(keys)
            require(g.principal, FORMS_ROLE)
        else:
            has_query_key = "Authorization" not in request.headers and "key" in request.args
            is_collecting = has_query_key and getattr(view, _IN_QUERY, False)
            g.principal = _collector(keys) if is_collecting else keys.verify(_sent_key())
            require(g.principal, wanted)
        if wanted in (PAGES, FORMS) or request.path.startswith(ADMIN):
            scope: Scope = getattr(view, _SCOPE, whole_installation)
            scope(g.principal, request.view_args or {})


def principal() -> Principal:
    """Who calls: only where the view needs a role or a log-in."""
    caller: Principal = g.principal
    return caller


def log_in(keys: Keys, key: str) -> None:
    """Opens a session for the key's holder. Raises Unauthenticated or Forbidden.

    The session keeps the digest, which tells this key from a later one of its name and leads nobody to the key.
    """
    key = key.strip()
    holder = keys.verify(key)
    require(holder, "viewer")
    session.clear()
    session.permanent = True
    session["name"], session["role"] = holder.name, holder.role
    session["digest"] = digest_of(key).hex()


def may_send_forms(keys: Keys) -> bool:
    """Whether who looks at the page may send its forms that concern the whole installation."""
    try:
        holder = _session_holder(keys)
    except (Unauthenticated, Forbidden):
        return False
    return reaches(holder.role, FORMS_ROLE) and holder.projects is None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the host.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0"), is_loopback("example.org")
    (True, True, False, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _called_name() -> str:
    """The name in the Host header: a foreign name that was made to point here must not open the pages."""
    try:
        return urlsplit(f"//{request.host}").hostname or ""
    except ValueError:
        return ""


def bearer(header: str) -> str:
    """The key of an Authorization header, whose scheme has no case (RFC 9110, 11.1). Raises Unauthenticated."""
    if header[: len(_BEARER)].lower() != _BEARER:
        raise Unauthenticated("send a key as 'Authorization: Bearer lam_...'; `lamella keys create` makes one")
    return header[len(_BEARER) :].strip()


def _sent_key() -> str:
    header = request.headers.get("Authorization", "")
    # The other way in that the OpenFeature Remote Evaluation Protocol names.
    if not header and "X-API-Key" in request.headers:
        return request.headers["X-API-Key"].strip()
    return bearer(header)


def _collector(keys: Keys) -> Principal:
    """Who holds the key in the query. Addresses end up in logs and histories: no key that may do more belongs there."""
    holder = keys.verify(request.args["key"].strip())
    if holder.role != COLLECTOR:
        raise Forbidden(
            f"key {holder.name!r} has role {holder.role}, and only a {COLLECTOR}'s may stand in an address; "
            f"send it as 'Authorization: Bearer', and revoke it if strangers could have read the address"
        )
    return holder


def _session_holder(keys: Keys) -> Principal:
    """Who logged in, as the store knows the key now.

    Raises Unauthenticated, and ends the session where its key has ended.
    """
    if "digest" in session:
        try:
            holder = keys.holder_of(bytes.fromhex(session["digest"]))
        except Unauthenticated:
            session.clear()
            raise
        require(holder, "viewer")
        return holder
    raise Unauthenticated("log in with a viewer's key to see this page")
