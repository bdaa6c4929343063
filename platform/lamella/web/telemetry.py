"""What the web process tells about itself: one log line a request, and metrics for Prometheus.

Several processes behind one port: each holds its own counters, so one scrape would see one process. Set
PROMETHEUS_MULTIPROC_DIR to an empty folder before the processes start; every process then keeps its counters in files
there, and whichever answers /metrics adds them all up (this is prometheus_client's own convention).
"""

import os
import re
import time
import uuid
from typing import Final

import structlog
from flask import Flask, Response, g, request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

MULTIPROCESS_DIR: Final = "PROMETHEUS_MULTIPROC_DIR"
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Telemetry:
    """The metrics of this process, in `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self.requests = Counter(
            "lamella_requests",
            "Requests by route, method and status.",
            ["route", "method", "status"],
            registry=registry,
        )
        self.latency = Histogram(
            "lamella_request_seconds", "Time to answer, by route.", ["route"], buckets=_BUCKETS, registry=registry
        )
        self.recommendations = Counter(
            "lamella_recommendations",
            "Lists served, by experiment and variant of each layer that assigned one.",
            ["experiment", "variant"],
            registry=registry,
        )
        self.fallbacks = Counter(
            "lamella_fallbacks", "Stages whose wanted model did not answer.", ["stage", "reason"], registry=registry
        )
        self.events = Counter("lamella_events", "Feedback events by outcome.", ["outcome"], registry=registry)
        self.rejections = Counter(
            "lamella_events_rejected",
            "Rejected events by reason; they are in quarantine.",
            ["reason"],
            registry=registry,
        )
        self.appends = Counter(
            "lamella_inbox_appends", "Appends to the inbox by use and outcome.", ["use", "outcome"], registry=registry
        )
        self.snapshot = Gauge(
            "lamella_snapshot_version",
            "Version of the configuration in force, the oldest of all processes.",
            registry=registry,
            multiprocess_mode="livemin",
        )

    def exposition(self) -> bytes:
        """The metrics in Prometheus' text format, of all processes where they share a folder."""
        if MULTIPROCESS_DIR not in os.environ:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]  # it publishes no types
        return generate_latest(together)


def install_telemetry(app: Flask, telemetry: Telemetry) -> None:
    """Gives every request an id (the caller's X-Request-Id where usable), counts it, times it and logs it."""
    log = structlog.get_logger("lamella.web")

    @app.before_request
    def begin() -> None:
        wanted = request.headers.get("X-Request-Id", "")
        g.started = time.perf_counter()
        g.request = wanted if _REQUEST_ID.fullmatch(wanted) else uuid.uuid4().hex
        g.problem = None

    @app.after_request
    def end(response: Response) -> Response:
        seconds = time.perf_counter() - g.started
        route = request.url_rule.rule if request.url_rule is not None else "none"
        response.headers["X-Request-Id"] = g.request
        telemetry.requests.labels(route, request.method, str(response.status_code)).inc()
        telemetry.latency.labels(route).observe(seconds)
        log.info(
            "request",
            request=g.request,
            method=request.method,
            route=route,
            status=response.status_code,
            ms=round(seconds * 1000, 2),
            **({"problem": g.problem} if g.problem else {}),
        )
        return response
