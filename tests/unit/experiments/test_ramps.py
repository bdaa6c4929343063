from dataclasses import replace
from datetime import timedelta

import pytest

from configurations import AT, METRICS, draft, newsroom, running
from lamella.errors import ConfigurationInvalid
from lamella.experiments import lifecycle
from lamella.experiments.allocation import size
from lamella.experiments.model import Configuration, Experiment, Ramp, RampStep
from lamella.experiments.planner import availability, availability_document
from lamella.experiments.ramps import next_step

DAY = timedelta(days=1)
STEPS = (RampStep(share=0.01, hold_hours=24), RampStep(share=0.1, hold_hours=48), RampStep(share=0.5, hold_hours=0))


def ramped(*, is_gated: bool = True) -> Experiment:
    return replace(draft(ranges=[(0, 1)]), ramp=Ramp(steps=STEPS, is_gated=is_gated))


def experiment_of(configuration: Configuration) -> Experiment:
    return configuration.experiments[0]


def test_the_first_step_is_due_at_once_and_the_next_after_the_hold_and_a_safe_report() -> None:
    now = running(newsroom(), ramped())
    assert next_step(experiment_of(now), AT, is_safe=None) == 0.01
    now = lifecycle.ramp(now, "textcnn", 0.01, at=AT)
    assert next_step(experiment_of(now), AT + 0.9 * DAY, is_safe=True) is None
    assert next_step(experiment_of(now), AT + DAY, is_safe=None) is None
    assert next_step(experiment_of(now), AT + DAY, is_safe=False) is None
    assert next_step(experiment_of(now), AT + DAY, is_safe=True) == 0.1


def test_a_ramp_without_a_gate_asks_for_no_report() -> None:
    now = lifecycle.ramp(running(newsroom(), ramped(is_gated=False)), "textcnn", 0.01, at=AT)
    assert next_step(experiment_of(now), AT + DAY, is_safe=None) == 0.1


def test_a_ramp_ends_with_its_last_step_and_waits_while_paused() -> None:
    now = lifecycle.ramp(running(newsroom(), ramped()), "textcnn", 0.5, at=AT)
    assert size(experiment_of(now).ranges) == 5_000
    assert next_step(experiment_of(now), AT + 99 * DAY, is_safe=True) is None
    paused = lifecycle.pause(lifecycle.ramp(running(newsroom(), ramped()), "textcnn", 0.01, at=AT), "textcnn")
    assert next_step(experiment_of(paused), AT + 99 * DAY, is_safe=True) is None


@pytest.mark.parametrize(
    ("steps", "fault"),
    [
        ((), "has 0 steps"),
        ((RampStep(share=0.5, hold_hours=1), RampStep(share=0.5, hold_hours=1)), "list growing shares"),
        ((RampStep(share=1.5, hold_hours=1),), "is no share of a layer"),
        ((RampStep(share=0.5, hold_hours=-1),), "holds 0.5 for -1 hours"),
    ],
)
def test_a_bad_ramp_is_refused_when_it_is_saved(steps: tuple[RampStep, ...], fault: str) -> None:
    with pytest.raises(ConfigurationInvalid, match=fault):
        lifecycle.add_experiment(newsroom(), replace(draft(), ramp=Ramp(steps=steps)))


def test_an_end_before_the_start_is_refused() -> None:
    with pytest.raises(ConfigurationInvalid, match="not after its start"):
        lifecycle.add_experiment(newsroom(), replace(draft(), starts_at=AT, ends_at=AT))


def test_the_planner_says_what_is_free_now_and_when_more_will_be() -> None:
    soon = replace(draft("soon", ranges=[(0, 2_000)]), ends_at=AT + 3 * DAY)
    plan = replace(draft().plan, method="always_valid", planned_days=None)
    now = running(
        newsroom(),
        soon,
        draft("planned", ranges=[(2_000, 5_000)]),
        replace(draft("open", ranges=[(5_000, 6_000)]), plan=plan),
    )
    now = lifecycle.add_experiment(now, replace(draft("coming", ranges=[(6_000, 6_500)]), starts_at=AT + 20 * DAY))
    now = lifecycle.schedule(now, "coming", metrics=METRICS)
    found = availability(now, "ranking", AT)
    assert [(one.start, one.stop) for one in found.free] == [(6_500, 10_000)]
    assert [(one.experiment, one.at) for one in found.releases] == [
        ("soon", AT + 3 * DAY),
        ("planned", AT + 14 * DAY),
        ("coming", AT + 34 * DAY),
        ("open", None),
    ]
    assert [size(one.free) for one in found.releases] == [5_500, 8_500, 9_000, 9_000]
    assert found.free_from(0.3) == AT
    assert found.free_from(0.6) == AT + 14 * DAY
    assert found.free_from(1.0) is None
    told = availability_document(now, found)
    assert told["free_share"] == 0.35
    assert told["layer"] == "ranking"
