import re
from pathlib import Path

from openapi_spec_validator import validate

from lamella.web.auth import PAGES, PUBLIC, access_of
from lamella.web.openapi import openapi_path, operations

ROOT = Path(__file__).parents[3]


def test_the_document_is_valid_openapi_3_1(lab):
    document = lab.client().get("/openapi.json").json
    assert document["openapi"].startswith("3.1")
    validate(document)


def test_every_route_of_the_api_is_in_the_document(lab):
    documented = set(lab.app.spec["paths"])
    served = {openapi_path(rule.rule) for rule in lab.app.url_map.iter_rules() if rule.rule.startswith("/v1/")}
    assert served <= documented


def test_every_error_of_the_document_is_a_problem(lab):
    for endpoint, name, operation in operations(lab.app, lab.app.spec):
        if endpoint == "health.readyz" or endpoint.startswith("ofrep."):
            continue
        for status, answer in operation["responses"].items():
            if status >= "400":
                assert list(answer["content"]) == ["application/problem+json"], (name, status)


def test_every_operation_says_what_it_needs_and_answers_something_good(lab):
    for endpoint, name, operation in operations(lab.app, lab.app.spec):
        access = access_of(lab.app, endpoint)
        assert operation.get("x-role") == (None if access in (PUBLIC, PAGES) else access), name
        assert any(status < "300" for status in operation["responses"]), name
        assert operation["summary"], name


def test_operation_ids_are_unique(lab):
    ids = [operation["operationId"] for _, _, operation in operations(lab.app, lab.app.spec)]
    assert len(ids) == len(set(ids))


def test_every_body_is_described_down_to_its_fields(lab):
    schemas = lab.app.spec["components"]["schemas"]
    for _, name, operation in operations(lab.app, lab.app.spec):
        if "requestBody" in operation:
            reference = next(iter(operation["requestBody"]["content"].values()))["schema"]["$ref"]
            assert schemas[reference.rsplit("/", 1)[-1]]["properties"], name


def test_every_route_is_in_the_users_documentation(lab):
    text = (ROOT / "docs" / "http-api.md").read_text(encoding="utf-8")
    written = {
        (method, path.split("?")[0])
        for method, path in re.findall(r"\b(GET|POST|PUT|PATCH|DELETE) (/[^\s`:,;]*)", text)
    }
    for rule in lab.app.url_map.iter_rules():
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            assert (method, openapi_path(rule.rule)) in written, f"{method} {rule.rule} is not in docs/http-api.md"


def test_the_users_documentation_names_no_route_that_is_gone(lab):
    text = (ROOT / "docs" / "http-api.md").read_text(encoding="utf-8")
    served = {openapi_path(rule.rule) for rule in lab.app.url_map.iter_rules()}
    named = {path.split("?")[0] for _, path in re.findall(r"`(GET|POST|PUT|PATCH|DELETE) (/[^\s`:,;]*)", text)}
    assert named <= served, named - served
