"""Slates and their impressions as columns."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from operator import itemgetter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lamella.adapters.sql.columns import (
    Column,
    Integers,
    are_finite,
    are_millionths,
    are_texts,
    are_whole,
    floats,
    kept,
    only,
    transposed,
)
from lamella.adapters.sql.steps import Steps, made_by
from lamella.events.contract import Exposed
from lamella.events.validation import INTEGER_LIMIT, RANK_LIMIT

_FIELDS: Final = (
    "kind", "request_id", "unit", "time", "exposures", "impressions", "snapshot", "models", "fallbacks", "context",
    "latency_ms",
)  # fmt: skip
_EXPOSED: Final = 3
_IMPRESSION: Final = 5


@dataclass(slots=True, kw_only=True)
class Slates:
    """Slates in the order in which they came, and their impressions one after the other, `shown` of each slate.

    `exposures` has every combination once, `combination` says which one each slate has. `micros` are microseconds
    since 1970.
    """

    documents: Sequence[Mapping[str, Any]]
    request_ids: Column
    units: Column
    micros: Integers
    exposures: Sequence[tuple[Exposed, ...]]
    combination: Sequence[int]
    shown: Sequence[int]
    impressions: Sequence[Column]
    snapshots: Column
    models: Column
    fallbacks: Column
    contexts: Column
    latencies: Column

    @classmethod
    def of(cls, documents: Sequence[Mapping[str, Any]]) -> "Slates":
        """The frame of these objects. Raises LookupError, TypeError or ValueError where one cannot be a slate."""
        return made_by(cls.steps(documents))

    @classmethod
    def steps(cls, documents: Sequence[Mapping[str, Any]]) -> "Steps[Slates]":
        """Makes the frame, and raises the same."""
        from lamella.adapters.sql.arrays import moments_of, numbers, strings

        columns = transposed(map(itemgetter(*_FIELDS), documents), len(_FIELDS))
        _, request_ids, units, times, exposures, impressions, snapshots, models, fallbacks, contexts, latencies = (
            columns
        )
        yield
        combinations: defaultdict[tuple[tuple[Any, ...], ...], int] = defaultdict(count().__next__)
        combination = [combinations[tuple(map(tuple, each))] for each in exposures]
        yield
        if set(map(len, chain.from_iterable(impressions))) - {_IMPRESSION}:
            raise ValueError("an impression of another width")
        flat = list(chain.from_iterable(chain.from_iterable(impressions)))
        yield
        items, ranks, scores, sources, propensities = (flat[at::_IMPRESSION] for at in range(_IMPRESSION))
        return cls(
            documents=documents,
            request_ids=request_ids,
            units=units,
            micros=moments_of(times),
            exposures=[tuple(_exposed(*each) for each in combined) for combined in combinations],
            combination=combination,
            shown=list(map(len, impressions)),
            impressions=(
                strings(items),
                numbers(ranks, whole=True),
                numbers(scores),
                strings(sources),
                numbers(propensities),
            ),
            snapshots=snapshots,
            models=models,
            fallbacks=fallbacks,
            contexts=contexts,
            latencies=floats(latencies),
        )

    def where(self, mask: NDArray[np.bool_]) -> "Slates":
        """The slates where the mask is true."""
        shown = np.repeat(mask, self.shown)
        return replace(
            self,
            documents=kept(self.documents, mask),
            request_ids=kept(self.request_ids, mask),
            units=kept(self.units, mask),
            micros=self.micros[mask],
            combination=kept(self.combination, mask),
            shown=kept(self.shown, mask),
            impressions=[kept(column, shown) for column in self.impressions],
            snapshots=kept(self.snapshots, mask),
            models=kept(self.models, mask),
            fallbacks=kept(self.fallbacks, mask),
            contexts=kept(self.contexts, mask),
            latencies=kept(self.latencies, mask),
        )

    def fits(self) -> bool:
        """Whether every slate keeps the contract, so that reading it by itself would change nothing."""
        return (
            set(map(len, self.documents)) <= {len(_FIELDS)}
            and are_texts(self.request_ids)
            and are_texts(self.units)
            and are_whole(self.snapshots, least=0, most=INTEGER_LIMIT)
            and are_millionths(self.latencies, least=0.0, most=np.inf)
            and only(chain(self.models, self.fallbacks, self.contexts), dict)
            and only(chain.from_iterable(each.values() for each in chain(self.models, self.fallbacks)), str)
            and self._exposures_fit()
            and self._impressions_fit()
        )

    def _exposures_fit(self) -> bool:
        lists = [document["exposures"] for document in self.documents]
        if not only(lists, list):
            return False
        phases, variants, counted = transposed(chain.from_iterable(lists), _EXPOSED)
        is_distinct = all(len({each.phase for each in combined}) == len(combined) for combined in self.exposures)
        return (
            is_distinct
            and are_whole(phases, least=0, most=INTEGER_LIMIT)
            and are_texts(variants)
            and only(counted, bool)
        )

    def _impressions_fit(self) -> bool:
        from lamella.adapters.sql import arrays

        lists = [document["impressions"] for document in self.documents]
        items, ranks, scores, sources, propensities = self.impressions
        return (
            only(lists, list)
            and only(chain.from_iterable(lists), list)
            and arrays.are_texts(items)
            and arrays.are_texts(sources, least=0)
            and are_finite(scores)
            and are_finite(propensities, above=0.0, most=1.0)
            and bool((np.clip(ranks, 1, RANK_LIMIT) == ranks).all())
            and self._ranks_differ()
        )

    def _ranks_differ(self) -> bool:
        ranks, shown = np.asarray(self.impressions[1]), np.array(self.shown, dtype=np.int64)
        ends = np.cumsum(shown)
        if (ranks == np.arange(1, ranks.size + 1) - np.repeat(ends - shown, shown)).all():
            return True
        return all(len(set(each.tolist())) == each.size for each in np.split(ranks, ends))


def _exposed(phase: int, variant: str, counted: bool) -> Exposed:  # noqa: FBT001 - as the batch has it
    return Exposed(phase=phase, variant=variant, counted=counted)
