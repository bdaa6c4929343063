"""A start that the measured traffic cannot power: refused with every other fault, or overruled by a person."""

from datetime import timedelta

import pytest

PATH = "/v1/admin/experiments/ranking-mf"


@pytest.fixture
def measured(lab):
    """A record of some readers, and two days later."""
    for number in range(30):
        answer = lab.call("POST", "/v1/recommendations", role="client", json={"unit": f"reader-{number}"}).json
        click = {"kind": "click", "event_id": f"e{number}", "request_id": answer["request_id"], "item": "item-00"}
        told = {**click, "unit": f"reader-{number}", "time": lab.services.clock.now().isoformat()}
        if number % 3 == 0:
            lab.call("POST", "/v1/events", role="client", json={"events": [told]})
    lab.ingest()
    lab.services.clock.move(timedelta(days=2))
    return lab


def test_an_underpowered_start_is_refused_with_every_other_fault(measured):
    measured.call("PATCH", PATH, json={"hypothesis": ""})
    for move in ("start", "schedule"):
        answer = measured.call("POST", f"{PATH}/{move}")
        assert (answer.status_code, answer.json["code"]) == (400, "configuration_invalid")
        hypothesis, power = answer.json["faults"]
        assert "hypothesis" in hypothesis
        assert "under-powered for its plan" in power
        assert "plan more days, more buckets or a larger minimum_effect" in power
    checks = measured.call("GET", f"{PATH}/checks").json
    assert (checks["may_start"], len(checks["faults"])) == (False, 2)
    assert measured.call("GET", PATH).json["status"] == "draft"


def test_a_person_overrules_it_in_the_body_and_the_revision_keeps_it(measured):
    answer = measured.call("POST", f"{PATH}/start", role="experimenter", json={"accept_underpowered": True})
    assert (answer.status_code, answer.json["status"]) == (200, "running")
    (revision,) = measured.call("GET", "/v1/admin/revisions?kind=experiment&limit=1").json["revisions"]
    assert (revision["author"], revision["action"]) == ("experimenter", "start")
    assert (revision["before"]["accept_underpowered"], revision["after"]["accept_underpowered"]) == (False, True)


def test_only_a_plain_true_overrules_it(measured):
    assert measured.call("POST", f"{PATH}/start", json={"accept_underpowered": False}).status_code == 400
    for body in ({"accept_underpowered": "yes"}, {"accept": True}, []):
        answer = measured.call("POST", f"{PATH}/start", json=body)
        assert (answer.status_code, answer.json["code"]) == (400, "invalid_input")


def test_a_larger_effect_mends_it(measured):
    plan = measured.call("GET", PATH).json["plan"]
    measured.call("PATCH", PATH, json={"plan": {**plan, "minimum_effect": 30.0}})
    assert measured.call("GET", f"{PATH}/checks").json["may_start"]
    assert measured.call("POST", f"{PATH}/start").status_code == 200


def test_the_configuration_as_one_document_starts_nothing_that_is_underpowered(measured):
    whole = measured.call("GET", "/v1/admin/configuration").json
    whole["experiments"][0]["status"] = "running"
    answer = measured.call("PUT", "/v1/admin/configuration", json=whole)
    assert answer.status_code == 400
    assert "under-powered" in answer.json["detail"]
    whole["experiments"][0]["accept_underpowered"] = True
    assert measured.call("PUT", "/v1/admin/configuration", json=whole).status_code == 200


def test_what_was_scheduled_is_not_held_back_by_another_days_traffic(measured):
    accepted = measured.call("POST", f"{PATH}/schedule", json={"accept_underpowered": True})
    assert accepted.json["status"] == "scheduled"
    assert measured.call("POST", f"{PATH}/start").json["status"] == "running"
