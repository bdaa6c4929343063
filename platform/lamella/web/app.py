"""The Flask application: every part installed in its order, nothing connected."""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from typing import Final

from apiflask import APIFlask
from flask import Response

from lamella import __version__
from lamella.bootstrap.web import Services
from lamella.services.keys import CACHE_SECONDS, COLLECTOR
from lamella.services.rates import Rates
from lamella.web.api import (
    collecting,
    configuration,
    experiments,
    exposures,
    flagd,
    health,
    history,
    insight,
    keys,
    layers,
    metrics,
    model_uploads,
    models,
    ofrep,
    parts,
    previews,
    recommendations,
    records,
    reports,
    serving,
    shadows,
    snapshot,
    spaces,
    webhooks,
    whole,
)
from lamella.web.auditing import install_auditing
from lamella.web.auth import install_auth
from lamella.web.cors import install_cors, vary
from lamella.web.gauges import QuarantineGauge
from lamella.web.lane import Course, Lane, install_lane
from lamella.web.limits import install_limits
from lamella.web.listening import Listener
from lamella.web.openapi import install_openapi
from lamella.web.paths import install_addresses, install_paths
from lamella.web.polling import Poller
from lamella.web.problems import install_problems
from lamella.web.requests import install_requests
from lamella.web.retries import install_retries
from lamella.web.telemetry import Telemetry, install_telemetry
from lamella.web.ui import documentation, pages
from lamella.web.wiring import Wired, hold, listener_of, pollers_of

SESSION_HOURS: Final = 12
MODEL_POLL_SECONDS: Final = 2.0
"""How often a process looks for newly published models, so that no request has to."""
LEFT_POLL_SECONDS: Final = 2.0
"""How often it looks for what a process that was killed had accepted."""
KEY_POLL_SECONDS: Final = CACHE_SECONDS / 2
"""How often it asks whether the keys in use are still good, so that no request has to."""
METRICS_SECONDS: Final = 0.5
"""How often a process brings what it has counted to the metrics that all processes share."""

EVALUATION_BYTES: Final = 16 * 1024 * 1024
"""So far a body is read and told what is wrong with it: one part that is too long costs only itself."""

BODY_LIMITS: Final = {
    "recommendations.recommend": EVALUATION_BYTES,
    "recommendations.recommend_many": EVALUATION_BYTES,
    "serving.take_events": EVALUATION_BYTES,
    "exposures.take_exposures": EVALUATION_BYTES,
    "ofrep.evaluate_flag": EVALUATION_BYTES,
    "ofrep.evaluate_flags": EVALUATION_BYTES,
    "configuration.explain_body": EVALUATION_BYTES,
    "models.put_items": 32 * 1024 * 1024,
    "pages.login_with_key": 16 * 1024,
}

_FORM_BYTES: Final = 64 * 1024
"""What the fields of a form may take beside its files."""

_ROUTES: Final = (
    health,
    recommendations,
    serving,
    collecting,
    configuration,
    layers,
    metrics,
    spaces,
    parts,
    history,
    webhooks,
    whole,
    experiments,
    reports,
    models,
    model_uploads,
    shadows,
    insight,
    keys,
    records,
    pages,
    documentation,
    exposures,
    snapshot,
    ofrep,
    flagd,
    previews,
)
"""The modules whose blueprints are registered, in this order."""


