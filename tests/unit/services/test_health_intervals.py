"""The intervals of recommender health cover what the figures are on average, by simulation."""

from datetime import UTC, datetime

import numpy as np
import pytest

from lamella.metrics.health import COVERAGE, DIVERSITY, GINI, NEW_ITEMS, NORMALISED_CTR, NOVELTY, Shown, gini, health
from lamella.services.health import BLOCKS, recommender_document
from lamella.services.measure_ports import Stretch

UNITS, ITEMS, SIZE = 640, 600, 4
STRETCH = Stretch(phase=1, until=datetime(2026, 3, 1, tzinfo=UTC))


class Lists:
    """A store of facts with lists drawn at random: readers differ in how often they come and how much they click."""

    def __init__(self, rng):
        popularity = 1.0 / np.arange(1, ITEMS + 1)
        popularity /= popularity.sum()
        self.parts = []
        for variant, power in (("a", 1.0), ("b", 1.2)):
            self.parts += self.arm(rng, variant, popularity**power)

    @staticmethod
    def arm(rng, variant, popularity):
        visits = 1 + rng.geometric(0.5, UNITS)
        unit = np.repeat(np.arange(UNITS), visits)
        # The largest of log p + Gumbel noise are a draw without replacement.
        noisy = np.log(popularity) + rng.gumbel(size=(len(unit), ITEMS))
        shown = np.argsort(-noisy, axis=1)[:, :SIZE]
        taste = rng.beta(1, 4, UNITS)[unit]
        clicked = rng.random(shown.shape) < taste[:, None] / np.arange(1, SIZE + 1)
        kinds = shown % 4
        unlike = np.mean([kinds[:, i] != kinds[:, j] for i in range(SIZE) for j in range(i)], axis=0)
        for block in range(BLOCKS):
            own = unit % BLOCKS == block
            items, counts = np.unique(shown[own], return_counts=True)
            yield Shown(
                variant=variant,
                block=block,
                items={f"i{item}": int(count) for item, count in zip(items, counts, strict=True)},
                ranks={rank + 1: (int(own.sum()), int(clicked[own, rank].sum())) for rank in range(SIZE)},
                fresh=int((shown[own] % 3 == 0).sum()),
                dated=int(own.sum()) * SIZE,
                lists=int(own.sum()),
                unlike=float(unlike[own].sum()),
            )

    def shown(self, _stretch, *, blocks):
        assert blocks == BLOCKS
        return self.parts

    def catalogue_size(self, _until):
        return ITEMS + 20


@pytest.mark.parametrize(
    ("runs", "least"), [(10, 0.55), pytest.param(200, 0.89, marks=pytest.mark.long)], ids=["short", "long"]
)
def test_intervals_of_recommender_health_cover_at_the_stated_level(runs, least):
    """At a true 95 % a share below the least has a probability of about 1e-3 for each of the twelve figures."""
    found = {}
    for run in range(runs):
        for figure in recommender_document(Lists(np.random.default_rng([7, run])), STRETCH, ["a", "b"], "a"):
            arm, beside = figure["arms"][1], figure["comparisons"][0]
            found.setdefault(figure["figure"], []).append((arm["value"], *arm["ci"]))
            found.setdefault(f"{figure['figure']} b-a", []).append((beside["difference"], *beside["difference_ci"]))
    shares = {}
    for name, rows in found.items():
        values, low, high = np.array(rows, dtype=float).T
        shares[name] = float(((low <= values.mean()) & (values.mean() <= high)).mean())
    assert min(shares.values()) > least, shares


def test_figures_by_hand_on_two_readers():
    one = Shown(
        variant="a",
        block=0,
        items={"x": 2, "y": 1},
        ranks={1: (2, 1), 2: (1, 0)},
        fresh=1,
        dated=3,
        lists=1,
        unlike=1.0,
    )
    two = Shown(variant="a", block=1, items={"x": 1}, ranks={1: (1, 1)}, fresh=1, dated=1, lists=0, unlike=0.0)
    found = {name: held["a"] for name, held in health([one, two], 4).items()}
    assert found[COVERAGE].value == 0.5
    assert found[COVERAGE].without == (0.25, 0.5)
    assert found[GINI].value == gini(np.array([3.0, 1.0, 0.0, 0.0]))
    assert found[NOVELTY].value == pytest.approx(-(3 * np.log2(0.75) + np.log2(0.25)) / 4)
    assert found[NEW_ITEMS].value == 0.5
    assert found[DIVERSITY].without == (None, 1.0)
    assert found[NORMALISED_CTR].value == pytest.approx(1.0)


def test_one_block_of_units_gives_figures_without_intervals():
    class Few(Lists):
        def __init__(self):
            self.parts = list(self.arm(np.random.default_rng(1), "a", np.full(ITEMS, 1 / ITEMS)))[:1]

    for figure in recommender_document(Few(), STRETCH, ["a", "b"], "a"):
        assert figure["arms"][0]["value"] is None
        assert figure["comparisons"] == []
        assert figure["arms"][0]["undefined"] in {"no_denominator", "too_few_units"}
