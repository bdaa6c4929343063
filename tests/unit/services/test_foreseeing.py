from dataclasses import replace
from datetime import timedelta

import pytest

from configurations import AT, draft, newsroom
from lamella.errors import ConfigurationInvalid
from lamella.events.codec import encode
from lamella.events.contract import Click, Impression, Slate
from lamella.experiments import lifecycle
from lamella.experiments.model import Phase, Ramp, RampStep, Status
from lamella.metrics.definitions import METRICS
from lamella.services.configuring import Configuring
from lamella.services.foreseeing import Foreseeing, Traffic, power_faults, traffic_of, units_needed
from lamella.stats.power import Baseline, Design
from lamella.stats.power import units_needed as planned_units
from lamella.testing.analysis import MemoryAnalysisStore
from lamella.testing.configurations import MemoryConfigurationStore
from lamella.testing.fakes import FakeClock
from lamella.testing.record import MemoryRecord

EXPERIMENT = draft()
PHASE = Phase(id=1, number=1, salt="ran:1", started_at=AT, weights={"control": 1, "treatment": 1})


def report(units=1_000, days=10):
    """Units with one impression each, of which one in ten is clicked; the clicks are Bernoulli."""
    spread = units * 0.1 * 0.9
    arm = {"n": units, "mean": [0.1, 1.0], "cross": [[spread, 0.0], [0.0, 0.0]]}
    return {
        "experiment": {"started_at": AT.isoformat()},
        "as_of": (AT + timedelta(days=days)).isoformat(),
        "inputs": {"columns": ["clicks", "impressions"], "arms": {"control": arm, "treatment": arm}},
    }


def test_the_units_are_those_of_the_planner_for_two_equal_arms():
    plan = replace(EXPERIMENT.plan, method="fixed_horizon", minimum_effect=0.05)
    found = units_needed(replace(EXPERIMENT, plan=plan), Traffic(value=0.1, variance=0.09, units=1.0, days=1.0))
    assert found == pytest.approx(planned_units(Baseline(value=0.1, deviation=0.3), 0.05, Design()), rel=1e-4)


def test_what_a_report_measured_is_read_from_its_inputs():
    found = traffic_of(EXPERIMENT, report(), METRICS["ctr"])
    assert found is not None
    assert (found.value, found.units, found.days) == (pytest.approx(0.1), pytest.approx(4_000.0), pytest.approx(10.0))
    assert found.variance == pytest.approx(0.09, rel=0.01)


def measured(**options):
    found = traffic_of(EXPERIMENT, report(**options), METRICS["ctr"])
    assert found is not None
    return found


def planned(days):
    return replace(EXPERIMENT, plan=replace(EXPERIMENT.plan, planned_days=days, minimum_days=1))


def test_a_plan_that_its_traffic_cannot_power_is_a_fault_that_says_how_to_mend_it():
    (fault,) = power_faults(EXPERIMENT, measured())
    assert "under-powered" in fault
    assert "at most 2800 in 14 days" in fault
    assert "accept_underpowered" in fault
    assert power_faults(EXPERIMENT, measured(units=2_000_000)) == []


def test_what_comes_is_never_foretold_too_small():
    (shorter,) = power_faults(planned(1), measured())
    assert "at most 2000 in 1 days" in shorter, "the same units may come every day"
    (early,) = power_faults(EXPERIMENT, measured(units=10, days=1 / 24))
    assert "at most 672000 in 14 days" in early, "an hour is taken for the hundredth part of what will come"
    ramped = replace(EXPERIMENT, ramp=Ramp(steps=(RampStep(share=1.0, hold_hours=1),)))
    (grown,) = power_faults(ramped, measured())
    assert "at most 5600 in 14 days" in grown, "a ramp brings its last share"


def test_without_usable_reports_or_a_planned_end_nothing_is_said():
    for unusable in ({}, {"inputs": {}}):
        assert traffic_of(EXPERIMENT, unusable, METRICS["ctr"]) is None
    endless = replace(EXPERIMENT, plan=replace(EXPERIMENT.plan, method="always_valid", planned_days=None))
    assert power_faults(endless, measured()) == []


