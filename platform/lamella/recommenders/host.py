"""The models of a web process: loaded by reference, warmed, bounded, and safe from any thread. No TensorFlow."""

import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from lamella.errors import LamellaError, ModelFailed, ModelFault, NotFound, Unavailable
from lamella.recommenders.artifact import FactorModel, Floats, sigmoid
from lamella.recommenders.candidates import ItemRows, Translations
from lamella.recommenders.diversity import maximal_marginal_relevance
from lamella.services.ports import ModelCatalogue, ModelVersion, Scored

CAPACITY: Final = 12
REFRESH_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 30.0
_MISS_SECONDS: Final = 0.5


class ArtifactStore(Protocol):
    """Where the matrices of a version come from; `FolderRegistry` is one."""

    def load(self, version: ModelVersion) -> FactorModel:
        """The matrices. Raises ModelCorrupt."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listing:
    """The versions that the catalogue had at a moment of the monotonic clock."""

    versions: tuple[ModelVersion, ...] = ()
    by_name: dict[str, ModelVersion] = field(default_factory=dict)
    read_at: float = float("-inf")


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why a version could not be loaded, and until when that answer stands."""

    error: ModelFault
    until: float


class ModelHost:
    """Recall, rank and re-rank by reference: `mf@3`, or `mf` for its newest version.

    The list of versions is at most `refresh_seconds` old, so a new version of a bare name serves from then on;
    `refresh` reads it ahead of time and loads the new version first. Up to `capacity` versions stay in memory, the
    least recently used one leaves. A version that cannot be loaded is refused from memory for `retry_seconds`.
    """

    def __init__(
        self,
        store: ArtifactStore,
        catalogue: ModelCatalogue,
        *,
        capacity: int = CAPACITY,
        refresh_seconds: float = REFRESH_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._catalogue, self._monotonic = store, catalogue, monotonic
        self._capacity, self._refresh_seconds, self._retry_seconds = capacity, refresh_seconds, retry_seconds
        self._models: OrderedDict[str, FactorModel] = OrderedDict()
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

        Raises Unavailable if the catalogue does not answer; the old list then stays. A version that cannot be
        loaded is listed all the same: requests for it fall back.
        """
        with self._refreshing:
            self._read()

    def warm(self, references: Sequence[str]) -> Sequence[str]:
        """Those of `references` that are now in memory and have answered once. Raises nothing for the others."""
        warmed = []
        for reference in references:
            with contextlib.suppress(LamellaError):
                self.recall(reference, "", count=1, exclude=frozenset())
                warmed.append(reference)
        return warmed

    def is_prompt(self, model: str) -> bool:
        """Whether `model` is in memory, so that it answers within milliseconds and needs no deadline."""
        listing = self._listing
        version = listing.by_name.get(model)
        return version is not None and version.reference in self._models

    def recall(self, model: str, unit: str, *, count: int, exclude: frozenset[str]) -> Scored:
        """The `count` best items for `unit` out of all that the model knows, less `exclude`; fewer if there are fewer.

        Scores are chances, 0..1, best first; of equal ones the smaller item key. About 1 ms for 100,000 items of 32
        numbers. Raises NotFound, ModelCorrupt or ModelFailed.
        """
        version, factors = self._resolve(model)
        logits = _checked(factors.logits(unit), version.reference)
        candidates = _without(factors, logits, exclude)
        rows = best_rows(candidates, min(count, len(candidates)))
        if exclude:
            rows = rows[candidates[rows] > -np.inf]
        items = ItemRows(version.reference, factors.item_ids, rows)
        return _scored(items, logits[rows], f"recall:{version.reference}")

    def rank(self, model: str, unit: str, items: Sequence[str]) -> Scored:
        """`items`, best first, with chances 0..1; an item that the model does not know has its cold-start score.

        Raises NotFound, ModelCorrupt or ModelFailed.
        """
        version, factors = self._resolve(model)
        rows = self._translations.rows(items, version.reference, factors.item_rows)
        logits = _checked(factors.logits_at(unit, rows), version.reference)
        order = np.argsort(-logits, kind="stable")
        return _scored(_chosen(items, order), logits[order], f"rank:{version.reference}")

    def diversify(self, model: str, scored: Scored, *, diversity: float, count: int) -> Scored:
        """The `count` of `scored` that are relevant and unlike each other by the item vectors of `model`.

        They keep their scores; see `maximal_marginal_relevance`. Raises NotFound, ModelCorrupt or ModelFailed.
        """
        version, factors = self._resolve(model)
        relevance = _checked(np.asarray(scored.scores, dtype=np.float32), version.reference)
        rows = self._translations.rows(scored.items, version.reference, factors.item_rows)
        vectors = np.zeros((len(rows), factors.item_vectors.shape[1]), dtype=np.float32)
        vectors[rows >= 0] = factors.item_vectors[rows[rows >= 0]]
        chosen = maximal_marginal_relevance(relevance, vectors, diversity=diversity, count=count)
        return Scored(
            items=_chosen(scored.items, chosen),
            scores=[scored.scores[row] for row in chosen.tolist()],
            source=f"rerank:{version.reference}",
        )

    def _resolve(self, model: str) -> tuple[ModelVersion, FactorModel]:
        version = self._fresh(self._refresh_seconds).by_name.get(model) or self._fresh(_MISS_SECONDS).by_name.get(model)
        if version is None:
            raise NotFound("model version", model, next_step="`lamella models` lists what is published")
        if model not in self._bare_names and version.reference != model:
            self._bare_names |= {model}
        with self._lock:
            factors = self._models.get(version.reference)
            if factors is not None:
                self._models.move_to_end(version.reference)
                return version, factors
        return version, self._load(version)

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
            with self._lock:
                self._refusals.pop(reference, None)
                self._models[reference] = factors
                while len(self._models) > self._capacity:
                    self._translations.forget(self._models.popitem(last=False)[0])
            return factors

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
        for each in versions:
            newest = by_name.get(each.name)
            if newest is None or newest.number < each.number:
                by_name[each.name] = each
        for name in self._bare_names & by_name.keys():
            with contextlib.suppress(ModelFault):
                if by_name[name].reference not in self._models:
                    self._load(by_name[name])
        self._listing = _Listing(versions=versions, by_name=by_name, read_at=self._monotonic())


def best_rows(values: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """The rows of the `count` greatest values, greatest first; of equal ones the smaller row."""
    if count <= 0:
        return np.zeros(0, dtype=np.int64)
    rows = np.argpartition(values, len(values) - count)[len(values) - count :]
    rows.sort()
    return rows[np.argsort(-values[rows], kind="stable")]


def _without(factors: FactorModel, logits: Floats, exclude: frozenset[str]) -> Floats:
    rows = [factors.item_rows[item] for item in exclude if item in factors.item_rows]
    if not rows:
        return logits
    candidates = logits.copy()
    candidates[rows] = -np.inf
    return candidates


def _checked(logits: Floats, reference: str) -> Floats:
    if not np.isfinite(logits).all():
        raise ModelFailed(f"{reference} answered with NaN or infinity; publish a sound version")
    return logits


def _chosen(items: Sequence[str], places: NDArray[np.int64]) -> Sequence[str]:
    """The items at these places of the sequence, in that order."""
    if isinstance(items, ItemRows):
        return ItemRows(items.reference, items.keys, items.rows[places])
    return [items[place] for place in places.tolist()]


def _scored(items: Sequence[str], logits: Floats, source: str) -> Scored:
    return Scored(items=items, scores=sigmoid(logits).tolist(), source=source)
