"""What an application holds, and how a view gets at it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from flask import Flask, current_app

from lamella.bootstrap.readiness import ReadinessCheck
from lamella.bootstrap.web import Services
from lamella.web.gauges import QuarantineGauge
from lamella.web.listening import Listener
from lamella.web.polling import Poller
from lamella.web.telemetry import Telemetry

__all__ = [
    "ReadinessCheck",
    "Services",
    "Wired",
    "hold",
    "listener_of",
    "pollers_of",
    "quarantine_gauge",
    "refresh_snapshot",
    "services",
    "telemetry",
    "wired",
]

_EXTENSION: Final = "lamella"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wired:
    """The services with what the web layer adds to them."""

    services: Services
    telemetry: Telemetry
    quarantine_gauge: QuarantineGauge
    snapshot_poller: Poller
    other_pollers: Sequence[Poller] = ()
    listener: Listener | None = None


def hold(app: Flask, wired: Wired) -> None:
    """Gives the application what its views will ask for."""
    app.extensions[_EXTENSION] = wired


def services() -> Services:
    """The services of the application that handles this request."""
    return wired(current_app).services


def telemetry() -> Telemetry:
    """The metrics of the application that handles this request."""
    return wired(current_app).telemetry


def quarantine_gauge() -> QuarantineGauge:
    """How full the quarantine is, for /metrics."""
    return wired(current_app).quarantine_gauge


def refresh_snapshot() -> None:
    """Puts a change of this request in force in this process; a failure is logged, and the poller tries again."""
    wired(current_app).snapshot_poller.poll()


def pollers_of(app: Flask) -> Sequence[Poller]:
    """What runs at intervals: newer snapshots, models and keys, the metrics, and what ended processes left."""
    held = wired(app)
    return [held.snapshot_poller, *held.other_pollers]


def listener_of(app: Flask) -> Listener | None:
    """What hears of new configurations; None where nothing announces them."""
    return wired(app).listener


def wired(app: Flask) -> Wired:
    """What the application holds."""
    return cast("Wired", app.extensions[_EXTENSION])
