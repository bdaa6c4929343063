"""In-memory fakes of every port, for tests: exact in what they promise, without a database or a broker.

The record (journal, facts, analysis, training data) is one `MemoryRecord`, in `lamella.testing.record`; the models
that answer are in `lamella.testing.recommender`.
"""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from lamella.errors import BrokerUnavailable, Conflict, InvalidInput, NotFound, TrainingFault
from lamella.experiments.model import (
    Json,
)
from lamella.services.model_ports import (
    Item,
    ModelVersion,
    TrainingLog,
    TrainingRun,
)
from lamella.services.ports import Principal
from lamella.services.staging import Stage

START: Final = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


class FakeClock:
    """A clock that stands until it is moved."""

    def __init__(self, now: datetime = START) -> None:
        self._now = now

    def now(self) -> datetime:
        """The moment that the clock was set to."""
        return self._now

    def move(self, by: timedelta) -> None:
        """Moves the clock forward, or back where `by` is negative."""
        self._now += by


class MemoryKeyStore:
    """API keys by digest. `finds` counts look-ups, so that a test can see a cache."""

    def __init__(self) -> None:
        self._by_digest: dict[bytes, Principal] = {}
        self.finds = 0

    def add(self, holder: Principal, digest: bytes, *, at: datetime) -> None:  # noqa: ARG002 - the port has it
        """Stores a key's digest. Raises Conflict if the name is taken."""
        if any(held.name == holder.name for held in self._by_digest.values()):
            raise Conflict(f"a key named {holder.name!r} exists already; choose another name or revoke that one")
        self._by_digest[digest] = holder

    def find(self, digest: bytes) -> Principal | None:
        """Whose key has this digest, or None."""
        self.finds += 1
        return self._by_digest.get(digest)

    def revoke(self, name: str, *, at: datetime) -> None:  # noqa: ARG002 - the port has it
        """From now on the key is unknown. Raises NotFound."""
        for digest, held in self._by_digest.items():
            if held.name == name:
                del self._by_digest[digest]
                return
        raise NotFound("key", name)

    def names(self) -> Sequence[Principal]:
        """Every key, by name."""
        return sorted(self._by_digest.values(), key=lambda held: held.name)


class MemoryCatalogue:
    """Items by key."""

    def __init__(self, items: Sequence[Item] = ()) -> None:
        self._items = {item.key: item for item in items}

    def put(self, items: Sequence[Item]) -> int:
        """Inserts or replaces items; returns how many there were."""
        self._items.update({item.key: item for item in items})
        return len(items)

    def all(self) -> Sequence[Item]:
        """Every item, by key."""
        return [self._items[key] for key in sorted(self._items)]

    def find(self, keys: Sequence[str]) -> Sequence[Item]:
        """Those of `keys` that there are."""
        return [self._items[key] for key in keys if key in self._items]


class MemoryModelCatalogue:
    """Model versions by reference."""

    def __init__(self, versions: Sequence[ModelVersion] = ()) -> None:
        self._versions: dict[str, ModelVersion] = {}
        for version in versions:
            self.add(version)

    def add(self, version: ModelVersion) -> None:
        """Records a version. Raises Conflict if the reference is taken."""
        if version.reference in self._versions:
            raise Conflict(f"model version {version.reference} exists already; publish the next number")
        if version.stage == Stage.LIVE:
            self._retire(version.name)
        self._versions[version.reference] = version

    def stage(self, reference: str, stage: str, *, share: float, at: datetime, reason: str = "") -> ModelVersion:
        """The version in its new stage. One that becomes live retires the live version of its name. Raises NotFound."""
        version = self._versions.get(reference)
        if version is None:
            raise NotFound("model version", reference, next_step="`lamella models list` shows what is published")
        if stage == Stage.LIVE:
            self._retire(version.name)
        self._versions[reference] = replace(version, stage=str(stage), share=share, staged_at=at, reason=reason)
        return self._versions[reference]

    def _retire(self, name: str) -> None:
        for reference, version in self._versions.items():
            if version.name == name and version.stage == Stage.LIVE:
                self._versions[reference] = replace(version, stage=Stage.RETIRED.value)

    def next_number(self, name: str) -> int:
        """1 for an unknown name, else one more than its newest."""
        return 1 + max((each.number for each in self._versions.values() if each.name == name), default=0)

    def find(self, reference: str) -> ModelVersion | None:
        """The version named, or the live or else the newest one of the name, or None."""
        if "@" in reference:
            return self._versions.get(reference)
        named = [each for each in self._versions.values() if each.name == reference]
        return max(named, key=lambda each: (each.stage == Stage.LIVE, each.number), default=None)

    def all(self) -> Sequence[ModelVersion]:
        """Every version, newest first."""
        by_name = sorted(self._versions.values(), key=lambda each: each.name)
        return sorted(by_name, key=lambda each: (each.created_at, each.number), reverse=True)


