"""Looking inside a model over HTTP."""

import re
from dataclasses import replace

import pytest
from jsonschema import Draft202012Validator

from insight_samples import PACKED_CURVE, VERSION, catalogue_items, flat_model, topical_model
from lamella.web.openapi import operations
from unit.reporting.markup import parse

INSIGHT = "/v1/admin/models/mf@3/insight"


@pytest.fixture
def shown(lab):
    """The laboratory with a personal model and one without vectors."""
    model = topical_model()
    lab.services.models.add(VERSION)
    lab.services.models.add(replace(VERSION, name="popularity", number=1, kind="popularity", digest="cd" * 32))
    lab.files.models |= {"mf@3": model, "popularity@1": flat_model()}
    lab.files.files["mf@3"] = {"curve.json": PACKED_CURVE}
    lab.services.catalogue.put(catalogue_items(model)[:-20])
    return lab


def holds(lab, endpoint, document):
    spec = lab.app.spec
    operation = next(found for name, _, found in operations(lab.app, spec) if name == endpoint)
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    Draft202012Validator({**schema, "components": spec["components"]}).validate(document)


def test_an_insight_is_what_the_document_says(shown):
    for reference in ("mf@3", "mf", "popularity@1"):
        answer = shown.call("GET", f"/v1/admin/models/{reference}/insight?points=50", role="viewer")
        assert answer.status_code == 200
        holds(shown, "insight.show_insight", answer.json)


def test_an_insight_has_biases_clusters_a_map_and_the_curve(shown):
    found = shown.call("GET", f"{INSIGHT}?clusters=4&points=100&ends=3&seed=5").json
    assert (found["reference"], found["items"], found["users"], found["length"]) == ("mf@3", 240, 300, 8)
    assert sum(found["biases"]["items"]["counts"]) == found["biases"]["items"]["count"] == 239
    assert [each["bias"] for each in found["biases"]["users"]["top"]] == sorted(
        (each["bias"] for each in found["biases"]["users"]["top"]), reverse=True
    )
    assert (len(found["clusters"]), len(found["map"]["points"]), found["map"]["seed"]) == (4, 100, 5)
    assert sum(one["size"] for one in found["clusters"]) == found["map"]["placed"] == 239
    assert [one["categories"][0]["share"] for one in found["clusters"]] == [1.0] * 4
    assert found["clusters"][0]["typical"][0]["title"].startswith(
        found["clusters"][0]["categories"][0]["category"][:3].capitalize()
    )
    assert found["curve"]["best_epoch"] == 5
    assert found["curve"]["epochs"][0] == {"epoch": 0, "training": None, "validation": 0.693}
    assert found["undefined"] == {}


def test_the_nearest_items_are_of_the_same_topic_and_named(shown):
    answer = shown.call("GET", "/v1/admin/models/mf@3/items/item/004/nearest?k=5", role="viewer")
    holds(shown, "insight.show_nearest", answer.json)
    assert (answer.json["item"], answer.json["category"], len(answer.json["nearest"])) == ("item/004", "politics", 5)
    assert {each["category"] for each in answer.json["nearest"]} <= {"politics", None}
    assert answer.json["undefined"] is None


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/admin/models/mf@9/insight", 404),
        ("/v1/admin/models/mf@3/items/nothing/nearest", 404),
        (f"{INSIGHT}?clusters=1", 400),
        (f"{INSIGHT}?points=2001", 400),
        (f"{INSIGHT}?colour=red", 400),
        ("/v1/admin/models/mf@3/items/item/004/nearest?k=0", 400),
    ],
)
def test_what_cannot_be_shown_is_a_problem(shown, path, status):
    answer = shown.call("GET", path)
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")


def test_a_version_whose_files_are_gone_is_a_503(shown):
    shown.services.models.add(replace(VERSION, number=4))
    assert shown.call("GET", "/v1/admin/models/mf@4/insight").json["code"] == "model_corrupt"


def test_the_roles_below_viewer_see_no_insight(shown):
    assert shown.call("GET", INSIGHT, role="client").status_code == 403


@pytest.mark.parametrize(("lang", "words"), [("en", "Learning curve"), ("zh", "学习曲线")])
def test_the_page_of_a_model_shows_its_pictures_in_both_languages(shown, lang, words):
    assert f"/models/mf@3?lang={lang}" in shown.client().get(f"/models?lang={lang}").get_data(as_text=True)
    answer = shown.client().get(f"/models/mf@3?lang={lang}")
    page = answer.get_data(as_text=True)
    assert answer.status_code == 200
    assert words in page
    root = parse(page.removeprefix("<!doctype html>").lstrip().replace("<!doctype html>", ""))
    charts = [one for one in root.all("svg") if one.attributes.get("role") == "img"]
    assert len(charts) == 4
    for chart in charts:
        title, description = chart.attributes["aria-labelledby"].split()
        assert {title, description} <= {one.attributes.get("id") for one in chart.walk()}
    identities = [one.attributes["id"] for one in root.walk() if "id" in one.attributes]
    assert len(identities) == len(set(identities))
    assert "<script" not in page
    assert not re.search(r"<[^>]+\sstyle=", page)


def test_the_page_of_a_model_without_vectors_says_why_it_is_empty(shown):
    page = shown.client().get("/models/popularity@1").get_data(as_text=True)
    assert "no vectors of items" in page
    assert "no learning curve" in page
    assert shown.client().get("/models/nothing@1").status_code == 404
