from datetime import UTC, datetime

import numpy as np
import pytest

from lamella.errors import InvalidInput
from lamella.simulation.schedule import draw_schedule
from lamella.simulation.truth import Arms, make_oracle, solve_weight
from lamella.simulation.visit import Visit, respond
from lamella.simulation.world import make_world

NOW = datetime(2026, 3, 2, tzinfo=UTC)
WORLD = make_world(users=120, seed=5, headlines=300)
SCHEDULE = draw_schedule(WORLD.readers, days=7, mean_visits=10, seed=5, part=1)
ORDERS = {
    "best": np.argsort(-WORLD.newsroom.appeal),
    "worst": np.argsort(WORLD.newsroom.appeal),
    "file": np.arange(300),
}


def kitchen(unit, values, *, exclude):
    keys = [WORLD.newsroom.keys[at] for at in ORDERS[values["order"]]]
    return [key for key in keys if key not in exclude][: values.get("size", 10)]


@pytest.fixture(scope="module")
def oracle():
    return make_oracle(WORLD, SCHEDULE, kitchen, readers=400)


def test_better_pages_have_the_higher_true_click_rate(oracle):
    best, middle, worst = (oracle.click_rate({"order": order}) for order in ("best", "file", "worst"))
    assert best > middle > worst > 0


def test_the_true_click_rate_is_that_of_the_drawn_clicks(oracle):
    """False-alarm rate 1e-4: the drawn rate lies within 4 standard errors of the true one."""
    clicks = impressions = 0
    for reader, visits in enumerate(SCHEDULE.visits_of(120).tolist()):
        for number in range(visits):
            first = 10 * (number % 4)
            page = ORDERS["best"][first : first + 10]
            visit = Visit(seed=5, part=9, reader=reader, number=number)
            clicks += len({e.item for e in respond(visit, WORLD.clicks, page, shown_at=NOW)})
            impressions += 10
    everybody = make_oracle(WORLD, SCHEDULE, kitchen, readers=4_000)
    assert clicks / impressions == pytest.approx(
        everybody.click_rate({"order": "best"}), abs=4 * np.sqrt(2 * clicks) / impressions
    )


def test_equal_arms_have_a_lift_of_exactly_nothing(oracle):
    same = {"order": "best"}
    assert oracle.relative_lift("x", {"x": Arms(control=same, treatment=dict(same))}, {}) == 0.0


def test_the_lift_is_the_ratio_of_the_true_rates_over_the_arms_of_the_other_experiments(oracle):
    arms = {
        "order": Arms(control={"order": "file"}, treatment={"order": "best"}),
        "size": Arms(control={"size": 10}, treatment={"size": 3}),
    }
    rate = {
        (order, size): oracle.click_rate({"order": order, "size": size})
        for order in ("file", "best")
        for size in (10, 3)
    }
    expected = (rate["best", 10] + rate["best", 3]) / (rate["file", 10] + rate["file", 3]) - 1
    assert oracle.relative_lift("order", arms, {"order": "worst"}) == pytest.approx(expected)


def test_turning_the_arms_around_inverts_the_lift(oracle):
    up = Arms(control={"order": "worst"}, treatment={"order": "best"})
    down = Arms(control=up.treatment, treatment=up.control)
    lift = oracle.relative_lift("x", {"x": up}, {})
    assert 1 + oracle.relative_lift("x", {"x": down}, {}) == pytest.approx(1 / (1 + lift))


@pytest.mark.parametrize("wanted", [0.25, 0.1, 0.02, -0.05, -0.3])
def test_the_weight_that_is_found_earns_what_was_wanted(wanted):
    def lift_at(weight: float) -> float:
        return 0.3 * weight + 0.01 if weight > 0 else 0.4 * weight + 0.01

    assert lift_at(solve_weight(lift_at, wanted)) == pytest.approx(wanted, abs=0.002)


def test_an_effect_beyond_the_models_is_refused_with_the_range_that_they_reach():
    with pytest.raises(InvalidInput, match=r"between -0\.200 and \+0\.200"):
        solve_weight(lambda weight: 0.2 * weight, 0.5)
