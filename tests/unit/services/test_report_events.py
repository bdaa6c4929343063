"""What a report tells that the one before it did not."""

import pytest

from lamella.experiments.model import Json
from lamella.services.events import report_events


def report(decision: str, variant: str | None = None) -> dict[str, Json]:
    return {
        "experiment": {"key": "bold", "layer": "ranking", "phase": 3},
        "as_of": "2026-03-02T08:00:00+00:00",
        "verdict": {"decision": decision, "variant": variant, "reason": "Because."},
    }


def names(previous: dict[str, Json] | None, document: dict[str, Json]) -> list[Json]:
    return [each["event"] for each in report_events(previous, document)]


def test_a_verdict_is_told_when_it_changes_and_once() -> None:
    ship = report("ship", "treatment")
    (told,) = report_events(report("keep_running"), ship)
    assert (told["event"], told["experiment"], told["phase"]) == ("verdict.changed", "bold", 3)
    assert told["before"] == {"decision": "keep_running", "variant": None}
    assert told["after"] == {"decision": "ship", "variant": "treatment", "reason": "Because."}
    assert names(ship, ship) == []
    assert names(ship, report("ship", "other")) == ["verdict.changed"]


@pytest.mark.parametrize(("first", "told"), [("keep_running", []), ("invalid", ["verdict.changed"])])
def test_a_first_report_tells_what_is_more_than_to_wait(first: str, told: list[str]) -> None:
    assert names(None, report(first)) == told


def test_harm_is_told_besides_and_once() -> None:
    harm = report("stop_for_harm", "treatment")
    assert names(report("keep_running"), harm) == ["verdict.changed", "verdict.harm"]
    assert names(None, harm) == ["verdict.changed", "verdict.harm"]
    assert names(harm, report("stop_for_harm", "other")) == ["verdict.changed"]
    assert names(harm, report("keep_running")) == ["verdict.changed"]