class MemoryTrainingRuns:
    """Training runs by id."""

    def __init__(self) -> None:
        self._runs: dict[str, TrainingRun] = {}
        self._lock = threading.Lock()

    def put(self, run: TrainingRun) -> None:
        """Inserts or replaces by id."""
        self._runs[run.id] = run

    def move(
        self,
        run_id: str,
        status: str,
        message: str,
        *,
        of: Collection[str],
        progress: float | None = None,
        reference: str | None = None,
    ) -> TrainingRun | None:
        """The run in its new status, where its status was one of `of`; else None."""
        with self._lock:
            run = self._runs.get(run_id)
            if run is None or run.status not in of:
                return None
            share = run.progress if progress is None else progress
            moved = replace(run, status=status, message=message, progress=share, reference=reference)
            self._runs[run_id] = moved
            return moved

    def find(self, run_id: str) -> TrainingRun | None:
        """The run, or None."""
        return self._runs.get(run_id)

    def all(self, *, limit: int = 100) -> Sequence[TrainingRun]:
        """Newest first."""
        return sorted(self._runs.values(), key=lambda run: (run.requested_at, run.id), reverse=True)[:limit]


class FakeTrainer:
    """A trainer that publishes nothing: it knows its kinds, fills in `epochs`, and fails every training."""

    def __init__(self, kinds: Sequence[str]) -> None:
        self._kinds = tuple(kinds)

    def check(self, kind: str, name: str, hyperparameters: Mapping[str, Json]) -> Mapping[str, Json]:  # noqa: ARG002
        """The hyperparameters with `epochs` filled in. Raises InvalidInput for an unknown kind."""
        if kind not in self._kinds:
            raise InvalidInput(f"no kind {kind!r}; there are {', '.join(self._kinds)}")
        return {"epochs": 10, **hyperparameters}

    def needs_log(self, kind: str) -> bool:  # noqa: ARG002
        """Yes."""
        return True

    def train(
        self,
        run: TrainingRun,
        log: TrainingLog | None,  # noqa: ARG002
        items: Sequence[Item],  # noqa: ARG002
        *,
        at: datetime,  # noqa: ARG002
        progress: Callable[[float, str], None],
    ) -> ModelVersion:
        """Never; raises TrainingFault after some progress."""
        progress(0.5, "half way")
        raise TrainingFault(f"{run.kind}: this trainer only checks")


class MemoryTaskQueue:
    """Remembers what was asked for in `asked`: pairs of task and argument. Refuses while `down` is set."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.down = False

    def train(self, run_id: str) -> None:
        """Remembers the request. Raises BrokerUnavailable."""
        self._ask("train", run_id)

    def ingest(self) -> None:
        """Remembers the request. Raises BrokerUnavailable."""
        self._ask("ingest", "")

    def analyse(self, experiment: str) -> None:
        """Remembers the request. Raises BrokerUnavailable."""
        self._ask("analyse", experiment)

    def _ask(self, task: str, argument: str) -> None:
        if self.down:
            raise BrokerUnavailable("the broker does not answer; start Valkey or Redis, or check LAMELLA_REDIS_URL")
        self.asked.append((task, argument))
