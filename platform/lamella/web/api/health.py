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

    503 while a required check fails; a failing check that is not required makes the status `degraded`, with 200.
    """
    results = {check.name: (check, _probe(check)) for check in services().readiness}
    failed = [check for check, outcome in results.values() if outcome["status"] != "ok"]
    is_down = any(check.required for check in failed)
    status = "unavailable" if is_down else "degraded" if failed else "ok"
    checks = {name: outcome for name, (_, outcome) in results.items()}
    return {"status": status, "checks": checks}, 503 if is_down else 200


@blueprint.get("/metrics")
@needs(PUBLIC)
def metrics() -> ResponseReturnValue:
    """The metrics in Prometheus' text format."""
    return Response(
        telemetry().exposition() + quarantine_gauge().exposition() + journal_gauge(services().left),
        content_type="text/plain; version=0.0.4; charset=utf-8",
    )


def _probe(check: ReadinessCheck) -> dict[str, str]:
    try:
        check.probe()
    except LamellaError as error:
        return {"status": "failed", "code": error.code, "detail": str(error)}
    return {"status": "ok"}
