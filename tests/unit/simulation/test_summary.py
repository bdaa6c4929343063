import json

import pytest

from lamella.errors import Conflict
from lamella.simulation.summary import Outcome, Planted

DECISIONS = ["ship", "keep_control", "no_difference", "keep_running", "stop_for_harm", "invalid"]


@pytest.mark.parametrize(
    ("planted", "right"),
    [
        (Planted(experiment="e", relative_lift=0.0), {"no_difference", "keep_running"}),
        (Planted(experiment="e", relative_lift=0.1), {"ship"}),
        (Planted(experiment="e", relative_lift=-0.1), {"keep_control", "stop_for_harm"}),
    ],
)
def test_a_verdict_is_right_only_where_it_says_what_was_planted(planted, right):
    assert {decision for decision in DECISIONS if planted.is_told_by(decision)} == right


def report(decision: str) -> dict[str, object]:
    comparison = {"variant": "treatment", "relative_lift": 0.12, "ci": [0.05, 0.2], "p": 0.001}
    arms = [{"variant": "control", "value": 0.05}, {"variant": "treatment", "value": 0.056}]
    return {
        "experiment": {"key": "rank", "layer": "ranking"},
        "verdict": {"decision": decision, "reason": "because"},
        "checks": [{"check": "crossed_units", "p": None}, {"check": "sample_ratio", "p": 0.4}],
        "metrics": [{"metric": "ctr", "arms": arms, "comparisons": [comparison]}],
    }


def outcome(decision: str = "ship", stored: int = 5) -> Outcome:
    return Outcome(
        seed=7,
        store="sqlite",
        seconds={"traffic": 1.5},
        simulated={"click": 5, "quarantine": 0},
        stored={"click": stored, "inbox": 0},
        reports={"rank": report(decision)},
        planted={"rank": Planted(experiment="rank", relative_lift=0.1)},
    )


def test_the_document_holds_every_field_of_the_promised_schema():
    document = json.loads(json.dumps(outcome().document()))
    assert document == {
        "seed": 7,
        "store": "sqlite",
        "seconds": {"traffic": 1.5},
        "counts": {"click": {"simulated": 5, "stored": 5}, "quarantine": {"simulated": 0, "stored": 0}},
        "experiments": [
            {
                "key": "rank",
                "layer": "ranking",
                "planted": "effect",
                "relative_lift_planted": 0.1,
                "verdict": "ship",
                "correct": True,
                "metrics": [
                    {
                        "metric": "ctr",
                        "variant": "control",
                        "value": 0.05,
                        "relative_lift": None,
                        "ci": [None, None],
                        "p": None,
                    },
                    {
                        "metric": "ctr",
                        "variant": "treatment",
                        "value": 0.056,
                        "relative_lift": 0.12,
                        "ci": [0.05, 0.2],
                        "p": 0.001,
                    },
                ],
                "srm_p": 0.4,
            }
        ],
    }


def test_a_wrong_verdict_is_said_to_be_wrong():
    assert outcome("no_difference").truth["rank"]["correct"] is False


def test_a_record_that_lacks_something_is_an_error_that_names_it():
    outcome().check_counts()
    with pytest.raises(Conflict, match="click: 5 sent, 4 stored"):
        outcome(stored=4).check_counts()
