from urllib.parse import quote

import pytest

from lamella.errors import ModelFailed, NotFound, Overloaded, StoreUnavailable
from lamella.events.codec import decode

PATH = "/v1/recommendations"
ANSWER = {"request_id", "unit", "items", "parameters", "assignments", "snapshot", "models", "fallbacks"}


@pytest.fixture
def running(lab):
    assert lab.call("POST", "/v1/admin/experiments/ranking-mf/start").status_code == 200
    return lab


def recommend(lab, **body):
    return lab.call("POST", PATH, role="client", json={"unit": "ann", **body})


def click(lab, answer, **changes):
    event = {
        "kind": "click",
        "event_id": "e-1",
        "request_id": answer["request_id"],
        "unit": answer["unit"],
        "item": answer["items"][0]["item"],
        "time": lab.services.clock.now().isoformat(),
    }
    return {**event, **changes}


def send(lab, *events):
    return lab.call("POST", "/v1/events", role="client", json={"events": list(events)})


def test_the_answer_has_the_list_and_everything_that_decided_it(running):
    answer = recommend(running, context={"device": "phone"}, k=3)
    assert answer.status_code == 200
    body = answer.json
    assert body.keys() == ANSWER
    assert [each["rank"] for each in body["items"]] == [1, 2, 3]
    assert body["items"][0].keys() == {"item", "rank", "score", "source", "propensity"}
    assert [each["layer"] for each in body["assignments"]] == ["recall", "ranking"]
    assert body["assignments"][1].keys() == {"layer", "experiment", "variant", "phase", "reason"}
    assert (body["assignments"][1]["experiment"], body["assignments"][1]["reason"]) == ("ranking-mf", "SPLIT")
    assert body["parameters"]["rank.model"] in ("popularity@1", "mf@1")
    assert body["snapshot"] == running.services.configuration.version()
    assert body["fallbacks"] == {}


def test_what_was_answered_is_what_was_recorded(running):
    body = recommend(running, k=4).json
    ((slate,), faults) = decode(running.record.inbox[0])
    assert faults == []
    assert slate.request_id == body["request_id"]
    assert [each.item for each in slate.impressions] == [each["item"] for each in body["items"]]
    assert [each.variant for each in slate.exposures] == [body["assignments"][1]["variant"]]


def test_the_same_unit_gets_the_same_variant_and_both_variants_are_served(running):
    variants = {unit: recommend(running, unit=unit).json["assignments"][1]["variant"] for unit in map(str, range(40))}
    again = {unit: recommend(running, unit=unit).json["assignments"][1]["variant"] for unit in variants}
    assert again == variants
    assert set(variants.values()) == {"popularity", "mf"}


def test_excluded_items_are_not_shown(running):
    shown = [each["item"] for each in recommend(running).json["items"]]
    assert not set(shown) & {each["item"] for each in recommend(running, exclude=shown).json["items"]}


def test_a_repeat_with_its_own_request_id_is_recorded_once(running):
    for _ in range(2):
        assert recommend(running, request_id="mine-1").json["request_id"] == "mine-1"
    running.ingest()
    assert running.services.record.counts()["slate"] == 1


def test_the_default_size_of_a_slate_is_the_layers(running):
    assert len(recommend(running).json["items"]) == 5


def test_a_model_that_fails_falls_back_and_both_the_answer_and_the_metrics_say_so(running):
    running.recommender.failing["mf@1"] = ModelFailed("mf@1 raised")
    bodies = [recommend(running, unit=str(unit)).json for unit in range(20)]
    fallen = [body for body in bodies if body["fallbacks"]]
    assert fallen
    assert all(body["fallbacks"] == {"rank": "failed"} and body["items"] for body in fallen)
    text = running.client().get("/metrics").get_data(as_text=True)
    assert f'lamella_fallbacks_total{{reason="failed",stage="rank"}} {len(fallen)}.0' in text


