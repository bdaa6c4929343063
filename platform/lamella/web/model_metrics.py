"""What Prometheus learns of canaries and shadows."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter

from lamella.services.shadow_ports import ShadowTotal

_LABELS: Final = ["shadow", "live", "stage"]


class ModelMetrics:
    """The counters of this process: a `CanaryObserver` and a `ShadowObserver`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._retreats = Counter(
            "lamella_canary_retreats", "Canaries that had to go.", ["model", "cause"], registry=registry
        )
        self._requests = Counter(
            "lamella_shadow_requests",
            "Requests of a shadow by outcome: compared, failed, or dropped by a full queue.",
            [*_LABELS, "outcome"],
            registry=registry,
        )
        self._overlap = Counter(
            "lamella_shadow_overlap", "Sum of overlap@k with the live list, k its slate.", _LABELS, registry=registry
        )
        self._distance = Counter(
            "lamella_shadow_distance",
            "Sum of (1 - Spearman's rank correlation) / 2 over the common items.",
            _LABELS,
            registry=registry,
        )
        self._seconds = Counter(
            "lamella_shadow_seconds", "Time of both on what was compared.", [*_LABELS, "of"], registry=registry
        )

    def retreated(self, reference: str, cause: str) -> None:
        """Counts a canary that had to go."""
        self._retreats.labels(reference, cause).inc()

    def shadowed(self, total: ShadowTotal) -> None:
        """Counts one request of a shadow."""
        labels = total.shadow, total.live, total.stage
        outcome = "dropped" if total.dropped else "failed" if total.errors else "compared"
        self._requests.labels(*labels, outcome).inc()
        if total.compared:
            self._overlap.labels(*labels).inc(total.overlap)
            self._seconds.labels(*labels, "live").inc(total.live_seconds)
            self._seconds.labels(*labels, "shadow").inc(total.shadow_seconds)
        if total.correlated:
            self._distance.labels(*labels).inc((1 - total.correlation) / 2)
