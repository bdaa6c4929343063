"""What the web process tells about itself: one log line a request, and metrics for Prometheus.

Several processes behind one port: each holds its own counters, so one scrape would see one process. Set
PROMETHEUS_MULTIPROC_DIR to an empty folder before the processes start; every process then keeps its counters in files
there, and whichever answers /metrics adds them all up (this is prometheus_client's own convention). What requests
count reaches those files together, twice a second: each number costs more to write there than to count.
"""

import os
import re
import time
from collections.abc import Sequence
from functools import partial
from typing import Final

import structlog
from flask import Flask, Response, g, request
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from lamella.services.ids import new_id
from lamella.services.recording import Receipt
from lamella.web.model_metrics import ModelMetrics
from lamella.web.tallies import Tallies, Timings

MULTIPROCESS_DIR: Final = "PROMETHEUS_MULTIPROC_DIR"
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Telemetry:
    """The metrics of this process, in `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry, self._log = registry, structlog.get_logger("lamella.web")
        counter = partial(Counter, registry=registry)
        self.requests = counter(
            "lamella_requests", "Requests by route, method and status.", ["route", "method", "status"]
        )
        self.latency = Timings(
            "lamella_request_seconds", "Time to answer, by route.", ["route"], buckets=_BUCKETS, registry=registry
        )
        self.recommendations = counter(
            "lamella_recommendations",
            "Lists served, by experiment and variant of each layer that assigned one.",
            ["experiment", "variant"],
        )
        self.fallbacks = counter("lamella_fallbacks", "Stages whose wanted model did not answer.", ["stage", "reason"])
        self.variant_fallbacks = counter(
            "lamella_variant_fallbacks",
            "Stages whose wanted model did not answer, by what the unit was assigned.",
            ["experiment", "variant", "stage", "reason"],
        )
        self.watched = ModelMetrics(registry)
        self.events = counter("lamella_events", "Feedback events by outcome.", ["outcome"])
        self.rejections = counter(
            "lamella_events_rejected", "Rejected events by reason; they are in quarantine.", ["reason"]
        )
        self.appends = counter("lamella_inbox_appends", "Appends to the inbox by use and outcome.", ["use", "outcome"])
        self.snapshot = Gauge(
            "lamella_snapshot_version",
            "Version of the configuration in force, the oldest of all processes.",
            registry=registry,
            multiprocess_mode="livemin",
        )
        self._tallies = Tallies()
        self._outcomes = [self.events.labels(each) for each in ("accepted", "duplicate", "rejected")]
        # Looking a child up by its labels costs more than counting.
        self._finished: dict[tuple[str, str, int], tuple[Counter, Timings]] = {}
        self._appended: dict[str, Counter] = {}
        self._served: dict[tuple[str, str], Counter] = {}

    def finish(
        self, request_id: str, *, method: str, route: str, status: int, seconds: float, problem: str | None = None
    ) -> None:
        """Counts a request that was answered, times it and logs it."""
        child = self._finished.get((route, method, status))
        if child is None:
            labels = self.requests.labels(route, method, str(status)), self.latency.labels(route)
            child = self._finished[route, method, status] = labels
        self._tallies.count(child[0])
        self._tallies.time(child[1], seconds)
        told = {"problem": problem} if problem else {}
        self._log.info(
            "request",
            request=request_id,
            method=method,
            route=route,
            status=int(status),
            ms=round(seconds * 1000, 2),
            **told,
        )

    def appended(self, use: str) -> None:
        """Counts an append to the inbox that is durable."""
        child = self._appended.get(use)
        if child is None:
            child = self._appended[use] = self.appends.labels(use, "ok")
        self._tallies.count(child)

    def served(self, variants: Sequence[tuple[str, str]]) -> None:
        """Counts a list served under each of these variants, which come with their experiments before them."""
        self._tallies.count(*[self._served.get(each) or self._serving(*each) for each in variants])

    def _serving(self, experiment: str, variant: str) -> Counter:
        child = self._served[experiment, variant] = self.recommendations.labels(experiment, variant)
        return child

    def took(self, receipt: Receipt) -> None:
        """Counts what became of the events of a call."""
        for counter, amount in zip(
            self._outcomes, (receipt.accepted, receipt.duplicate, len(receipt.rejected)), strict=True
        ):
            self._tallies.add(counter, amount)
        for each in receipt.rejected:
            self._tallies.count(self.rejections.labels(each.code))

    def refresh(self) -> None:
        """Brings what requests have counted to the metrics, where other processes see it."""
        self._tallies.flush()

    def exposition(self) -> bytes:
        """The metrics in Prometheus' text format, of all processes where they share a folder.

        Those of this one are complete, those of the others as of their last `refresh`.
        """
        self.refresh()
        if MULTIPROCESS_DIR not in os.environ:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]  # it publishes no types
        return generate_latest(together)


def request_id_of(wanted: str) -> str:
    """The caller's X-Request-Id where it is usable, else a new one."""
    return wanted if _REQUEST_ID.fullmatch(wanted) else new_id()


def install_telemetry(app: Flask, telemetry: Telemetry) -> None:
    """Gives every request an id (the caller's X-Request-Id where usable), counts it, times it and logs it."""

    @app.before_request
    def begin() -> None:
        g.started = time.perf_counter()
        g.request = request_id_of(request.headers.get("X-Request-Id", ""))
        g.problem = None

    @app.after_request
    def end(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule is not None else "none"
        response.headers["X-Request-Id"] = g.request
        seconds = time.perf_counter() - g.started
        telemetry.finish(
            g.request,
            method=request.method,
            route=route,
            status=response.status_code,
            seconds=seconds,
            problem=g.problem,
        )
        return response