def test_lists_appends_and_events_are_counted(running):
    answer = recommend(running).json
    send(running, click(running, answer), click(running, answer, kind="glance"))
    text = running.client().get("/metrics").get_data(as_text=True)
    variant = answer["assignments"][1]["variant"]
    for line in (
        f'lamella_recommendations_total{{experiment="ranking-mf",variant="{variant}"}} 1.0',
        'lamella_inbox_appends_total{outcome="ok",use="slate"} 1.0',
        'lamella_inbox_appends_total{outcome="ok",use="events"} 1.0',
        'lamella_events_total{outcome="accepted"} 1.0',
        'lamella_events_total{outcome="rejected"} 1.0',
    ):
        assert line in text


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [(Overloaded("the inbox"), 429, "overloaded"), (StoreUnavailable("down"), 503, "store_unavailable")],
)
def test_what_cannot_be_recorded_is_not_answered(running, fault, status, code):
    answer = recommend(running).json
    running.record.down = fault
    for refused in (recommend(running), send(running, click(running, answer))):
        assert (refused.status_code, refused.json["code"]) == (status, code)
        assert refused.headers["Retry-After"]
    text = running.client().get("/metrics").get_data(as_text=True)
    assert f'lamella_inbox_appends_total{{outcome="{code}",use="slate"}} 1.0' in text


def test_events_are_durable_once_accepted_and_reach_the_record(running):
    answer = recommend(running).json
    read = click(running, answer, kind="read", event_id="e-2", read_seconds=12.5, completion=0.5)
    share = click(running, answer, kind="interaction", event_id="e-3", action="share")
    accepted = send(running, click(running, answer), read, share)
    told = {"accepted": 3, "duplicate": 0, "verdicts": ["accepted"] * 3, "rejected": []}
    assert (accepted.status_code, accepted.json) == (202, told)
    running.ingest()
    counts = running.services.record.counts()
    assert (counts["click"], counts["read"], counts["interaction"], counts["quarantine"]) == (1, 1, 1, 0)


def test_a_bad_event_is_rejected_by_itself_with_its_place_and_reason(running):
    answer = recommend(running).json
    events = [
        click(running, answer),
        click(running, answer, event_id="e-2", kind="glance"),
        click(running, answer, event_id="e-3", time="yesterday"),
        click(running, answer, event_id="e-4", surprise=1),
        {key: value for key, value in click(running, answer, event_id="e-5").items() if key != "item"},
        click(running, answer, event_id=""),
        click(running, answer, event_id="e-6", unit="a\u0000b"),
        "not an event",
        None,
    ]
    body = send(running, *events).json
    assert body["accepted"] == 1
    assert [(each["index"], each["code"]) for each in body["rejected"]] == [
        (1, "unknown_kind"),
        (2, "bad_time"),
        (3, "unknown_field"),
        (4, "missing_field"),
        (5, "empty"),
        (6, "control_character"),
        (7, "not_an_object"),
        (8, "not_an_object"),
    ]
    assert body["rejected"][0]["event_id"] == "e-2"
    assert all(each["reason"] for each in body["rejected"])


def test_sending_an_event_again_changes_nothing(running):
    answer = recommend(running).json
    first, again = (send(running, click(running, answer)).json for _ in range(2))
    assert (first["verdicts"], again["verdicts"]) == (["accepted"], ["duplicate"])
    assert (again["accepted"], again["duplicate"]) == (0, 1)
    running.ingest()
    assert running.services.record.counts()["click"] == 1


BAD_BODIES = [
    ({}, "unit: is missing"),
    ({"unit": None}, "unit: is missing"),
    ({"unit": ""}, "unit: is empty"),
    ({"unit": 7}, "unit: is 7; send text"),
    ({"unit": "x" * 10_000}, "unit: has 10000 characters"),
    ({"unit": "a\u0007b"}, "control character"),
    ({"unit": "ann", "k": 0}, "k: is 0"),
    ({"unit": "ann", "k": "5"}, "k: is '5'"),
    ({"unit": "ann", "context": []}, "context: is []"),
    ({"unit": "ann", "context": {"x": "y" * 70_000}}, "send at most 65536"),
    ({"unit": "ann", "context": {"x": "\u0000"}}, "NUL"),
    ({"unit": "ann", "exclude": "item-1"}, "exclude: is 'item-1'"),
    ({"unit": "ann", "exclude": [1]}, "exclude[0]: is 1"),
    ({"unit": "ann", "exclude": ["i"] * 1_001}, "exclude: holds 1001 items"),
    ({"unit": "ann", "user": "ann"}, "user: is not a known field"),
    ({"unit": "ann", "request_id": ""}, "request_id: is empty"),
]


