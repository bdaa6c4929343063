"""The models of a process while versions come, go and break under its requests: the real host, files and store."""

import gc
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from lamella.adapters.sql.catalogue import SqlModelCatalogue
from lamella.adapters.sql.engine import create_engine
from lamella.errors import ModelCorrupt
from lamella.experiments.model import Configuration, Layer, Parameter, ParameterType
from lamella.experiments.snapshot import Snapshot, compile_snapshot
from lamella.recommenders.artifact import FactorModel, Floats
from lamella.recommenders.host import ModelHost
from lamella.recommenders.registry import FolderRegistry, TrainedModel
from lamella.recommenders.weights import bytes_of
from lamella.services.canaries import Canaries
from lamella.services.cascade import Cascade
from lamella.services.guarding import PROOFS
from lamella.services.model_ports import ModelVersion, Recall
from lamella.services.recommending import Answer, Recommending, Wish
from lamella.services.shadowing import Shadowing
from lamella.services.staging import Stage
from lamella.testing.fakes import FakeClock
from lamella.testing.record import MemoryRecord
from lamella.testing.shadows import MemoryShadowStore

NOW = datetime(2026, 3, 2, tzinfo=UTC)
AMPLE = 30.0
"""The deadline of a stage where nothing is to be late, on whatever machine."""
ITEMS = tuple(f"i{each:02d}" for each in range(40))


def trained(number: int, *, kind: str = "mf") -> TrainedModel:
    """A model whose best item is that of its number, with a score that only it gives."""
    bias = np.zeros(len(ITEMS), dtype=np.float32)
    bias[number % len(ITEMS)] = 1 + number / 10
    factors = FactorModel(
        user_ids=("ann",),
        user_vectors=np.zeros((1, 2), dtype=np.float32),
        user_bias=np.zeros(1, dtype=np.float32),
        item_ids=ITEMS,
        item_vectors=np.zeros((len(ITEMS), 2), dtype=np.float32),
        item_bias=bias,
        intercept=-1.0,
        unknown_item_bias=-0.5,
        rank_bias=np.zeros(1, dtype=np.float32),
    )
    return TrainedModel(kind=kind, factors=factors, files={}, probe_error=0.0, hyperparameters={}, metrics={}, stamp={})


class Sabotaged:
    """The registry, of which versions can be made to hang while they load, or to answer NaN."""

    def __init__(self, registry: FolderRegistry) -> None:
        self.registry, self.nan, self.hanging = registry, set[str](), set[str]()
        self.release = threading.Event()
        self.loaded: list[weakref.ref[Floats]] = []

    def load(self, version: ModelVersion) -> FactorModel:
        if version.reference in self.hanging:
            self.release.wait(10 * AMPLE)
        found = self.registry.load(version)
        if version.reference in self.nan:
            found = replace(found, item_bias=found.item_bias * np.float32(np.nan))
        self.loaded.append(weakref.ref(found.item_vectors))
        return found


class Held:
    def __init__(self, model: str) -> None:
        self._snapshot = compile_snapshot(
            Configuration(
                version=1,
                layers=(Layer(key="recall", salt="a"),),
                parameters=(Parameter(key="recall.model", type=ParameterType.STRING, default=model, layer="recall"),),
            )
        )

    def current(self) -> Snapshot:
        return self._snapshot


