"""The link of a preview, opened by somebody without a key."""

from datetime import timedelta

import pytest

from lamella.errors import ModelFailed

PATH = "/v1/admin/experiments/ranking-mf"


@pytest.fixture
def running(lab):
    assert lab.call("POST", f"{PATH}/start").status_code == 200
    return lab


def made(lab, **body):
    answer = lab.call("POST", f"{PATH}/preview", json={"variant": "mf", "hours": 1, **body})
    assert answer.status_code == 201
    assert answer.json["url"] == f"http://localhost/preview/{answer.json['preview']}"
    return answer.json


def opened(lab, token, **options):
    return lab.client().get(f"/preview/{token}", **options)


def test_a_link_shows_the_variant_without_a_key(running):
    link = made(running)
    answer = opened(running, link["preview"])
    assert answer.status_code == 200
    assert answer.json["preview"] == {"experiment": "ranking-mf", "variant": "mf", "expires_at": link["expires_at"]}
    assert answer.json["parameters"]["rank.model"] == "mf@1"
    assert len(answer.json["items"]) == 5
    assert answer.headers["Cache-Control"] == "no-store"


def test_what_it_shows_is_recorded_and_in_no_analysis(running):
    answer = opened(running, made(running)["preview"])
    running.ingest()
    (slate,) = [fact.record for fact in running.record.facts if fact.record is fact.slate]
    assert (slate.unit, slate.request_id) == ("preview:ranking-mf:mf", answer.json["request_id"])
    assert [(each.variant, each.counted) for each in slate.exposures] == [("mf", False)]
    assert not [first for first in running.record.exposed(1).values() if first.counted]


def test_it_may_show_the_page_of_one_reader_and_no_other(running):
    token = made(running, unit="读者-7")["preview"]
    assert opened(running, token).json["unit"] == "读者-7"
    assert opened(running, token, query_string={"unit": "somebody"}).json["unit"] == "读者-7"


def test_a_browser_gets_a_page(running):
    answer = opened(running, made(running)["preview"], headers={"Accept": "text/html,application/xml;q=0.9,*/*;q=0.8"})
    assert answer.content_type.startswith("text/html")
    text = answer.get_data(as_text=True)
    assert "rank.model" in text
    assert "It is not counted in any analysis." in text
    assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_a_link_ends(running):
    token = made(running)["preview"]
    running.services.clock.move(timedelta(minutes=59))
    assert opened(running, token).status_code == 200
    running.services.clock.move(timedelta(minutes=1))
    answer = opened(running, token)
    assert (answer.status_code, answer.json["code"]) == (403, "forbidden")
    assert "ended at" in answer.json["detail"]


def test_a_link_that_was_changed_is_refused(running):
    token = made(running)["preview"]
    body, _, signed = token.partition(".")
    other = made(running, variant="popularity")["preview"].partition(".")[0]
    for spoiled in (f"{other}.{signed}", f"{body}.{signed[:-1]}", body, f"{body}.", "x", "x.y", "é.é", "x" * 5_000):
        answer = opened(running, spoiled)
        assert (answer.status_code, answer.json["code"]) == (403, "forbidden"), spoiled


def test_a_link_to_what_is_over_or_killed_says_so(running):
    token = made(running)["preview"]
    running.call("PUT", "/v1/admin/kill-switch", json={"killed": True})
    assert opened(running, token).status_code == 409
    running.call("PUT", "/v1/admin/kill-switch", json={"killed": False})
    running.call("POST", f"{PATH}/stop")
    answer = opened(running, token)
    assert (answer.status_code, answer.json["code"]) == (409, "conflict")
    assert "stopped" in answer.json["detail"]


def test_links_are_limited_by_address(make):
    from lamella.config import Settings

    lab = make(settings=Settings(rate_per_second=0.0001))
    answers = [opened(lab, "x") for _ in range(3)]
    assert [each.status_code for each in answers] == [403, 429, 429]
    assert "Retry-After" in answers[-1].headers


def test_without_a_model_the_parameters_are_shown_and_the_exposure_is_recorded(running):
    running.recommender.failing = {model: ModelFailed("it broke") for model in ("popularity@1", "mf@1")}
    token = made(running)["preview"]
    answer = opened(running, token)
    assert (answer.status_code, answer.json["items"], answer.json["parameters"]["rank.model"]) == (200, [], "mf@1")
    running.ingest()
    assert running.record.counts()["slate"] == 0
    assert [(unit, one.counted) for unit, one in running.record.exposed(1).items()] == [
        ("preview:ranking-mf:mf", False)
    ]
