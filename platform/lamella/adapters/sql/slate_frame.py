"""Slates and their impressions as columns."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from operator import itemgetter
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from lamella.adapters.sql.columns import (
    Column,
    Integers,
    are_finite,
    are_millionths,
    are_whole,
    floats,
    joined,
    kept,
    only,
    transposed,
)
from lamella.adapters.sql.digests import digested
from lamella.adapters.sql.steps import Steps, made_by
from lamella.events.codec import COLUMNS
from lamella.events.contract import Exposed
from lamella.events.validation import INTEGER_LIMIT, RANK_LIMIT, parse_exposures

_FIELDS: Final = (
    "kind", "request_id", "unit", "time", "exposures", *COLUMNS, "snapshot", "models", "fallbacks", "context",
    "latency_ms",
)  # fmt: skip

NOTHING: Final = "{}"


@dataclass(slots=True, kw_only=True)
class Slates:
    """Slates in the order in which they came, and their impressions one after the other, `shown` of each slate.

    `exposures` has the combinations, `combination` says which one each slate has. `micros` are microseconds since 1970.
    `models` and `fallbacks` are JSON, NOTHING where there are none. `digests` are those of the request ids, one behind
    the other.
    """

    digests: bytes
    request_ids: Column
    units: Column
    micros: Integers
    exposures: Sequence[tuple[Exposed, ...]]
    combination: Integers
    shown: Sequence[int]
    impressions: Sequence[Column]
    snapshots: Column
    models: Column
    fallbacks: Column
    contexts: Column
    latencies: Column

    @classmethod
    def of(cls, documents: Sequence[Mapping[str, Any]]) -> "Slates":
        """The frame of these objects. Raises what a value that no slate can have raises."""
        return made_by(cls.steps(documents))

    @classmethod
    def steps(cls, documents: Sequence[Mapping[str, Any]]) -> "Steps[Slates]":
        """Makes the frame, and raises the same."""
        from lamella.adapters.sql.arrays import lines, moments_of, numbers, repeated, strings

        columns = dict(zip(_FIELDS, transposed(map(itemgetter(*_FIELDS), documents), len(_FIELDS)), strict=True))
        if set(map(len, documents)) - {len(_FIELDS)}:
            raise ValueError("a slate with other fields")
        yield
        # By their JSON, in which 1 and true differ: each combination is read, and checked, once.
        combinations: defaultdict[bytes, int] = defaultdict(count().__next__)
        combination = [combinations[orjson.dumps(each)] for each in columns["exposures"]]
        yield
        if not only(chain(columns["items"], columns["sources"]), str):
            raise TypeError("items or sources that are no text")
        if not only(chain(columns["ranks"], columns["scores"], columns["propensities"]), list):
            raise TypeError("a column of impressions that is no list")
        shown = list(map(len, columns["scores"]))
        items = lines(columns["items"], shown)
        yield
        scores = numbers(list(chain.from_iterable(columns["scores"])))
        yield
        digests = digested(columns["request_id"])
        yield
        return cls(
            digests=digests,
            request_ids=strings(columns["request_id"]),
            units=strings(columns["unit"]),
            micros=moments_of(columns["time"]),
            exposures=[parse_exposures(orjson.loads(combined)) for combined in combinations],
            combination=np.array(combination, dtype=np.int64),
            shown=shown,
            impressions=(
                items,
                _ranks(columns["ranks"], shown),
                scores,
                repeated(columns["sources"], shown),
                _propensities(columns["propensities"], shown),
            ),
            snapshots=columns["snapshot"],
            models=_texts(columns["models"]),
            fallbacks=_texts(columns["fallbacks"]),
            contexts=columns["context"],
            latencies=floats(columns["latency_ms"]),
        )

    @classmethod
    def joined(cls, parts: Sequence["Slates"]) -> "Slates":
        """All slates of these frames."""
        from lamella.adapters.sql import arrays

        exposures = [part.exposures for part in parts]
        before = np.cumsum([0, *map(len, exposures)])
        items, ranks, scores, sources, propensities = zip(*(part.impressions for part in parts), strict=True)
        return cls(
            digests=b"".join(part.digests for part in parts),
            request_ids=arrays.joined([part.request_ids for part in parts]),
            units=arrays.joined([part.units for part in parts]),
            micros=np.concatenate([part.micros for part in parts]),
            exposures=list(chain.from_iterable(exposures)),
            combination=np.concatenate([part.combination + at for part, at in zip(parts, before, strict=False)]),
            shown=joined([part.shown for part in parts]),
            impressions=[
                arrays.joined(items), joined(ranks), joined(scores), arrays.joined(sources), joined(propensities)
            ],
            snapshots=joined([part.snapshots for part in parts]),
            models=joined([part.models for part in parts]),
            fallbacks=joined([part.fallbacks for part in parts]),
            contexts=joined([part.contexts for part in parts]),
            latencies=joined([part.latencies for part in parts]),
        )  # fmt: skip

    def where(self, mask: NDArray[np.bool_]) -> "Slates":
        """The slates where the mask is true, without their digests."""
        shown = np.repeat(mask, self.shown)
        return replace(
            self,
            digests=b"",
            request_ids=kept(self.request_ids, mask),
            units=kept(self.units, mask),
            micros=self.micros[mask],
            combination=self.combination[mask],
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
        from lamella.adapters.sql import arrays

        return (
            arrays.are_texts(self.request_ids)
            and arrays.are_texts(self.units)
            and are_whole(self.snapshots, least=0, most=INTEGER_LIMIT)
            and are_millionths(self.latencies, least=0.0, most=np.inf)
            and only(self.contexts, dict)
            and self._impressions_fit()
        )

    def _impressions_fit(self) -> bool:
        from lamella.adapters.sql import arrays

        items, ranks, scores, sources, propensities = self.impressions
        return (
            arrays.are_texts(items)
            and arrays.are_texts(sources, least=0)
            and are_finite(scores)
            and are_finite(propensities, above=0.0, most=1.0)
            and bool((np.clip(ranks, 1, RANK_LIMIT) == ranks).all())
            and self._ranks_differ()
        )

    def _ranks_differ(self) -> bool:
        ranks, shown = np.asarray(self.impressions[1]), np.array(self.shown, dtype=np.int64)
        return bool((ranks == _from_one(shown)).all()) or all(
            len(set(each.tolist())) == each.size for each in np.split(ranks, np.cumsum(shown))
        )


def _texts(documents: Sequence[Any]) -> list[str]:
    """Objects of texts as JSON. Raises TypeError where one is something else."""
    if not only(documents, dict) or not only(chain.from_iterable(each.values() for each in documents), str):
        raise TypeError("a value that is no text")
    return [orjson.dumps(each).decode() if each else NOTHING for each in documents]


def _ranks(lists: Sequence[Sequence[int]], shown: Sequence[int]) -> Column:
    """One behind the other; where a list is empty, from 1 on."""
    from lamella.adapters.sql.arrays import numbers

    if any(lists):
        return numbers(_filled(lists, [range(1, each + 1) for each in shown]), whole=True)
    return _from_one(np.array(shown, dtype=np.int64))


def _from_one(counts: Integers) -> Integers:
    """1 to the first count, then 1 to the second, and so on."""
    return np.arange(1, counts.sum() + 1) - np.repeat(np.cumsum(counts) - counts, counts)


def _propensities(lists: Sequence[Sequence[float]], shown: Sequence[int]) -> Column:
    """One behind the other; where a list is empty, 1."""
    from lamella.adapters.sql.arrays import numbers

    if any(lists):
        return numbers(_filled(lists, [[1.0] * each for each in shown]))
    return np.ones(sum(shown))


def _filled(lists: Sequence[Sequence[Any]], others: Sequence[Sequence[Any]]) -> list[Any]:
    """The lists one behind the other, the empty ones from `others`. Raises ValueError if one is of another length."""
    found = [one or other for one, other in zip(lists, others, strict=True)]
    if list(map(len, found)) != list(map(len, others)):
        raise ValueError("columns of another length")
    return list(chain.from_iterable(found))
