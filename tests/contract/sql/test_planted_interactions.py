"""An interaction that was planted in the record is found in the reports of both experiments, and no other one is."""

from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from lamella.adapters.sql.engine import writing
from lamella.adapters.sql.exploration import SqlFactStore
from lamella.adapters.sql.record import SqlRecordStore
from lamella.adapters.sql.schema import inbox
from lamella.events.codec import encode
from lamella.events.contract import Exposed
from lamella.experiments.model import Configuration
from lamella.services.allowance import Allowance
from lamella.services.exploring import explore
from lamella.services.interacting import MOST_OTHERS, Pairs, interactions_document
from lamella.services.measure_ports import Stretch
from lamella.services.measuring import catalogue
from lamella.services.subjects import Subject
from lamella.testing.traffic import NOW, click, slate
from reports_made import PLAN, experiment

UNITS = 800
UNTIL = NOW + timedelta(days=1)
RATE = {("a", "a"): 0.2, ("b", "a"): 0.25, ("a", "b"): 0.25, ("b", "b"): 0.7}
METRIC = catalogue(())["clicking_users"]


def variants_of(unit):
    """The unit's variant in the three experiments, all independent."""
    return "ab"[unit % 2], "ab"[unit // 2 % 2], "ab"[unit // 4 % 2]


def clicks(unit):
    """Whether the unit clicks: by its share of the units of its cell, exactly as often as planted."""
    one, two, _ = variants_of(unit)
    return (unit // 8 * 0.6180339887) % 1.0 < RATE[one, two]


@pytest.fixture
def facts(engine):
    records = []
    for unit in range(UNITS):
        exposures = [Exposed(phase=phase, variant=each) for phase, each in enumerate(variants_of(unit), 1)]
        shown = slate(f"r{unit}", unit=f"u{unit}", time=NOW - timedelta(minutes=unit), exposures=exposures)
        records += [shown, click(f"c{unit}", of=shown)] if clicks(unit) else [shown]
    with writing(engine) as connection:
        connection.execute(sa.insert(inbox), [{"received_at": NOW, "body": encode(records)}])
    SqlRecordStore(engine).ingest(limit=10, now=NOW)
    return SqlFactStore(engine)


def subjects(number=3):
    made = []
    for phase in range(1, number + 1):
        one = experiment(replace(PLAN, primary_metric="clicking_users"), variants=("a", "b"))
        own = replace(one.phases[0], id=phase, started_at=NOW - timedelta(days=number + 2 - phase))
        made.append(replace(one, key=f"e{phase}", layer=f"layer-{phase}", phases=(own,)))
    configuration = Configuration(experiments=tuple(made))
    return [Subject(each, each.phases[0], configuration) for each in made]


class Counting:
    """Counts the pairs that the store is asked for."""

    def __init__(self, facts):
        self.facts, self.asked = facts, []

    def crossed_with(self, stretch, columns, other, metrics=()):
        self.asked.append((stretch.phase, other))
        return self.facts.crossed_with(stretch, columns, other, metrics)


def interactions(facts, subject, pairs, seconds=60.0):
    stretch = Stretch(phase=subject.phase.id, until=UNTIL, since=NOW - timedelta(days=20))
    return interactions_document(facts, subject, stretch, METRIC, None, pairs=pairs, allowance=Allowance(seconds))


def test_a_planted_interaction_is_found_from_both_sides_and_each_pair_is_asked_for_once(facts):
    counting, pairs = Counting(facts), Pairs()
    found = [interactions(counting, subject, pairs) for subject in subjects()]
    assert sorted(counting.asked) == [(1, 2), (1, 3), (2, 3)]
    shares = {
        key: sum(clicks(unit) for unit in range(UNITS) if variants_of(unit)[:2] == key) / (UNITS // 4) for key in RATE
    }
    planted = shares["b", "b"] - shares["a", "b"] - shares["b", "a"] + shares["a", "a"]
    assert planted == pytest.approx(0.4, abs=0.04)
    for place, other in ((0, "e2"), (1, "e1")):
        row = next(each for each in found[place]["pairs"] if each["experiment"] == other)
        assert row["interaction"] == pytest.approx(planted)
        assert row["interaction_ci"][0] < planted < row["interaction_ci"][1]
        assert row["significant"]
        assert row["p_adjusted"] < 1e-6
        for cell in row["units"]:
            own = (cell["variant"], cell["other_variant"]) if place == 0 else (cell["other_variant"], cell["variant"])
            assert (cell["units"], cell["value"]) == (UNITS // 4, pytest.approx(shares[own]))
    others = [each for document in found for each in document["pairs"] if "e3" in (each["experiment"], each["of"])]
    assert len(others) == 4
    assert not any(each["significant"] for each in others)


def test_a_pair_that_was_asked_for_is_the_same_when_the_other_experiment_asks_anew(facts):
    one, two, _ = subjects()
    mirrored, pairs = [], Pairs()
    for each in (one, two):
        mirrored = interactions(facts, each, pairs)["pairs"]
    for shown, own in zip(mirrored, interactions(facts, two, Pairs())["pairs"], strict=True):
        assert shown["interaction"] == pytest.approx(own["interaction"])
        assert shown["p"] == pytest.approx(own["p"])
        assert (shown["experiment"], shown["variant"]) == (own["experiment"], own["variant"])
        assert sorted(map(str, shown["units"])) == sorted(map(str, own["units"]))


def test_the_longest_overlaps_are_looked_at_and_the_others_named(facts):
    made = subjects(MOST_OTHERS + 3)
    found = interactions(facts, made[0], Pairs())
    assert {each["experiment"] for each in found["pairs"]} == {f"e{n}" for n in range(2, MOST_OTHERS + 2)}
    assert found["left_out"] == [f"e{MOST_OTHERS + 2}", f"e{MOST_OTHERS + 3}"]


def test_without_time_nothing_is_asked_and_everything_is_named(facts):
    counting = Counting(facts)
    found = interactions(counting, subjects()[0], Pairs(), seconds=0.0)
    assert (found["pairs"], found["left_out"], counting.asked) == ([], ["e2", "e3"], [])


def test_a_whole_exploration_has_every_part(facts):
    found = explore(subjects()[0], facts, UNTIL, Pairs())
    assert {part: each["failed"] for part, each in found.items()} == dict.fromkeys(found)
    assert [each["experiment"] for each in found["interactions"]["pairs"]] == ["e2", "e3"]