class Process:
    """A process that serves `mf`."""

    def __init__(self, folder: Path, engine: sa.Engine, *, capacity: int = 32, deadline_seconds: float = AMPLE) -> None:
        self.folder, self.catalogue = folder, SqlModelCatalogue(engine)
        self.registry = FolderRegistry(folder, self.catalogue)
        self.store, self.shadows = Sabotaged(self.registry), MemoryShadowStore()
        self.canaries, self.shadowing = Canaries(), Shadowing(self.shadows)
        self.host = ModelHost(
            self.store,
            self.catalogue,
            capacity=capacity,
            canaries=self.canaries,
            followers=(self.shadowing,),
            warm_seconds=0.3,
        )
        self.cascade = Cascade(
            self.host,
            deadline_seconds=deadline_seconds,
            canaries=self.canaries,
            shadowing=self.shadowing,
            monotonic=lambda: 0.0,  # no canary retreats because the machine is slow
        )
        self.recommending = Recommending(
            snapshots=Held("mf"),
            cascade=self.cascade,
            journal=MemoryRecord(),
            clock=FakeClock(),
            new_id=lambda: str(time.perf_counter_ns()),
        )

    def publish(self, number: int, *, name: str = "mf", stage: Stage = Stage.CANDIDATE) -> str:
        return self.registry.publish(trained(number, kind=name), name=name, at=NOW, stage=stage).reference

    def stage(self, reference: str, stage: Stage, share: float = 0.0) -> None:
        self.catalogue.stage(reference, stage, share=share, at=datetime.now(UTC))
        self.host.refresh()

    def ask(self, unit: str = "ann") -> Answer:
        return self.recommending.recommend(Wish(unit=unit, context={}, k=5))


@pytest.fixture
def engine(sqlite_database_url: str) -> Iterator[sa.Engine]:
    made = create_engine(sqlite_database_url)
    yield made
    made.dispose()


@pytest.fixture
def process(tmp_path: Path, engine: sa.Engine) -> Iterator[Process]:
    made = Process(tmp_path, engine)
    yield made
    made.store.release.set()
    made.recommending.close()


def is_of_the_version_that_it_names(answer: Answer) -> bool:
    number = int(answer.models["recall"].partition("@")[2])
    wanted = 1 / (1 + np.exp(-(number / 10)))
    best = answer.items[0]
    return best.item == ITEMS[number % len(ITEMS)] and abs(best.score - wanted) < 1e-6


def test_versions_are_swapped_under_load_without_a_failed_or_a_wrong_answer(tmp_path: Path, engine: sa.Engine) -> None:
    process, done, answers, faults = Process(tmp_path, engine, capacity=3), threading.Event(), list[Answer](), []
    process.publish(1, stage=Stage.LIVE)

    def ask() -> None:
        while not done.is_set():
            try:
                answers.append(process.ask())
            except Exception as error:  # noqa: BLE001 - whatever it is, it fails the test
                faults.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]

    def wait_for_answers() -> None:
        until = len(answers) + 20
        while len(answers) < until and not faults:
            time.sleep(0.001)

    for thread in threads:
        thread.start()
    wait_for_answers()
    for number in range(2, 14):
        reference = process.publish(number)
        process.stage(reference, Stage.LIVE)
        if number % 4 == 0:
            process.stage(f"mf@{number - 1}", Stage.LIVE)
            process.stage(reference, Stage.CANARY, 0.5)
        wait_for_answers()
    done.set()
    for thread in threads:
        thread.join()
    process.recommending.close()
    assert faults == []
    assert [answer.fallbacks for answer in answers if answer.fallbacks] == []
    assert all(map(is_of_the_version_that_it_names, answers))
    assert len({answer.models["recall"] for answer in answers}) >= 12
    assert process.ask().models == {"recall": "mf@13"}
    assert len(process.host._models) <= 3


