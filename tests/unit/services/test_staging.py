"""The life of a model version."""

from dataclasses import replace

import pytest

from lamella.errors import Conflict, InvalidInput, NotFound
from lamella.experiments.model import (
    AnalysisPlan,
    BucketRange,
    Experiment,
    Layer,
    Parameter,
    ParameterType,
    Variant,
)
from lamella.services.configuring import Configuring
from lamella.services.model_ports import ModelVersion
from lamella.services.staging import Stage, Staging
from lamella.testing.configurations import MemoryConfigurationStore
from lamella.testing.fakes import START, FakeClock, MemoryModelCatalogue

VERSION = ModelVersion(
    name="mf", number=1, kind="mf", created_at=START, digest="", size_bytes=0, hyperparameters={}, metrics={}, stamp={}
)


class Bench:
    """Versions mf@1 to mf@3, the third live, and a running experiment of mf against popularity."""

    def __init__(self) -> None:
        self.store, clock = MemoryConfigurationStore(), FakeClock()
        self.models = MemoryModelCatalogue([replace(VERSION, number=number) for number in (1, 2, 3)])
        configuring = Configuring(self.store, clock, ["ctr"])
        configuring.create_layer(Layer(key="recall", salt="recall"), author="ann")
        configuring.create_parameter(
            Parameter(key="recall.model", type=ParameterType.STRING, default="popularity", layer="recall"), author="ann"
        )
        configuring.create_experiment(
            Experiment(
                key="personal",
                layer="recall",
                name="Personal",
                hypothesis="More clicks",
                variants=(
                    Variant(key="control", weight=1, is_control=True, values={"recall.model": "popularity"}),
                    Variant(key="mf", weight=1, values={"recall.model": "mf"}),
                ),
                plan=AnalysisPlan(primary_metric="ctr"),
                ranges=(BucketRange(start=0, stop=10_000),),
            ),
            author="ann",
        )
        configuring.transition("personal", "start", author="ann")
        self.staging = Staging(self.models, self.store, configuring, clock)

    def stages(self) -> dict[str, str]:
        return {each.reference: each.stage for each in self.models.all()}

    def phases(self) -> list[tuple[int, str]]:
        (experiment,) = self.store.load().experiments
        return [(phase.number, phase.salt) for phase in experiment.phases]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_name_has_one_live_version_and_the_one_before_it_is_retired(bench: Bench) -> None:
    assert bench.stages() == {"mf@1": "retired", "mf@2": "retired", "mf@3": "live"}
    assert bench.staging.move("mf@1", "live", author="ann").stage == Stage.LIVE
    assert bench.stages() == {"mf@1": "live", "mf@2": "retired", "mf@3": "retired"}


def test_another_live_version_opens_a_phase_where_the_name_is_compared_and_moves_nobody(bench: Bench) -> None:
    bench.staging.move("mf@2", "live", author="ann")
    (first, salt), (second, same_salt) = bench.phases()
    assert (first, second) == (1, 2)
    assert salt == same_salt


@pytest.mark.parametrize(("stage", "share"), [("candidate", 0.0), ("shadow", 0.1), ("canary", 1.0), ("retired", 0.0)])
def test_other_stages_open_no_phase_and_leave_the_live_version_alone(bench: Bench, stage: str, share: float) -> None:
    moved = bench.staging.move("mf@2", stage, share=share, author="ann")
    assert (moved.stage, moved.share) == (stage, share)
    assert bench.stages()["mf@3"] == "live"
    assert len(bench.phases()) == 1


def test_moving_to_where_it_stands_changes_nothing(bench: Bench) -> None:
    bench.staging.move("mf@3", "live", author="ann")
    assert len(bench.phases()) == 1


@pytest.mark.parametrize("stage", ["candidate", "shadow", "canary", "retired"])
def test_a_live_version_that_is_needed_keeps_its_stage(bench: Bench, stage: str) -> None:
    with pytest.raises(Conflict, match="mf@3 is"):
        bench.staging.move("mf@3", stage, share=1.0, author="ann")
    assert bench.stages()["mf@3"] == "live"


def test_a_live_version_that_nothing_names_may_retire(bench: Bench) -> None:
    bench.models.add(replace(VERSION, name="other"))
    assert bench.staging.move("other@1", "retired", author="ann").stage == "retired"


@pytest.mark.parametrize(
    ("stage", "share"), [("boss", 0.0), ("canary", 0.0), ("shadow", 1.5), ("canary", -1.0), ("live", 0.5)]
)
def test_a_bad_stage_or_share_is_refused(bench: Bench, stage: str, share: float) -> None:
    with pytest.raises(InvalidInput):
        bench.staging.move("mf@2", stage, share=share, author="ann")


@pytest.mark.parametrize("reference", ["mf", "mf@9", "nothing@1"])
def test_what_is_not_there_is_not_found(bench: Bench, reference: str) -> None:
    with pytest.raises(NotFound):
        bench.staging.move(reference, "live", author="ann")


def test_a_shadow_needs_a_live_version_beside_it(bench: Bench) -> None:
    bench.models.add(replace(VERSION, name="new", stage="candidate"))
    with pytest.raises(Conflict, match="no live version"):
        bench.staging.move("new@1", "shadow", share=0.1, author="ann")
