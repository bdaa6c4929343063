"""Leaves a row in the audit log for every request that would change something, before anything is done.

A row that cannot be written refuses the request (503): nothing happens without a trace. How it ended is added
afterwards; a process that dies in between leaves the row without an outcome. Requests without a usable key change
nothing and are in the process's own log only, so that nobody can fill the store without one.
"""

import re
from typing import Final

import structlog
from flask import Flask, Response, g, request, session

from lamella.errors import LamellaError
from lamella.services.admin_ports import AuditLog, Deed
from lamella.services.ports import Clock
from lamella.services.units import digest_of_unit
from lamella.web.auth import ADMIN

WRITES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_QUESTION: Final = "configuration.explain_body"
"""The POST that changes nothing: it asks what may be too long for an address."""
_LOG_IN: Final = "pages.login_with_key"
_LOG_OUT: Final = "pages.logout"
_OF_PAGES: Final = (_LOG_IN, _LOG_OUT, "pages.cancel_training")


def install_auditing(app: Flask, audit: AuditLog, clock: Clock) -> None:
    """Audits each POST, PUT, PATCH and DELETE of the admin API, and each log-in, log-out and cancel of the pages."""

    @app.before_request
    def begin() -> None:
        if _is_audited() and ("principal" in g or (request.endpoint == _LOG_OUT and "name" in session)):
            g.deed = audit.begin(_deed(clock))

    @app.after_request
    def complete(response: Response) -> Response:
        if not _is_audited():
            return response
        code = "replayed" if g.get("is_replayed") else g.get("problem")
        try:
            is_logged_in = request.endpoint == _LOG_IN and "name" in session
            if "deed" not in g and ("principal" in g or is_logged_in) and response.status_code != 503:
                # Refused before the view was reached (role, project, rate, size, type), or just logged in.
                g.deed = audit.begin(_deed(clock))
            if "deed" in g:
                audit.complete(g.deed, status=response.status_code, code=code)
        except LamellaError as error:
            structlog.get_logger("lamella.web").error("not_audited", request=g.request, code=error.code)
        return response


def _is_audited() -> bool:
    if request.method not in WRITES or request.url_rule is None or request.endpoint == _QUESTION:
        return False
    return request.path.startswith(ADMIN) or request.endpoint in _OF_PAGES


def _path() -> str:
    """What was called; a unit is named by its digest, because the row outlives the erasure of the unit."""
    values = request.view_args or {}
    if request.blueprint != "records" or request.url_rule is None or "unit" not in values:
        return request.path
    return re.sub(r"<(text:)?unit>", digest_of_unit(values["unit"]), request.url_rule.rule)


def _deed(clock: Clock) -> Deed:
    holder = g.get("principal")
    return Deed(
        at=clock.now(),
        actor=holder.name if holder is not None else str(session.get("name", "")),
        role=holder.role if holder is not None else str(session.get("role", "")),
        address=request.remote_addr or "",
        method=request.method,
        route=request.url_rule.rule if request.url_rule is not None else "",
        path=_path(),
        request=g.request,
    )
