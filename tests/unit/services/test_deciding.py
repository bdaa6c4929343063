"""A report is acted on as the plan says, and only while it is about what runs."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from lamella.errors import ConfigurationInvalid, NotFound
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
from lamella.testing.configurations import MemoryConfigurationStore
from lamella.testing.fakes import FakeClock


class Newsroom:
    """A running experiment in memory, and its use cases."""

    def __init__(self, on_verdict: str) -> None:
        self.store = MemoryConfigurationStore()
        self.configuring = Configuring(self.store, FakeClock(), {"ctr"})
        self.deciding = Deciding(self.store, self.configuring, FakeClock())
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
            ranges=(BucketRange(start=0, stop=5_000),),
        )
        self.configuring.create_experiment(experiment, author="ann")
        self.configuring.transition("bold", "start", author="ann")

    @property
    def experiment(self) -> Experiment:
        return self.store.load().experiments[0]

    @property
    def default(self) -> Json:
        return self.store.load().parameters[0].default

    def report(self, decision: str, variant: str | None = None) -> dict[str, Json]:
        phase = self.experiment.phases[-1].id
        verdict: Json = {"decision": decision, "variant": variant, "reason": "…"}
        return {"experiment": {"key": "bold", "phase": phase}, "verdict": verdict}

    def beside(self, key: str, values: Mapping[str, Mapping[str, Json]], *, layer: str = "ranking") -> None:
        """Another running experiment, on other buckets, with these values for its variants."""
        variants = tuple(
            Variant(key=one, weight=1, values=given, is_control=number == 0)
            for number, (one, given) in enumerate(values.items())
        )
        other = replace(
            self.experiment, key=key, layer=layer, variants=variants, ranges=(BucketRange(start=5_000, stop=10_000),)
        )
        self.configuring.create_experiment(other, author="ann")
        self.configuring.transition(key, "start", author="ann")


def test_harm_stops_an_experiment_whose_plan_says_so_in_a_revision_of_its_own() -> None:
    newsroom = Newsroom("stop")
    assert newsroom.deciding.act(newsroom.report("stop_for_harm")) is Outcome.STOPPED
    assert newsroom.experiment.status is Status.STOPPED
    revision = newsroom.store.revisions(kind="experiment", key="bold")[0]
    assert (revision.author, revision.action) == ("lamella", "stop")


@pytest.mark.parametrize(
    ("on_verdict", "decision"),
    [
        ("recommend", "stop_for_harm"),
        ("recommend", "ship"),
        ("stop", "ship"),
        ("stop", "keep_running"),
        *(("promote", decision) for decision in ("keep_control", "no_difference", "keep_running", "invalid")),
    ],
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
    deciding = Deciding(overtaken, Configuring(overtaken, FakeClock(), {"ctr"}), FakeClock())
    assert deciding.act(newsroom.report("stop_for_harm")) is Outcome.OVERTAKEN
    assert overtaken.load().experiments[0].status is Status.RUNNING


def test_a_report_on_an_unknown_experiment_is_refused() -> None:
    newsroom = Newsroom("stop")
    with pytest.raises(NotFound, match="did you mean 'bold'"):
        newsroom.deciding.act({"experiment": {"key": "bald", "phase": 1}, "verdict": {"decision": "ship"}})


def test_a_winner_is_promoted_and_its_experiment_stopped_in_one_change_of_its_own() -> None:
    newsroom = Newsroom("promote")
    before = newsroom.store.version()
    assert newsroom.deciding.act(newsroom.report("ship", "treatment")) is Outcome.PROMOTED
    assert (newsroom.experiment.status, newsroom.default) == (Status.STOPPED, "textcnn")
    assert newsroom.store.version() == before + 1
    made = [each for each in newsroom.store.revisions() if each.version == before + 1]
    assert {(each.kind, each.key, each.author, each.action) for each in made} == {
        ("experiment", "bold", "lamella", "promote"),
        ("parameter", "rank.model", "lamella", "promote"),
    }


def test_promote_implies_stop_on_harm() -> None:
    newsroom = Newsroom("promote")
    assert newsroom.deciding.act(newsroom.report("stop_for_harm", "treatment")) is Outcome.STOPPED
    assert (newsroom.experiment.status, newsroom.default) == (Status.STOPPED, "mf")


def test_the_same_verdict_twice_promotes_once() -> None:
    newsroom = Newsroom("promote")
    report = newsroom.report("ship", "treatment")
    newsroom.deciding.act(report)
    before = newsroom.store.version()
    assert newsroom.deciding.act(report) is Outcome.OUTDATED
    assert newsroom.store.version() == before


def test_a_promotion_that_is_overtaken_does_nothing_and_the_next_report_promotes() -> None:
    class Overtaken(MemoryConfigurationStore):
        times = 1

        def commit(self, after: Configuration, **about: object) -> Configuration:
            if about["author"] == "lamella" and self.times:
                self.times -= 1
                super().commit(self.load(), **{**about, "author": "ann"})  # type: ignore[arg-type]
            return super().commit(after, **about)  # type: ignore[arg-type]

    newsroom = Newsroom("promote")
    store = Overtaken(newsroom.store.load())
    deciding = Deciding(store, Configuring(store, FakeClock(), {"ctr"}), FakeClock())
    report = newsroom.report("ship", "treatment")
    assert deciding.act(report) is Outcome.OVERTAKEN
    assert (store.load().experiments[0].status, store.load().parameters[0].default) == (Status.RUNNING, "mf")
    assert deciding.act(report) is Outcome.PROMOTED
    assert store.load().parameters[0].default == "textcnn"


def test_a_default_is_not_changed_under_another_comparison_with_it() -> None:
    newsroom = Newsroom("promote")
    newsroom.beside("other", {"control": {}, "bold": {"rank.model": "gru"}})
    before = newsroom.store.version()
    with pytest.raises(ConfigurationInvalid, match=r"'other' compares 'rank\.model' with its default"):
        newsroom.deciding.act(newsroom.report("ship", "treatment"))
    assert (newsroom.store.version(), newsroom.experiment.status) == (before, Status.RUNNING)
    newsroom.configuring.transition("other", "stop", author="ann")
    assert newsroom.deciding.act(newsroom.report("ship", "treatment")) is Outcome.PROMOTED


def test_an_experiment_that_sets_the_value_in_each_variant_is_no_obstacle() -> None:
    newsroom = Newsroom("promote")
    newsroom.beside("other", {"control": {"rank.model": "mf"}, "bold": {"rank.model": "gru"}})
    assert newsroom.deciding.act(newsroom.report("ship", "treatment")) is Outcome.PROMOTED


def test_a_launch_layer_that_would_hide_the_default_is_named() -> None:
    newsroom = Newsroom("promote")
    newsroom.configuring.create_layer(Layer(key="launch", salt="launch", is_launch=True), author="ann")
    newsroom.beside("first", {"a": {"rank.model": "mf"}, "b": {"rank.model": "mf"}}, layer="launch")
    with pytest.raises(ConfigurationInvalid, match=r"'first' of launch layer 'launch' sets 'rank\.model'"):
        newsroom.deciding.act(newsroom.report("ship", "treatment"))


def test_what_is_tested_on_some_units_only_cannot_be_promoted_by_itself() -> None:
    newsroom = Newsroom("promote")
    some = replace(
        newsroom.experiment,
        key="some",
        rule={"==": [{"var": "country"}, "CN"]},
        ranges=(BucketRange(start=6_000, stop=7_000),),
    )
    newsroom.configuring.create_experiment(some, author="ann")
    with pytest.raises(ConfigurationInvalid, match="on_verdict is promote"):
        newsroom.configuring.transition("some", "start", author="ann")


def test_a_winning_control_leaves_the_defaults_as_they_are() -> None:
    newsroom = Newsroom("promote")
    assert newsroom.deciding.act(newsroom.report("ship", "control")) is Outcome.PROMOTED
    assert (newsroom.experiment.status, newsroom.default) == (Status.STOPPED, "mf")
