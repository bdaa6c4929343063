from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from configurations import METRICS, draft, newsroom
from lamella.errors import (
    BucketsTaken,
    ConfigurationInvalid,
    ConfigurationMoved,
    Conflict,
    IllegalTransition,
    InvalidInput,
    NotFound,
)
from lamella.experiments.allocation import size
from lamella.experiments.model import BucketRange, Configuration, Layer, Parameter, ParameterType, Status
from lamella.services.admin_ports import Approval
from lamella.services.configuring import Configuring
from lamella.testing.configurations import MemoryConfigurationStore
from lamella.testing.fakes import START, FakeClock


class BusyStore(MemoryConfigurationStore):
    """A store in which somebody else commits first, `rivals` times."""

    def __init__(self, configuration: Configuration, rivals: int) -> None:
        super().__init__(configuration)
        self.rivals = rivals

    def commit(
        self,
        after: Configuration,
        *,
        author: str,
        action: str,
        at: datetime,
        approval: Approval | None = None,
    ) -> Configuration:
        """Stores `after`, unless a rival was faster. Raises ConfigurationMoved."""
        if self.rivals:
            self.rivals -= 1
            now = self.load()
            layer = Layer(key=f"rival-{self.rivals}", salt=f"rival-{self.rivals}")
            super().commit(replace(now, layers=(*now.layers, layer)), author="rival", action="create", at=at)
        return super().commit(after, author=author, action=action, at=at, approval=approval)


def configuring(
    store: MemoryConfigurationStore | None = None,
) -> tuple[Configuring, MemoryConfigurationStore, FakeClock]:
    kept, clock = store or MemoryConfigurationStore(newsroom()), FakeClock()
    return Configuring(kept, clock, METRICS), kept, clock


def test_what_is_created_comes_back_as_stored_with_a_revision() -> None:
    use, store, _ = configuring()
    layer = use.create_layer(Layer(key="slate", salt="slate"), author="anna")
    gap = Parameter(key="slate.gap", type=ParameterType.FLOAT, default=10, layer="slate")
    parameter = use.create_parameter(gap, author="anna")
    experiment = use.create_experiment(draft(), author="ben")
    assert store.load().layers[-1] == layer
    assert store.load().parameters[-1] == parameter
    assert isinstance(parameter.default, float)
    assert store.load().experiments == (experiment,)
    newest = store.revisions()[0]
    assert (newest.author, newest.action, newest.kind, newest.key) == ("ben", "create", "experiment", "textcnn")


def test_what_the_stages_could_not_use_is_refused_with_each_value() -> None:
    use, store, _ = configuring()
    use.create_layer(Layer(key="slate", salt="slate"), author="anna")
    before = store.load()
    for wanted_size in (0, 10**400):
        wanted = Parameter(key="slate.size", type=ParameterType.INTEGER, default=wanted_size, layer="slate")
        with pytest.raises(ConfigurationInvalid):
            use.create_parameter(wanted, author="anna")
    assert store.load() == before
    use.create_parameter(Parameter(key="slate.size", type=ParameterType.INTEGER, default=5, layer="slate"), author="a")
    first, second = draft().variants
    variants = (replace(first, values={"slate.size": 0}), replace(second, values={"slate.size": 101}))
    with pytest.raises(ConfigurationInvalid) as refusal:
        use.create_experiment(replace(draft(), layer="slate", variants=variants), author="ben")
    assert [fault.split("slate.size=")[1] for fault in refusal.value.faults] == [
        "0 is not an integer from 1 to 100",
        "101 is not an integer from 1 to 100",
    ]


def test_a_value_that_was_stored_already_hinders_no_other_change() -> None:
    store = MemoryConfigurationStore(newsroom())
    now = store.load()
    old = Parameter(key="explore.epsilon", type=ParameterType.FLOAT, default=1.5, layer=now.layers[0].key)
    store.commit(replace(now, parameters=(*now.parameters, old)), author="old", action="create", at=START)
    use, _, _ = configuring(store)
    assert use.create_layer(Layer(key="slate", salt="slate"), author="anna").key == "slate"


