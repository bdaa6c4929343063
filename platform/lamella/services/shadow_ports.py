"""What shadows were seen to do, and where it is kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowTotal:
    """Sums over the requests on which a shadow was to be asked beside the version that answered one stage.

    Of `requests`, `errors` failed in the shadow, `dropped` found the queue full, `compared` are the rest. `overlap`
    sums the share of the first k items that both lists have, k the size of the slate; `correlation` Spearman's rank
    correlation over the items in both lists, for the `correlated` where it is defined. Seconds are those of the
    compared. `items` is how many the shadow knows.
    """

    shadow: str
    live: str
    stage: str
    requests: int = 0
    compared: int = 0
    correlated: int = 0
    errors: int = 0
    dropped: int = 0
    items: int = 0
    overlap: float = 0.0
    correlation: float = 0.0
    live_seconds: float = 0.0
    shadow_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowRecord:
    """The totals of one shadow by live version and stage; `shown` different items were in its first k so far."""

    totals: Sequence[ShadowTotal]
    shown: int


class ShadowStore(Protocol):
    """The totals of all processes."""

    def add(self, totals: Sequence[ShadowTotal], shown: Sequence[tuple[str, str]]) -> None:
        """Adds the totals, and the pairs of shadow and item that are not there yet, in one transaction."""
        ...

    def read(self, shadow: str) -> ShadowRecord:
        """What is known of the shadow `mf@4`; empty where it was never asked."""
        ...


def shadow_document(reference: str, record: ShadowRecord) -> dict[str, object]:
    """The record for people and programs: means in place of sums, None where nothing was compared."""
    items = max((each.items for each in record.totals), default=0)
    return {
        "reference": reference,
        "items": items,
        "shown": record.shown,
        "coverage": record.shown / items if items else None,
        "comparisons": [_comparison(each) for each in record.totals],
    }


def _comparison(total: ShadowTotal) -> dict[str, object]:
    def mean(value: float, number: int) -> float | None:
        return value / number if number else None

    return {
        "live": total.live,
        "stage": total.stage,
        "requests": total.requests,
        "compared": total.compared,
        "errors": total.errors,
        "dropped": total.dropped,
        "overlap_at_k": mean(total.overlap, total.compared),
        "rank_correlation": mean(total.correlation, total.correlated),
        "live_ms": mean(total.live_seconds * 1000, total.compared),
        "shadow_ms": mean(total.shadow_seconds * 1000, total.compared),
    }
