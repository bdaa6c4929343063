"""The real answers are what the OpenAPI document says."""

import re

from jsonschema import Draft202012Validator

from lamella.web.answers import ANSWERS
from lamella.web.openapi import operations

PATH = "/v1/admin/experiments/ranking-mf"
MODEL = {"reference": "mf@1", "item": "none"}


def busy(lab):
    """An installation in which every list of the admin API has something to show."""
    lab.call("POST", "/v1/admin/domains", json={"key": "feed", "ranges": [{"start": 0, "stop": 100}]})
    lab.call("POST", "/v1/admin/holdouts", json={"key": "calm", "ranges": [{"start": 0, "stop": 10}]})
    hook = lab.call("POST", "/v1/admin/webhooks", json={"url": "https://example.org/x", "events": ["*"]}).json
    lab.call("POST", f"{PATH}/start")
    lab.call("PUT", f"{PATH}/overrides/ann", json={"variant": "mf"})
    lab.call("POST", "/v1/admin/trainings", json={"kind": "mf", "name": "mf"})
    return {"webhook": hook["id"], "number": "1", "run_id": "none", "proposal": "none", "unit": "ann", **MODEL}


def test_every_route_of_the_admin_api_that_shows_something_has_a_model(lab):
    named = set(ANSWERS) | {
        "configuration.explain_unit",
        "configuration.explain_body",
        "reports.latest_report",
        "reports.list_reports",
        "reports.ask_for_analysis",
        "models.count_record",
    }
    shown = {
        endpoint
        for endpoint, name, operation in operations(lab.app, lab.app.spec)
        if "/v1/admin" in name and not {"204"} & set(operation["responses"])
    }
    assert shown <= named | {each for each in shown if each.startswith("reports.")}, shown - named


def test_a_cancelled_training_is_what_the_document_says(lab):
    run = lab.call("POST", "/v1/admin/trainings", json={"kind": "mf", "name": "mf"}).json
    spec = lab.client().get("/openapi.json").json
    responses = spec["paths"]["/v1/admin/trainings/{run_id}/cancel"]["post"]["responses"]
    answer = lab.call("POST", f"/v1/admin/trainings/{run['id']}/cancel")
    schema = responses["200"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/TrainingAnswer"}
    Draft202012Validator({**schema, "components": spec["components"]}).validate(answer.json)
    assert set(responses) == {"200", "401", "403", "404", "409", "503"}


def test_what_is_answered_is_what_the_document_says(lab):
    filled = {"key": "ranking-mf", **busy(lab)}
    keys = {"layers": "ranking", "parameters": "slate.size", "domains": "feed", "holdouts": "calm", "metrics": "ctr"}
    spec = lab.client().get("/openapi.json").json
    checked = 0
    for _, name, operation in operations(lab.app, lab.app.spec):
        method, path = name.split(" ")
        if method != "GET" or not path.startswith("/v1/admin") or "explain" in path:
            continue
        kind = path.split("/")[3]
        url = re.sub(r"{(\w+)}", lambda found: keys.get(kind, filled[found[1]]), path)  # noqa: B023
        answer = lab.call("GET", url)
        if answer.status_code != 200:
            continue
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        Draft202012Validator({**schema, "components": spec["components"]}).validate(answer.json)
        checked += 1
    assert checked >= 24