def test_what_leaves_the_memory_is_gone_from_it(tmp_path: Path, engine: sa.Engine) -> None:
    process = Process(tmp_path, engine)
    for number in range(1, 5):
        process.publish(number)
    size = bytes_of(process.registry.load(process.host.versions()[0]))
    host = ModelHost(process.store, process.catalogue, capacity_bytes=2 * size + size // 2)
    for number in range(1, 5):
        host.recall(f"mf@{number}", "ann", Recall(count=1))
    gc.collect()
    assert [each() is not None for each in process.store.loaded] == [False, False, True, True]
    assert [host.is_prompt(f"mf@{number}") for number in range(1, 5)] == [False, False, True, True]
    least = ModelHost(process.store, process.catalogue, capacity_bytes=1)
    assert least.recall("mf@1", "ann", Recall(count=1)).items == [ITEMS[1]]
    process.recommending.close()


def test_a_canary_answers_its_units_and_the_live_version_stands_in_where_it_is_broken(process: Process) -> None:
    process.publish(1, stage=Stage.LIVE)
    process.publish(2)
    process.stage("mf@2", Stage.CANARY, 0.5)
    by_unit = {str(unit): process.ask(str(unit)).models["recall"] for unit in range(60)}
    assert set(by_unit.values()) == {"mf@1", "mf@2"}
    assert {unit: process.ask(unit).models["recall"] for unit in by_unit} == by_unit
    process.publish(3)
    (process.folder / "mf" / "3" / "serving.npz").write_bytes(b"not what was published")
    process.stage("mf@2", Stage.CANDIDATE)
    process.stage("mf@3", Stage.CANARY, 0.5)
    answers = [process.ask(str(unit)) for unit in range(200)]
    fallen = [answer for answer in answers if answer.fallbacks]
    assert {tuple(answer.fallbacks.items()) for answer in fallen} == {(("recall", "corrupt"),)}
    assert {answer.models["recall"] for answer in answers} == {"mf@1"}
    assert len(fallen) == 20
    assert process.ask(fallen[0].unit).fallbacks == {}


def test_a_version_that_answers_nan_is_stood_in_for(process: Process) -> None:
    process.store.nan.add("mf@2")
    process.publish(1, stage=Stage.LIVE)
    process.publish(2, stage=Stage.LIVE)
    answers = [process.ask() for _ in range(5)]
    assert {tuple(answer.fallbacks.items()) for answer in answers} == {(("recall", "failed"),)}
    assert {answer.models["recall"] for answer in answers} == {"mf@1"}


def test_a_version_that_hangs_holds_up_neither_the_start_nor_the_swap_nor_the_others(
    tmp_path: Path, engine: sa.Engine
) -> None:
    process = Process(tmp_path, engine)
    guard = process.cascade._guard
    process.publish(1, stage=Stage.LIVE)
    process.host.warm(["mf"])
    for _ in range(PROOFS):
        process.ask()
    process.store.hanging |= {"mf@2", "slow@1"}
    process.publish(1, name="slow", stage=Stage.LIVE)
    process.publish(2)
    warmed = process.host.warm(["slow", "mf"])
    for _ in range(100):  # nobody waits again for what still hangs
        warmed = warmed or process.host.warm(["slow", "mf"])
    assert warmed == ["mf"]
    process.stage("mf@2", Stage.LIVE)
    guard._deadline_seconds = 0.05  # mf@1 proved prompt, and answers in the caller's thread
    answers = [process.ask() for _ in range(30)]
    guard._deadline_seconds = AMPLE
    assert {tuple(answer.fallbacks.items()) for answer in answers} == {(("recall", "late"),)}
    assert {answer.models["recall"] for answer in answers} == {"mf@1"}
    process.publish(3)
    process.stage("mf@3", Stage.LIVE)
    assert process.ask().models == {"recall": "mf@3"}
    process.store.release.set()
    process.recommending.close()


def test_a_shadow_is_asked_beside_the_live_version_and_answers_nobody(process: Process) -> None:
    process.publish(1, stage=Stage.LIVE)
    process.publish(2)
    process.stage("mf@2", Stage.SHADOW, 1.0)
    assert {process.ask(str(unit)).models["recall"] for unit in range(20)} == {"mf@1"}
    assert process.shadowing.wait(60)
    process.shadowing.flush()
    record = process.shadows.read("mf@2")
    (total,) = record.totals
    assert (total.live, total.requests, total.compared, total.items) == ("mf@1", 20, 20, len(ITEMS))
    assert total.overlap == pytest.approx(20.0)
    assert record.shown == 5


def test_a_corrupt_file_is_what_it_is_said_to_be(process: Process) -> None:
    process.publish(1, stage=Stage.LIVE)
    (process.folder / "mf" / "1" / "serving.npz").write_bytes(b"x")
    with pytest.raises(ModelCorrupt):
        process.host.recall("mf", "ann", Recall(count=1))
