from dataclasses import replace

from configurations import draft, newsroom, running, spread
from lamella.experiments.model import BUCKETS, Eligibility, Experiment, Json
from lamella.experiments.snapshot import Snapshot, compile_snapshot
from lamella.services.remembering import Remembering
from lamella.testing.assigning import MemoryStickyStore

RULE: Json = {"==": [{"var": "country"}, "CN"]}
CN: dict[str, Json] = {"country": "CN"}
US: dict[str, Json] = {"country": "US"}


def snapshot(policy: Eligibility = Eligibility.STICK, **changes: object) -> Snapshot:
    one: Experiment = replace(draft(ranges=[(0, BUCKETS)], rule=RULE), eligibility=policy, **changes)  # type: ignore[arg-type]
    return compile_snapshot(running(newsroom(), one))


def test_the_store_is_asked_only_for_a_unit_that_the_rule_no_longer_lets_in() -> None:
    store = MemoryStickyStore({(1, "reader-1"): "treatment"})
    remembering = Remembering(store)
    remembering.decide(snapshot(), "reader-1", CN)
    remembering.decide(snapshot(Eligibility.LEAVE), "reader-1", US)
    remembering.decide(compile_snapshot(newsroom()), "reader-1", US)
    assert store.asked == 0
    kept = remembering.decide(snapshot(), "reader-1", US).assignments[1]
    assert (kept.variant, kept.counted) == ("treatment", True)
    assert store.asked == 1


def test_an_exposure_is_asked_for_once_and_its_absence_again_and_again() -> None:
    store = MemoryStickyStore({(1, "reader-1"): "control"})
    remembering = Remembering(store)
    for _ in range(3):
        assert remembering.decide(snapshot(), "reader-1", US).assignments[1].variant == "control"
    assert store.asked == 1
    assert remembering.decide(snapshot(), "reader-2", US).assignments[1].variant is None
    store.exposures[1, "reader-2"] = "treatment"
    assert remembering.decide(snapshot(), "reader-2", US).assignments[1].variant == "treatment"


def test_what_this_process_showed_is_remembered_before_the_store_knows_it() -> None:
    remembering = Remembering(MemoryStickyStore())
    decision = remembering.decide(snapshot(), "reader-1", CN)
    remembering.note(snapshot(), "reader-1", decision)
    assert remembering.decide(snapshot(), "reader-1", US).assignments[1].variant == decision.assignments[1].variant


def test_the_memory_is_bounded() -> None:
    store = MemoryStickyStore({(1, unit): "control" for unit in spread(5)})
    remembering = Remembering(store, capacity=2)
    for unit in spread(5):
        remembering.decide(snapshot(), unit, US)
    remembering.decide(snapshot(), "reader-4", US)
    assert store.asked == 5
    remembering.decide(snapshot(), "reader-0", US)
    assert store.asked == 6
