"""A report is acted on as the plan says, and only while it is about what runs."""

from dataclasses import replace

import pytest

from lamella.errors import NotFound
from lamella.experiments.model import (
    AnalysisPlan,
    BucketRange,
    Configuration,
    Experiment,
    Json,
    Layer,
    Parameter,
    ParameterType,
    Status,
    Variant,
)
from lamella.services.configuring import Configuring
from lamella.services.deciding import Deciding, Outcome
from lamella.testing.fakes import FakeClock, MemoryConfigurationStore


class Newsroom:
    """A running experiment in memory, and its use cases."""

    def __init__(self, on_verdict: str) -> None:
        self.store = MemoryConfigurationStore()
        self.configuring = Configuring(self.store, FakeClock(), {"ctr"})
        self.deciding = Deciding(self.store, self.configuring)
        self.configuring.create_layer(Layer(key="ranking", salt="ranking"), author="ann")
        parameter = Parameter(key="rank.model", type=ParameterType.STRING, default="mf", layer="ranking")
        self.configuring.create_parameter(parameter, author="ann")
        experiment = Experiment(
            key="bold",
            layer="ranking",
            name="Bold",
            hypothesis="TextCNN ranks better",
            variants=(
                Variant(key="control", weight=1, is_control=True, values={"rank.model": "mf"}),
                Variant(key="treatment", weight=1, values={"rank.model": "textcnn"}),
            ),
            plan=AnalysisPlan(primary_metric="ctr", on_verdict=on_verdict),
            ranges=(BucketRange(start=0, stop=10_000),),
        )
        self.configuring.create_experiment(experiment, author="ann")
        self.configuring.transition("bold", "start", author="ann")

    @property
    def experiment(self) -> Experiment:
        return self.store.load().experiments[0]

    def report(self, decision: str) -> dict[str, Json]:
        phase = self.experiment.phases[-1].id
        return {"experiment": {"key": "bold", "phase": phase}, "verdict": {"decision": decision, "reason": "…"}}


def test_harm_stops_an_experiment_whose_plan_says_so_in_a_revision_of_its_own() -> None:
    newsroom = Newsroom("stop")
    assert newsroom.deciding.act(newsroom.report("stop_for_harm")) is Outcome.STOPPED
    assert newsroom.experiment.status is Status.STOPPED
    revision = newsroom.store.revisions(kind="experiment", key="bold")[0]
    assert (revision.author, revision.action) == ("lamella", "stop")


@pytest.mark.parametrize(
    ("on_verdict", "decision"), [("recommend", "stop_for_harm"), ("stop", "ship"), ("stop", "keep_running")]
)
def test_everything_else_is_left_to_people(on_verdict: str, decision: str) -> None:
    newsroom = Newsroom(on_verdict)
    before = newsroom.store.version()
    assert newsroom.deciding.act(newsroom.report(decision)) is Outcome.RECOMMENDED
    assert newsroom.store.version() == before


def test_a_report_on_an_earlier_phase_stops_nothing() -> None:
    newsroom = Newsroom("stop")
    report = newsroom.report("stop_for_harm")
    flipped = tuple(replace(variant, weight=variant.weight + 1) for variant in newsroom.experiment.variants[:1])
    changed = replace(newsroom.experiment, variants=(*flipped, *newsroom.experiment.variants[1:]))
    newsroom.configuring.new_phase(changed, author="ann")
    assert newsroom.deciding.act(report) is Outcome.OUTDATED
    assert newsroom.experiment.status is Status.RUNNING


def test_a_second_report_on_a_stopped_experiment_changes_nothing() -> None:
    newsroom = Newsroom("stop")
    newsroom.deciding.act(newsroom.report("stop_for_harm"))
    before = newsroom.store.version()
    assert newsroom.deciding.act(newsroom.report("stop_for_harm")) is Outcome.OUTDATED
    assert newsroom.store.version() == before


def test_a_change_at_the_same_moment_wins_and_the_next_report_decides() -> None:
    class Overtaken(MemoryConfigurationStore):
        def commit(self, after: Configuration, **about: object) -> Configuration:
            if about["author"] == "lamella":
                super().commit(self.load(), **{**about, "author": "ann"})  # type: ignore[arg-type]
            return super().commit(after, **about)  # type: ignore[arg-type]

    newsroom = Newsroom("stop")
    overtaken = Overtaken(newsroom.store.load())
    deciding = Deciding(overtaken, Configuring(overtaken, FakeClock(), {"ctr"}))
    assert deciding.act(newsroom.report("stop_for_harm")) is Outcome.OVERTAKEN
    assert overtaken.load().experiments[0].status is Status.RUNNING


def test_a_report_on_an_unknown_experiment_is_refused() -> None:
    newsroom = Newsroom("stop")
    with pytest.raises(NotFound, match="did you mean 'bold'"):
        newsroom.deciding.act({"experiment": {"key": "bald", "phase": 1}, "verdict": {"decision": "ship"}})
