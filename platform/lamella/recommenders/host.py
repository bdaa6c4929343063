"""The models of a web process: loaded by reference, warmed, bounded, and safe from any thread. No TensorFlow."""

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from lamella.errors import LamellaError, ModelFailed, ModelFault, NotFound, Unavailable
from lamella.recommenders.ahead import Ahead
from lamella.recommenders.artifact import FactorModel, Floats
from lamella.recommenders.candidates import ItemRows, Translations, chosen
from lamella.recommenders.chances import Chances
from lamella.recommenders.composing import Chance, compose, generator_of
from lamella.recommenders.orders import Order, best_places, best_rows
from lamella.recommenders.shelf import NoItems, Shelf
from lamella.recommenders.weights import bytes_of
from lamella.services.canaries import Canaries
from lamella.services.model_ports import NOBODY, Composition, ModelCatalogue, ModelVersion, Reader, Recall, Scored
from lamella.services.staging import SHARED, Stage

CAPACITY: Final = 32
CAPACITY_BYTES: Final = 1_000_000_000
WARM_SECONDS: Final = 10.0
REFRESH_SECONDS: Final = 5.0
LIGHT_ITEMS: Final = 100_000
"""So many dot products take 2 ms."""
LIGHT_NET_ITEMS: Final = 10_000
"""So many answers of a net with two layers take 2 ms."""
RETRY_SECONDS: Final = 30.0
_MISS_SECONDS: Final = 0.5
_LEAST: Final = 1e-9


class ArtifactStore(Protocol):
    """Where the matrices of a version come from; `FolderRegistry` is one."""

    def load(self, version: ModelVersion) -> FactorModel:
        """The matrices. Raises ModelCorrupt."""
        ...


class Follower(Protocol):
    """Whoever wants to know the stages of the versions, each time that the list was read."""

    def follow(self, versions: Sequence[ModelVersion]) -> None:
        """Takes them over; they come newest first. Must be cheap and must not raise."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listing:
    """The versions that the catalogue had at a moment of the monotonic clock.

    `references` says of each name and reference which version it means.
    """

    versions: tuple[ModelVersion, ...] = ()
    by_name: dict[str, ModelVersion] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)
    read_at: float = float("-inf")


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why a version could not be loaded, and until when that answer stands."""

    error: ModelFault
    until: float


