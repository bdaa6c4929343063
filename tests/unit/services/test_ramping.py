"""What time brings is done once, by the author lamella, and only forward."""

from dataclasses import replace
from datetime import timedelta

import pytest

from configurations import METRICS, draft, newsroom
from lamella.experiments.allocation import size
from lamella.experiments.model import Experiment, Json, Ramp, RampStep, Status
from lamella.services.configuring import Configuring
from lamella.services.ramping import Ramping, Step
from lamella.testing.analysis import MemoryAnalysisStore
from lamella.testing.configurations import MemoryConfigurationStore
from lamella.testing.fakes import START, FakeClock
from lamella.testing.record import MemoryRecord

DAY = timedelta(days=1)


class House:
    """A newsroom in memory over which time passes."""

    def __init__(self, *experiments: Experiment, move: str = "start") -> None:
        self.clock = FakeClock()
        self.store = MemoryConfigurationStore(newsroom())
        self.analysis = MemoryAnalysisStore(MemoryRecord())
        self.configuring = Configuring(self.store, self.clock, METRICS)
        self.ramping = Ramping(self.store, self.configuring, self.analysis, self.clock)
        for one in experiments:
            self.configuring.create_experiment(one, author="ann")
            self.configuring.transition(one.key, move, author="ann")

    def report(self, decision: str) -> None:
        phase = self.store.load().experiments[0].phases[-1].id
        document: dict[str, Json] = {
            "experiment": {"key": "textcnn", "phase": phase},
            "as_of": self.clock.now().isoformat(),
            "verdict": {"decision": decision},
        }
        self.analysis.save_report("textcnn", phase, self.clock.now(), document)

    @property
    def share(self) -> float:
        return size(self.store.load().experiments[0].ranges) / 10_000


def ramped() -> Experiment:
    steps = (RampStep(share=0.1, hold_hours=24), RampStep(share=0.5, hold_hours=24), RampStep(share=1, hold_hours=0))
    return replace(draft(ranges=[(0, 100)]), ramp=Ramp(steps=steps))


def test_a_ramp_takes_a_step_when_it_is_due_and_the_newest_report_is_safe() -> None:
    house = House(ramped())
    assert house.ramping.advance() == [Step("textcnn", "ramp", "to 0.1 of the layer")]
    assert house.ramping.advance() == []
    house.clock.move(DAY)
    assert house.ramping.advance() == []
    house.report("keep_running")
    assert house.ramping.advance() == [Step("textcnn", "ramp", "to 0.5 of the layer")]
    assert house.share == 0.5
    newest = house.store.revisions(limit=1)[0]
    assert (newest.author, newest.action) == ("lamella", "ramp")
    house.clock.move(DAY)
    assert house.ramping.advance() == []


@pytest.mark.parametrize("decision", ["stop_for_harm", "invalid", "keep_control"])
def test_harm_or_a_failed_check_holds_a_ramp(decision: str) -> None:
    house = House(ramped())
    house.ramping.advance()
    house.clock.move(2 * DAY)
    house.report(decision)
    assert house.ramping.advance() == []
    assert house.share == 0.1


def test_a_ramp_without_room_is_told_and_changes_nothing() -> None:
    house = House(ramped(), draft("other", ranges=[(500, 10_000)]))
    (step,) = house.ramping.advance()
    assert (step.move, "900 buckets wanted" in step.detail) == ("stuck", True)
    assert house.share == 0.01


def test_a_scheduled_experiment_starts_at_its_time() -> None:
    house = House(replace(draft(), starts_at=START + DAY), move="schedule")
    assert house.ramping.advance() == []
    house.clock.move(DAY)
    assert house.ramping.advance() == [Step("textcnn", "start")]
    assert house.store.load().experiments[0].status is Status.RUNNING


def test_a_start_that_is_refused_keeps_its_reasons_once_and_starts_when_they_are_gone() -> None:
    house = House(replace(draft(), starts_at=START), move="schedule")
    blind = Ramping(house.store, Configuring(house.store, house.clock, {"ctr"}), house.analysis, house.clock)
    (step,) = blind.advance()
    assert step.move == "held_back"
    assert "unknown metric 'reading_depth'" in house.store.load().experiments[0].start_faults[0]
    assert blind.advance() == []
    assert house.ramping.advance() == [Step("textcnn", "start")]
    assert house.store.load().experiments[0].start_faults == ()


def test_an_experiment_stops_at_its_end() -> None:
    house = House(replace(draft(), ends_at=START + DAY))
    assert house.ramping.advance() == []
    house.clock.move(DAY)
    (step,) = house.ramping.advance()
    assert step.move == "stop"
    assert house.store.load().experiments[0].status is Status.STOPPED