@pytest.mark.parametrize(("body", "words"), BAD_BODIES)
def test_a_bad_request_is_refused_in_words_and_records_nothing(running, body, words):
    answer = running.call("POST", PATH, role="client", json=body)
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_input")
    assert words in answer.json["detail"]
    assert running.record.inbox == ()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'{"unit": "\xff"}', "line 1"),
        (b'{"unit": "\\ud800"}', "line 1"),
        (b'{"unit": NaN}', "line 1"),
        (b"[" * 2_000, "not JSON"),
        (b"[]", "a JSON array; send an object"),
        (b"", "the body is empty"),
    ],
)
def test_a_body_that_is_no_json_object_is_refused_with_its_place(running, data, words):
    for path in (PATH, "/v1/events"):
        answer = running.call("POST", path, role="client", data=data, content_type="application/json")
        assert (answer.status_code, answer.json["code"]) == (400, "invalid_input")
        assert words in answer.json["detail"]


def test_a_context_attribute_that_no_rule_knows_never_raises(running):
    assert recommend(running, context={"weather": {"deep": [1, None, "x"]}}).status_code == 200


def test_before_the_first_snapshot_nothing_is_served(lab, monkeypatch):
    monkeypatch.setattr(lab.services.snapshots, "_loaded", False)
    answer = recommend(lab)
    assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
    assert lab.record.inbox == ()


def test_a_change_by_another_process_is_served_after_the_next_poll(running):
    before = recommend(running).json["snapshot"]
    running.services.configuring.transition("ranking-mf", "pause", author="somebody")
    assert recommend(running).json["snapshot"] == before
    running.services.snapshots.refresh()
    after = recommend(running).json
    assert after["snapshot"] == before + 1
    assert after["assignments"][1]["reason"] in ("DISABLED", "DEFAULT")


def test_without_any_model_the_service_is_at_fault_and_not_the_caller(running, monkeypatch):
    for model in ("popularity@1", "mf@1"):
        running.recommender.failing[model] = NotFound("model version", model)
    answer = recommend(running)
    assert (answer.status_code, answer.json["code"]) == (503, "model_fault")
    assert "model version" in answer.json["detail"]
    assert running.record.inbox == ()


def test_get_is_the_post_for_curl_and_records_alike(lab):
    asked = "unit=ann&k=3&exclude=item-01,item-02&context=" + quote('{"country":"CN"}')
    answer = lab.call("GET", f"/v1/recommendations?{asked}", role="client")
    posted = lab.call(
        "POST", "/v1/recommendations", role="client",
        json={"unit": "ann", "k": 3, "exclude": ["item-01", "item-02"], "context": {"country": "CN"}},
    )  # fmt: skip
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json["items"] == posted.json["items"]
    lab.ingest()
    assert lab.record.counts()["slate"] == 2


def test_head_shows_nobody_a_list_and_records_none(lab):
    refused = lab.call("HEAD", "/v1/recommendations?unit=ann", role="client")
    assert refused.status_code == 405
    assert "HEAD" not in refused.headers["Allow"]
    assert lab.record.inbox == ()


@pytest.mark.parametrize(
    "query",
    ["", "unit=", "unit=a&k=0", "unit=a&k=x", "unit=a&k=" + "9" * 5_000, "unit=a&context=[", "unit=a&colour=red"],
)
def test_a_bad_query_is_a_400_that_says_why(lab, query):
    answer = lab.call("GET", f"/v1/recommendations?{query}", role="client")
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_input")


def test_a_batch_answers_each_request_by_itself_and_in_order(lab):
    requests = [{"unit": "ann", "k": 2}, {"unit": "ann", "k": 0}, {"unit": "bob", "candidates": ["item-03", "item-07"]}]
    answer = lab.call("POST", "/v1/recommendations/batch", role="client", json={"requests": requests})
    first, bad, second = answer.json["answers"]
    assert answer.status_code == 200
    assert (first["unit"], len(first["items"])) == ("ann", 2)
    assert (bad["problem"]["status"], bad["problem"]["code"]) == (400, "invalid_input")
    assert {each["item"] for each in second["items"]} == {"item-03", "item-07"}
    assert len(lab.record.inbox) == 1


@pytest.mark.parametrize("requests", [[], [{"unit": "a"}] * 101, ["ann"], {}, None])
def test_what_is_no_batch_is_refused(lab, requests):
    answer = lab.call("POST", "/v1/recommendations/batch", role="client", json={"requests": requests})
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_input")
