"""Texts that no store keeps, or that are none: refused alike over both stores, and never a failure of ours."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from apiflask import APIFlask
from werkzeug.test import TestResponse

import asgi_calls
from lamella.bootstrap.web import Services, web_services
from lamella.config import Settings
from lamella.web.app import create_app
from lamella.web.bridge import Bridge

NUL = "a\0b"
NOW = "2026-03-02T08:00:00Z"
METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}


@dataclass(frozen=True)
class Web:
    app: APIFlask
    services: Services
    headers: dict[str, str]
    call: Callable[..., TestResponse]


@pytest.fixture
def web(database_url, tmp_path) -> Iterator[Web]:
    settings = Settings(database_url=database_url, data_dir=tmp_path, redis_url="redis://127.0.0.1:9/0")
    services = web_services(settings)
    services.snapshots.refresh()
    app = create_app(services, secret=b"0" * 32)
    headers = {"Authorization": f"Bearer {services.keys.create('admin', 'admin')}"}

    def call(method, path, **options):
        return app.test_client().open(path, method=method, headers=headers, **options)

    yield Web(app, services, headers, call)
    services.recommending.close()


def refused(answer, words):
    assert answer.status_code == 400, answer.get_data(as_text=True)
    assert (answer.content_type, answer.json["code"]) == ("application/problem+json", "invalid_input")
    assert any(words in fault for fault in answer.json["faults"]), answer.json


def test_every_route_refuses_an_address_with_a_nul(web):
    walked = 0
    for rule in web.app.url_map.iter_rules():
        path = re.sub(r"<[^>]+>", "a%00b", rule.rule)
        for method in sorted(rule.methods & METHODS):
            for address in {path, f"{path}?key=a%00b"} - {rule.rule}:
                answer = web.call(method, address)
                walked += 1
                assert answer.status_code == 400, address
                # Pages say it as a page, and what speaks OFREP in that protocol's shape.
                assert "holds a NUL character" in answer.get_data(as_text=True)
                if path.startswith("/v1/"):
                    refused(answer, "holds a NUL character")
    assert walked > 150
    assert web.services.audit.deeds() == []


@pytest.mark.parametrize("text", ["%FF", "%ED%A0%80"])
def test_bytes_that_are_no_text_are_not_taken_for_another_text(web, text):
    assert web.call("PUT", "/v1/admin/flags/%EF%BF%BD", json={}).json["unit"] == "\ufffd"
    for method, path in (("DELETE", f"/v1/admin/flags/{text}"), ("GET", f"/v1/admin/units/{text}/export")):
        # The test client would send the replacement character itself.
        answer = asgi_calls.call(Bridge(web.app, threads=1), method, path, headers=web.headers)
        assert (answer.status, b"path: is not UTF-8" in answer.body) == (400, True)
    refused(web.call("GET", f"/v1/admin/revisions?author={text}"), "query: is not UTF-8")
    assert [each.unit for each in web.services.flags.all()] == ["\ufffd"]


@pytest.mark.parametrize(
    ("method", "path", "body", "place"),
    [
        ("PUT", "items", {"items": [{"key": "k", "title": "t"}, {"key": NUL, "title": "t"}]}, "items.1.key: "),
        ("PUT", "items", {"items": [{"key": "k", "title": NUL}]}, "items.0.title: "),
        ("PUT", "items", {"items": [{"key": "k", "title": "t", "attributes": {"a": [NUL]}}]}, "attributes.a.0: "),
        ("PUT", "items", {"items": [{"key": "k", "title": "t", "attributes": {NUL: 1}}]}, r"the name 'a\x00b' "),
        ("PUT", "flags/reader", {"detail": NUL}, "detail: "),
        ("POST", "keys", {"name": "news", "role": "viewer", "projects": [NUL]}, "projects.0: "),
        ("POST", "layers", {"key": "home", "description": NUL}, "description: "),
        ("POST", "experiments", {"key": "e", "hypothesis": NUL}, "hypothesis: "),
        ("POST", "webhooks", {"url": "https://example.org", "events": [NUL]}, "events.0: "),
        ("POST", "trainings", {"kind": NUL, "name": "n"}, "kind: "),
        ("PUT", "configuration", {"layers": [{"key": "home", "description": NUL}]}, "description"),
        ("POST", "explain", {"unit": NUL}, "unit: "),
        ("POST", "explain", {"unit": "ann", "context": {NUL: 1}}, "context: "),
    ],
)
def test_every_body_with_a_nul_is_refused_with_its_place(lab, method, path, body, place):
    refused(lab.call(method, f"/v1/admin/{path}", json=body), place)


def test_a_backslash_before_the_code_of_a_nul_is_text(lab):
    assert lab.call("PUT", "/v1/admin/flags/reader", json={"detail": r"a\u0000b"}).json["detail"] == r"a\u0000b"


def test_nothing_of_a_body_with_a_nul_is_stored(web):
    good = {"key": "k", "title": "t"}
    for more in ({"key": NUL}, {"title": NUL}, {"attributes": {"a": NUL}}):
        refused(web.call("PUT", "/v1/admin/items", json={"items": [good, good | more]}), "items.1.")
    refused(web.call("PUT", "/v1/admin/flags/reader", json={"detail": NUL}), "detail: ")
    assert (list(web.services.catalogue.all()), web.services.flags.all()) == ([], [])


def test_what_serves_and_records_refuses_a_nul_and_keeps_the_refusal(web):
    for body, place in (
        ({"unit": NUL}, "unit: "),
        ({"unit": "ann", "context": {"a": NUL}}, "context: "),
        ({"unit": "ann", "exclude": [NUL]}, "exclude[0]: "),
        ({"unit": "ann", "candidates": [NUL]}, "candidates[0]: "),
        ({"unit": "ann", "request_id": NUL}, "request_id: "),
    ):
        refused(web.call("POST", "/v1/recommendations", json=body), place)
    click = {"kind": "click", "event_id": "e", "request_id": "r", "unit": "ann", "item": "i", "time": NOW}
    events = [{**click, name: NUL} for name in ("event_id", "request_id", "unit", "item", "kind")]
    answer = web.call("POST", "/v1/events", json={"events": events}).json
    assert [each["code"] for each in answer["rejected"]] == ["control_character"] * 4 + ["unknown_kind"]
    if web.services.left is not None:
        web.services.left.settle()
    web.services.record.ingest(limit=10, now=web.services.clock.now())
    assert dict(web.services.quarantine.counts()) == {"control_character": 4, "unknown_kind": 1}