class ModelHost:
    """Recall, rank and re-rank by reference: `mf@3`, or `mf` for its live version.

    The list of versions is at most `refresh_seconds` old, so a new version of a bare name serves from then on;
    `refresh` reads it ahead of time and loads the new version first, and the canaries and shadows beside it, for at
    most `warm_seconds`. `shelf` knows the items. Up to `capacity` versions and `capacity_bytes` stay in memory, the
    least recently used one leaves; one stays in any case. A version that cannot be loaded is refused from memory for
    `retry_seconds`. `canaries` answer a share of the units; `followers` are told of every list.
    """

    def __init__(
        self,
        store: ArtifactStore,
        catalogue: ModelCatalogue,
        *,
        shelf: Shelf | None = None,
        capacity: int = CAPACITY,
        capacity_bytes: int = CAPACITY_BYTES,
        refresh_seconds: float = REFRESH_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
        warm_seconds: float = WARM_SECONDS,
        canaries: Canaries | None = None,
        followers: Sequence[Follower] = (),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._catalogue, self._monotonic = store, catalogue, monotonic
        self._shelf = shelf or Shelf(NoItems())
        self._capacity, self._refresh_seconds, self._retry_seconds = capacity, refresh_seconds, retry_seconds
        self._capacity_bytes, self._canaries = capacity_bytes, canaries or Canaries()
        self._followers: Sequence[Follower] = (self._canaries, *followers)
        self._ahead = Ahead(patience_seconds=warm_seconds)
        self._models: dict[str, FactorModel] = {}
        self._used: dict[str, int] = {}
        self._uses = count()
        self._bytes: dict[str, int] = {}
        self._refusals: dict[str, _Refusal] = {}
        self._loading: dict[str, threading.Lock] = {}
        self._translations = Translations()
        self._listing = _Listing()
        self._bare_names: frozenset[str] = frozenset()
        self._lock = threading.Lock()
        self._refreshing = threading.Lock()

    def versions(self) -> Sequence[ModelVersion]:
        """Every version, newest first, as of at most `refresh_seconds` ago.

        While the catalogue does not answer, the list that was read last; Unavailable where there is none yet.
        """
        return self._fresh(self._refresh_seconds).versions

    def refresh(self) -> None:
        """Reads the catalogue now, and loads the newest version of every bare name that requests have used.

        The shelf is read where it is old. Raises Unavailable if the catalogue does not answer; the old list then
        stays. A version that cannot be loaded is listed all the same: requests for it fall back.
        """
        with self._refreshing:
            self._read()
            self._shelf.refresh()

    def warm(self, references: Sequence[str]) -> Sequence[str]:
        """Those of `references` that are now in memory and have answered once. Raises nothing for the others.

        One that hangs is left to itself after a while.
        """
        warmed: list[str] = []

        def ask(reference: str) -> None:
            self.recall(reference, "", Recall(count=1))
            warmed.append(reference)

        names = frozenset(references)
        beside = [each.reference for each in self._listing.versions if each.stage in SHARED and each.name in names]
        self._ahead.run({reference: partial(ask, reference) for reference in (*references, *beside)})
        return [reference for reference in references if reference in warmed]

    def resolve(self, model: str, unit: str) -> str:
        """The reference that `model` means for `unit`: of a bare name its canary's or its live version's.

        What names a version, or nothing that is known, stays as it is. Raises nothing.
        """
        if "@" in model:
            return model
        try:
            live = self._fresh(self._refresh_seconds).references.get(model)
        except LamellaError:
            return model
        if live is None:
            return model
        if model not in self._bare_names:
            self._bare_names |= {model}
        return self._canaries.canary_of(model, unit) or live

    def is_current(self) -> bool:
        """Whether the list of versions is as new as it has to be: nothing is read before the next answer."""
        return self._monotonic() - self._listing.read_at < self._refresh_seconds

    def item_count(self, model: str) -> int:
        """How many items the model knows; 0 where it is not in memory."""
        factors = self._held(model)
        return 0 if factors is None else len(factors.item_ids)

    def is_prompt(self, model: str) -> bool:
        """Whether `model` is in memory as matrices, so that it answers within milliseconds and needs no deadline."""
        factors = self._held(model)
        return factors is not None and factors.network is None

    def is_light(self, model: str) -> bool:
        """Whether to recall by it takes a few milliseconds at most: others wait for the same thread meanwhile."""
        factors = self._held(model)
        if factors is None:
            return False
        return len(factors.item_ids) <= (LIGHT_ITEMS if factors.tail is None else LIGHT_NET_ITEMS)

    def reads_history(self, model: str) -> bool:
        """Whether `model`, where it is in memory, looks at what the unit has read."""
        factors = self._held(model)
        return factors is not None and factors.reads_history

    def _held(self, model: str) -> FactorModel | None:
        reference = self._listing.references.get(model)
        return None if reference is None else self._models.get(reference)

    def recall(self, model: str, unit: str, wanted: Recall, reader: Reader = NOBODY) -> Scored:
        """The best items for `unit`, out of all that the model knows or of the candidates given; see `Recall`.

        Scores are chances, 0..1, best first; of equal ones the smaller item key. About 0.5 ms for 100,000 items of 32
        numbers. Raises NotFound, ModelCorrupt or ModelFailed.
        """
        reference, factors = self._resolve(model)
        if wanted.candidates is not None:
            return self._recall_among(reference, factors, unit, wanted, reader)
        logits = factors.logits(unit, reader)
        if not factors.is_bounded(unit, reader):
            _check(logits, reference)
        logits = factors.damped(logits, slice(None), wanted.damping)
        if not wanted.exclude and wanted.rule is None:
            rows = best_rows(logits, wanted.count)
        else:
            usable = self._barred(logits, reference, factors, wanted)
            rows = best_rows(usable, wanted.count)
            rows = rows[usable[rows] > -np.inf]
        items = ItemRows(reference, factors.item_ids, rows)
        return Scored(items=items, scores=Chances(logits[rows]), source=f"recall:{reference}")

    def rank(self, model: str, unit: str, items: Sequence[str], reader: Reader = NOBODY) -> Scored:
        """`items`, best first, with chances 0..1; an item that the model does not know has its cold-start score.

        Raises NotFound, ModelCorrupt or ModelFailed.
        """
        reference, factors = self._resolve(model)
        rows, are_known = self._translations.known_rows(items, reference, factors.item_rows)
        logits = factors.logits_at(unit, rows, reader, are_known=are_known)
        if not factors.is_bounded(unit, reader):
            _check(logits, reference)
        source, order = f"rank:{reference}", Order(logits)
        if isinstance(items, ItemRows):
            ranked = ItemRows(items.reference, items.keys, items.rows, order)
            return Scored(items=ranked, scores=Chances(logits, order), source=source)
        places = order.whole()
        return Scored(items=chosen(items, places), scores=Chances(logits[places]), source=source)

    def compose(self, model: str, scored: Scored, composition: Composition) -> Scored:
        """The slate out of `scored`, likeness taken from the item vectors of `model`; see `compose`.

        Items keep their scores. Raises NotFound, ModelCorrupt or ModelFailed.
        """
        reference, factors = self._resolve(model)
        scores = list(scored.scores)
        logits = _logits(np.asarray(scores, dtype=np.float64))
        _check(logits, reference)
        if composition.freshness:
            hours = composition.half_life_hours
            fresh = self._shelf.freshness(scored.items, now=composition.now, half_life_hours=hours)
            logits = (logits + composition.freshness * fresh).astype(np.float32)
        composed = compose(
            logits,
            self._vectors(reference, factors, scored.items) if composition.diversity else factors.item_vectors[:0],
            diversity=composition.diversity,
            count=composition.count,
            chance=Chance(composition.epsilon, composition.temperature),
            rng=generator_of(composition.seed) if composition.explores else None,
        )
        return Scored(
            items=chosen(scored.items, composed.rows),
            scores=[scores[row] for row in composed.rows.tolist()],
            source=f"rerank:{reference}",
            propensities=composed.propensities.tolist() if composition.explores else (),
        )

    def _barred(self, logits: Floats, reference: str, factors: FactorModel, wanted: Recall) -> Floats:
        """The logits, -inf for the items that `wanted` excludes or its rule does not let in."""
        usable = logits.copy()
        usable[[factors.item_rows[item] for item in wanted.exclude if item in factors.item_rows]] = -np.inf
        if wanted.rule is not None:
            every = ItemRows(reference, factors.item_ids, factors.all_rows)
            usable[~self._shelf.allowed(every, wanted.rule)] = -np.inf
        return usable

    def _recall_among(
        self,
        reference: str,
        factors: FactorModel,
        unit: str,
        wanted: Recall,
        reader: Reader,
    ) -> Scored:
        """The best of the candidates that the caller named."""
        named = [item for item in dict.fromkeys(wanted.candidates or ()) if item not in wanted.exclude]
        if wanted.rule is not None:
            allowed = self._shelf.allowed(named, wanted.rule).tolist()
            named = [item for item, is_in in zip(named, allowed, strict=True) if is_in]
        rows = factors.rows_of(named)
        logits = factors.logits_at(unit, rows, reader)
        _check(logits, reference)
        logits[rows >= 0] = factors.damped(logits[rows >= 0], rows[rows >= 0], wanted.damping)
        order = best_places(logits)[: wanted.count]
        best = [named[place] for place in order.tolist()]
        return Scored(items=best, scores=Chances(logits[order]), source=f"candidates:{reference}")

    def _vectors(self, reference: str, factors: FactorModel, items: Sequence[str]) -> Floats:
        """The item vectors: (len(items), k), zero for an unknown one."""
        rows = self._translations.rows(items, reference, factors.item_rows)
        vectors = np.zeros((len(rows), factors.item_vectors.shape[1]), dtype=np.float32)
        vectors[rows >= 0] = factors.item_vectors[rows[rows >= 0]]
        return vectors

    def _resolve(self, model: str) -> tuple[str, FactorModel]:
        """The reference of the version that `model` means, and its matrices."""
        listing = self._fresh(self._refresh_seconds)
        if model not in listing.references:
            listing = self._fresh(_MISS_SECONDS)
        reference = listing.references.get(model)
        if reference is None:
            raise NotFound("model version", model, next_step="`lamella models` lists what is published")
        if reference != model and model not in self._bare_names:
            self._bare_names |= {model}
        factors = self._models.get(reference)
        if factors is None:
            factors = self._load(listing.by_name[model])
        self._used[reference] = next(self._uses)
        return reference, factors

    def _load(self, version: ModelVersion) -> FactorModel:
        """The version from disk, read by one thread while the others that want it wait."""
        reference = version.reference
        with self._lock:
            gate = self._loading.setdefault(reference, threading.Lock())
        with gate:
            with self._lock:
                held, refusal = self._models.get(reference), self._refusals.get(reference)
            if held is not None:
                return held
            if refusal is not None and self._monotonic() < refusal.until:
                raise refusal.error
            try:
                factors = self._store.load(version)
            except ModelFault as error:
                self._refusals[reference] = _Refusal(error, self._monotonic() + self._retry_seconds)
                raise
            size = bytes_of(factors)
            with self._lock:
                self._refusals.pop(reference, None)
                self._models[reference], self._bytes[reference] = factors, size
                self._used[reference] = next(self._uses)
                while len(self._models) > 1 and self._is_full():
                    leaving = min(self._models, key=self._used.__getitem__)
                    del self._models[leaving], self._bytes[leaving], self._used[leaving]
                    self._translations.forget(leaving)
            return factors

    def _is_full(self) -> bool:
        return len(self._models) > self._capacity or sum(self._bytes.values()) > self._capacity_bytes

    def _fresh(self, seconds: float) -> _Listing:
        """The listing, read again where it is older than `seconds`; while one thread reads, the others take the old."""
        listing = self._listing
        if self._monotonic() - listing.read_at < seconds:
            return listing
        is_first = listing.read_at == float("-inf")
        if self._refreshing.acquire(blocking=is_first):
            try:
                if self._listing is listing:
                    self._read()
            except Unavailable:
                if is_first:
                    raise
                self._listing = replace(listing, read_at=self._monotonic())
            finally:
                self._refreshing.release()
        return self._listing

    def _read(self) -> None:
        versions = tuple(self._catalogue.all())
        by_name = {each.reference: each for each in versions}
        by_name |= {each.name: each for each in versions if each.stage == Stage.LIVE}
        wanted = [by_name[name] for name in self._bare_names & by_name.keys()]
        wanted += [each for each in versions if each.stage in SHARED and each.name in self._bare_names]
        missing = {each.reference: each for each in wanted if each.reference not in self._models}
        if missing:
            self._ahead.run({reference: partial(self._load, version) for reference, version in missing.items()})
        references = {name: each.reference for name, each in by_name.items()}
        self._listing = _Listing(versions=versions, by_name=by_name, references=references, read_at=self._monotonic())
        for follower in self._followers:
            follower.follow(versions)


def _logits(shares: NDArray[np.float64]) -> Floats:
    bounded = np.clip(shares, _LEAST, 1 - _LEAST)
    logits: Floats = np.log(bounded / (1 - bounded)).astype(np.float32)
    return logits


def _check(logits: Floats, reference: str) -> None:
    # A sum of squares is one short pass, and finite only where each of them is; one that is not is looked into.
    with np.errstate(over="ignore", invalid="ignore"):
        squares = logits.dot(logits)
    if not math.isfinite(squares) and not np.isfinite(logits).all():
        raise ModelFailed(f"{reference} answered with NaN or infinity; publish a sound version")
