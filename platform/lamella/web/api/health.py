"""Whether the process lives, whether it can work, and its metrics. Public, and without any unit or key in them."""

from apiflask import APIBlueprint
from flask import Response
from flask.typing import ResponseReturnValue

from lamella.errors import LamellaError
from lamella.web.auth import PUBLIC, needs
from lamella.web.gauges import journal_gauge
from lamella.web.wiring import ReadinessCheck, quarantine_gauge, services, telemetry

blueprint = APIBlueprint("health", __name__, tag="Health")


@blueprint.get("/healthz")
@needs(PUBLIC)
def healthz() -> ResponseReturnValue:
    """Says that the process answers; asks nothing else."""
    return {"status": "ok"}


@blueprint.get("/readyz")
@blueprint.doc(responses={503: "Something that is required does not answer; `checks` says what"})
@needs(PUBLIC)
def readyz() -> ResponseReturnValue:
    """Says whether the process can serve, check by check.

    503 while a check fails without which it cannot; another failing check makes the status `degraded`, with 200.
    """
    failures = {check: _failure(check) for check in services().readiness}
    is_down = any(failure is not None and check.forbids(failure) for check, failure in failures.items())
    is_whole = all(failure is None for failure in failures.values())
    status = "unavailable" if is_down else "ok" if is_whole else "degraded"
    checks = {check.name: _outcome(failure) for check, failure in failures.items()}
    return {"status": status, "checks": checks}, 503 if is_down else 200


@blueprint.get("/metrics")
@needs(PUBLIC)
def metrics() -> ResponseReturnValue:
    """The metrics in Prometheus' text format."""
    return Response(
        telemetry().exposition() + quarantine_gauge().exposition() + journal_gauge(services().left),
        content_type="text/plain; version=0.0.4; charset=utf-8",
    )


def _failure(check: ReadinessCheck) -> LamellaError | None:
    try:
        check.probe()
    except LamellaError as error:
        return error
    return None


def _outcome(failure: LamellaError | None) -> dict[str, str]:
    if failure is None:
        return {"status": "ok"}
    return {"status": "failed", "code": failure.code, "detail": str(failure)}