def create_app(services: Services, *, secret: bytes) -> APIFlask:
    """The WSGI application over these services; `secret` signs the cookies of the pages.

    The poller does not run yet: see `start_polling`.
    """
    app = _empty_app(secret)
    install_paths(app)
    telemetry = Telemetry(services.metrics)
    if services.canaries is not None:
        services.canaries.tell(telemetry.watched)
    if services.shadowing is not None:
        services.shadowing.tell(telemetry.watched)
    hold(app, _wire(services, telemetry))
    for module in _ROUTES:
        app.register_blueprint(module.blueprint)
    install_problems(app)
    install_openapi(app)
    # The order of what happens before a view: id and clock, the address, other origins, access, rate, the body's size
    # and type, the audit's row, the answer that is kept already. What happens after one comes the other way round.
    install_telemetry(app, telemetry)
    install_lane(app)
    install_addresses(app)
    install_cors(app, services.settings.origins)
    install_auth(app, services.keys, host=services.settings.host)
    ofrep.install_ofrep(app, Rates(services.settings.ofrep_rate_per_second))
    previews.install_previews(app, Rates(services.settings.rate_per_second))
    install_limits(app, Rates(services.settings.rate_per_second))
    upload_bytes = services.settings.model_upload_megabytes * 1_000_000 + _FORM_BYTES
    install_requests(app, BODY_LIMITS | {"uploads.upload_model": upload_bytes})
    install_auditing(app, services.audit, services.clock)
    install_retries(app, services.idempotency)
    app.after_request(_harden)
    # Assigned as Flask documents it for middleware, so that the test client takes the lane too.
    app.wsgi_app = Lane(  # type: ignore[method-assign]
        app.wsgi_app,
        _courses(services, telemetry),
        keys=services.keys,
        telemetry=telemetry,
        headers=answer_headers(services),
    )
    return app


def _empty_app(secret: bytes) -> APIFlask:
    """The application without routes; `secret` signs its cookies."""
    app = APIFlask(
        "lamella.web",
        title="lamella",
        version=__version__,
        docs_path=None,
        static_folder="ui/static",
        template_folder="ui/templates",
    )
    app.secret_key = secret
    app.config.update(
        SESSION_COOKIE_NAME="lamella_session",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Strict",
        PERMANENT_SESSION_LIFETIME=timedelta(hours=SESSION_HOURS),
        SEND_FILE_MAX_AGE_DEFAULT=timedelta(hours=1),
    )
    return app


def _courses(services: Services, telemetry: Telemetry) -> dict[str, Course]:
    """What the lane answers in place of Flask, by path."""
    return {
        "/v1/recommendations": Course(
            role="client",
            most_bytes=BODY_LIMITS["recommendations.recommend"],
            status=HTTPStatus.OK,
            answer=partial(recommendations.recommended, services, telemetry),
        ),
        "/v1/events": Course(
            role=COLLECTOR,
            most_bytes=BODY_LIMITS["serving.take_events"],
            status=HTTPStatus.ACCEPTED,
            answer=partial(serving.taken, services, telemetry),
        ),
    }


def answer_headers(services: Services) -> Mapping[str, str]:
    """What goes with every answer that Flask does not give."""
    return {**pages.HEADERS, **vary(services.settings.origins)}


def start_polling(app: APIFlask) -> None:
    """Loads the configuration and the list of models, and keeps both fresh in threads that end with the process.

    A store that does not answer is logged and asked again; until then /readyz says 503.
    """
    for poller in pollers_of(app):
        poller.poll()
        poller.start()
    listener = listener_of(app)
    if listener is not None:
        listener.start()


def _wire(services: Services, telemetry: Telemetry) -> Wired:
    def show_version() -> None:
        telemetry.snapshot.set(services.snapshots.current().version)

    poller = Poller("snapshot", services.snapshots, services.settings.snapshot_poll_seconds, then=show_version)
    others = [Poller("metrics", telemetry, METRICS_SECONDS), Poller("keys", services.keys, KEY_POLL_SECONDS)]
    if services.host is not None:
        others.append(Poller("models", services.host, MODEL_POLL_SECONDS))
    if services.left is not None:
        others.append(Poller("journal", services.left, LEFT_POLL_SECONDS))
    announcements = services.announcements
    return Wired(
        services=services,
        telemetry=telemetry,
        quarantine_gauge=QuarantineGauge(services.quarantine),
        snapshot_poller=poller,
        other_pollers=others,
        listener=Listener(announcements, poller.poll) if announcements is not None else None,
    )


def _harden(response: Response) -> Response:
    for name, value in pages.HEADERS.items():
        response.headers.setdefault(name, value)
    return response