class House:
    """One draft over a record in memory."""

    def __init__(self, *, experiment=EXPERIMENT):
        self.record, self.clock = MemoryRecord(), FakeClock(AT)
        self.analysis = MemoryAnalysisStore(self.record)
        self.store = MemoryConfigurationStore(lifecycle.add_experiment(newsroom(), experiment))
        self.foreseeing = Foreseeing(self.analysis, self.clock)
        self.configuring = Configuring(self.store, self.clock, METRICS, foreseeing=self.foreseeing)

    def serve(self, units):
        """One slate a unit; every second one is clicked."""
        for number in range(units):
            told = [
                Slate(
                    request_id=f"r{number}",
                    unit=f"u{number}",
                    time=AT,
                    exposures=(),
                    impressions=(Impression(item="i", rank=1, score=1.0, source="popularity@1"),),
                    snapshot=1,
                    models={},
                    fallbacks={},
                    context={},
                    latency_ms=1.0,
                )
            ]
            clicks = [Click(event_id=f"e{number}", request_id=f"r{number}", unit=f"u{number}", item="i", time=AT)]
            self.record.append(encode([*told, *(clicks if number % 2 else [])]))
        self.record.ingest(limit=10_000, now=AT)

    def forecast(self):
        now = self.store.load()
        return self.foreseeing.forecast(now, now.experiments[0])


def test_a_new_installation_is_warned_and_may_start():
    house = House()
    forecast = house.forecast()
    assert forecast.faults == ()
    assert "no traffic was measured" in forecast.warnings[0]
    assert house.configuring.transition(EXPERIMENT.key, "start", author="ann").status is Status.RUNNING


def test_an_underpowered_start_is_refused_together_with_every_other_fault():
    house = House(experiment=replace(EXPERIMENT, hypothesis=""))
    house.serve(20)
    house.clock.move(timedelta(days=2))
    with pytest.raises(ConfigurationInvalid) as refused:
        house.configuring.transition(EXPERIMENT.key, "start", author="ann")
    assert [fault.split(";")[0][:13] for fault in refused.value.faults] == ["the hypothesi", "under-powered"]
    with pytest.raises(ConfigurationInvalid, match="under-powered"):
        house.configuring.transition(EXPERIMENT.key, "schedule", author="ann")


def test_a_person_may_overrule_it_and_the_revision_says_who():
    house = House()
    house.serve(20)
    house.clock.move(timedelta(days=2))
    started = house.configuring.transition(EXPERIMENT.key, "start", author="ann", accept_underpowered=True)
    assert started.status is Status.RUNNING
    (revision,) = house.store.revisions(kind="experiment")
    assert (revision.author, revision.before["accept_underpowered"], revision.after["accept_underpowered"]) == (
        "ann",
        False,
        True,
    )
    forecast = house.forecast()
    assert forecast.faults == ()
    assert "under-powered" in forecast.warnings[0]


def test_a_plan_is_refused_only_where_reports_and_record_agree():
    house = House()
    house.serve(20)
    house.clock.move(timedelta(days=2))
    ran = replace(EXPERIMENT, key="ran", status=Status.STOPPED, phases=(PHASE,))
    now = house.store.load()
    house.store.commit(replace(now, experiments=(*now.experiments, ran)), author="ann", action="bring", at=AT)
    house.analysis.save_report("ran", 1, AT, report(units=2_000_000))
    assert house.forecast().faults == ()
    house.analysis.save_report("ran", 1, AT, report(units=10))
    assert len(house.forecast().faults) == 1


def test_a_report_on_some_units_or_on_a_ramp_does_not_say_what_comes():
    for ran in (
        replace(EXPERIMENT, rule={"==": [{"var": "country"}, "CN"]}),
        replace(EXPERIMENT, ramped_at=AT),
        replace(EXPERIMENT, layer="recall", variants=EXPERIMENT.variants),
    ):
        house = House()
        ended = replace(ran, key="ran", status=Status.STOPPED, phases=(PHASE,))
        now = house.store.load()
        house.store.commit(replace(now, experiments=(*now.experiments, ended)), author="ann", action="bring", at=AT)
        house.analysis.save_report("ran", 1, AT, report(units=10))
        assert house.forecast().faults == ()