def test_an_experiment_is_created_on_free_buckets_for_a_share() -> None:
    use, _, _ = configuring()
    use.create_experiment(draft("first"), author="anna")
    use.transition("first", "start", author="anna")
    second = use.create_experiment(replace(draft("second"), ranges=()), author="anna", share=0.2)
    assert second.ranges == (BucketRange(start=5_000, stop=7_000),)
    with pytest.raises(InvalidInput, match="both share and ranges"):
        use.create_experiment(draft("third"), author="anna", share=0.1)


def test_the_whole_life_of_an_experiment() -> None:
    use, _, clock = configuring()
    use.create_experiment(draft(), author="anna")
    assert use.transition("textcnn", "schedule", author="anna").status is Status.SCHEDULED
    assert use.transition("textcnn", "unschedule", author="anna").status is Status.DRAFT
    started = use.transition("textcnn", "start", author="anna")
    assert started.phases[0].started_at == START
    assert use.transition("textcnn", "pause", author="anna").status is Status.PAUSED
    assert use.transition("textcnn", "resume", author="anna").phases == started.phases
    clock.move(timedelta(days=7))
    changed = replace(started, variants=draft(weights={"control": 1, "treatment": 3}).variants)
    assert use.new_phase(changed, author="anna").phases[1].weights == {"control": 1, "treatment": 3}
    assert size(use.ramp("textcnn", 0.8, author="anna").ranges) == 8_000
    clock.move(timedelta(days=7))
    stopped = use.transition("textcnn", "stop", author="anna")
    assert stopped.phases[1].ended_at == START + timedelta(days=14)
    assert use.transition("textcnn", "archive", author="anna").status is Status.ARCHIVED


def test_a_refused_change_leaves_nothing_behind() -> None:
    use, store, _ = configuring()
    use.create_experiment(draft(), author="anna")
    use.transition("textcnn", "start", author="anna")
    use.create_experiment(draft("late"), author="anna")
    before, revisions = store.load(), store.revisions()
    with pytest.raises(BucketsTaken):
        use.transition("late", "start", author="anna")
    with pytest.raises(IllegalTransition):
        use.transition("late", "pause", author="anna")
    with pytest.raises(ConfigurationInvalid):
        use.update_experiment(replace(draft("late"), rule={"nope": 1}), author="anna")
    with pytest.raises(NotFound):
        use.transition("nobody", "start", author="anna")
    with pytest.raises(Conflict):
        use.create_layer(Layer(key="ranking", salt="fresh"), author="anna")
    with pytest.raises(InvalidInput, match="'launch' is no move; there are schedule, "):
        use.transition("late", "launch", author="anna")
    assert (store.load(), store.revisions()) == (before, revisions)


def test_an_unknown_metric_is_refused_at_the_start() -> None:
    store = MemoryConfigurationStore(newsroom())
    use = Configuring(store, FakeClock(), {"dwell_per_read"})
    use.create_experiment(draft(), author="anna")
    with pytest.raises(ConfigurationInvalid, match="unknown metric 'ctr'"):
        use.transition("textcnn", "start", author="anna")


def test_a_change_that_was_overtaken_is_made_again_up_to_three_times() -> None:
    use, store, _ = configuring(BusyStore(newsroom(), rivals=3))
    use.create_experiment(draft(), author="anna")
    assert [layer.key for layer in store.load().layers] == ["recall", "ranking", "rival-2", "rival-1", "rival-0"]
    assert [one.key for one in store.load().experiments] == ["textcnn"]
    too_busy, _, _ = configuring(BusyStore(newsroom(), rivals=4))
    with pytest.raises(ConfigurationMoved):
        too_busy.create_experiment(draft(), author="anna")


def test_a_change_from_the_expected_version_is_never_made_from_another() -> None:
    use, store, _ = configuring(BusyStore(newsroom(), rivals=1))
    with pytest.raises(ConfigurationMoved, match="is at version 0, not 7"):
        use.create_experiment(draft(), author="anna", expected=7)
    with pytest.raises(ConfigurationMoved):
        use.create_experiment(draft(), author="anna", expected=0)
    assert store.load().experiments == ()
    assert use.create_experiment(draft(), author="anna", expected=1).status is Status.DRAFT


def test_a_change_that_changes_nothing_makes_no_version() -> None:
    use, store, _ = configuring()
    assert use.unkill(author="anna").version == 0
    killed = use.kill(author="anna")
    assert (killed.killed, killed.version) == (True, 1)
    assert use.kill(author="anna").version == 1
    assert not use.unkill(author="anna").killed
    assert store.version() == 2
