import gzip
import io
import re

import pytest
from structlog.testing import capture_logs

from lamella import errors
from lamella.web.auth import PUBLIC, access_of
from lamella.web.problems import STATUSES, TITLES, status_of

FIELDS = {"type", "title", "status", "detail", "code", "instance"}


def assert_problem(answer, status, code):
    assert answer.status_code == status, answer.get_data(as_text=True)
    assert answer.content_type == "application/problem+json"
    body = answer.json
    assert FIELDS <= body.keys() <= FIELDS | {"faults"}
    assert (body["status"], body["code"], body["type"]) == (status, code, f"/docs#{code}")
    assert code in TITLES
    assert body["title"] == TITLES[code]
    assert body["detail"]
    assert "Traceback" not in body["detail"]
    assert answer.headers["X-Request-Id"]
    return body


def api_rules(app):
    return [rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/v1/")]


def path_of(rule):
    return re.sub(r"<[^>]+>", "nothing", rule.rule)


def classes(root=errors.LamellaError):
    for each in root.__subclasses__():
        yield each
        yield from classes(each)


def test_every_route_answers_a_missing_key_with_a_problem(lab):
    for rule in api_rules(lab.app):
        if access_of(lab.app, rule.endpoint) == PUBLIC:
            continue
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            assert_problem(lab.client().open(path_of(rule), method=method), 401, "unauthenticated")


def test_every_route_answers_a_wrong_method_with_a_problem_and_allow(lab):
    for rule in api_rules(lab.app):
        answer = lab.client().open(path_of(rule), method="PROPFIND")
        assert_problem(answer, 405, "method_not_allowed")
        assert rule.methods - {"OPTIONS", "HEAD"} <= set(answer.headers["Allow"].split(", "))


def takes_json(operation) -> bool:
    return "application/json" in operation.get("requestBody", {}).get("content", {})


def test_every_route_with_a_body_answers_broken_json_with_its_place(lab):
    spec = lab.app.spec
    found = 0
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            if not takes_json(operation) or path.startswith("/ofrep/"):
                continue
            found += 1
            answer = lab.call(
                method.upper(), re.sub(r"{[^}]+}", "x", path), data='{"a": 1,}', content_type="application/json"
            )
            body = assert_problem(answer, 400, "invalid_input")
            assert "line 1 column 8" in body["detail"], body
    assert found > 8


def test_every_route_with_a_body_answers_an_empty_body_a_wrong_type_and_a_wrong_shape(lab):
    for path, methods in lab.app.spec["paths"].items():
        for method, operation in methods.items():
            if not takes_json(operation) or path.startswith("/ofrep/"):
                continue
            call = re.sub(r"{[^}]+}", "x", path)
            if operation["requestBody"]["required"]:
                assert_problem(
                    lab.call(method.upper(), call, data=b"", content_type="application/json"), 400, "invalid_input"
                )
            assert_problem(
                lab.call(method.upper(), call, data="a=1", content_type="text/csv"), 415, "unsupported_media_type"
            )
            for body in ([], "text", 7, True, {"surprise": 1}):
                problem = assert_problem(lab.call(method.upper(), call, json=body), 400, "invalid_input")
                assert problem["faults"]


@pytest.mark.parametrize("path", ["/v1/recommendations", "/v1/events", "/v1/admin/layers"])
def test_a_compressed_body_is_415_and_is_not_unpacked(lab, path):
    answer = lab.call(
        "POST", path, data=gzip.compress(b"{}"), content_type="application/json", headers={"Content-Encoding": "gzip"}
    )
    assert "compressed" in assert_problem(answer, 415, "unsupported_media_type")["detail"]
    assert answer.headers["Accept-Encoding"] == "identity"
    plain = lab.call("POST", path, json={"a": 1}, headers={"Content-Encoding": "Identity"})
    assert_problem(plain, 400, "invalid_input")


def test_a_body_beyond_the_limit_of_its_route_is_413(lab):
    for path, size in (("/v1/recommendations", 17_000_000), ("/v1/admin/layers", 9_000_000)):
        answer = lab.call("POST", path, data=b" " * size, content_type="application/json")
        assert "bytes" in assert_problem(answer, 413, "body_too_large")["detail"]


def test_a_body_of_undeclared_length_is_limited_too(lab):
    for path, size in (("/v1/recommendations", 17_000_000), ("/v1/admin/layers", 9_000_000)):
        answer = lab.call(
            "POST",
            path,
            input_stream=io.BytesIO(b" " * size),
            content_type="application/json",
            headers={"Transfer-Encoding": "chunked"},
            environ_base={"wsgi.input_terminated": True},
        )
        assert_problem(answer, 413, "body_too_large")


def test_an_unknown_route_is_a_problem(lab):
    assert_problem(lab.client().get("/v2/nothing"), 404, "no_such_route")


def test_an_unexpected_exception_is_a_500_that_tells_nothing_and_is_logged(lab, monkeypatch):
    def explode():
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr(lab.services.configuration, "load", explode)
    with capture_logs() as logs:
        answer = lab.call("GET", "/v1/admin/layers", headers={"X-Request-Id": "my-request"})
    body = assert_problem(answer, 500, "internal_error")
    assert "hunter2" not in answer.get_data(as_text=True)
    assert "my-request" in body["detail"]
    unexpected = next(line for line in logs if line["event"] == "unexpected")
    assert unexpected["request"] == "my-request"
    assert isinstance(unexpected["exc_info"], RuntimeError)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InvalidInput("a", "b"), 400),
        (errors.BucketsTaken("ranking", range(5), "other"), 400),
        (errors.Unauthenticated("no"), 401),
        (errors.Forbidden("no"), 403),
        (errors.NotFound("layer", "x"), 404),
        (errors.ConfigurationMoved(1, 2), 409),
        (errors.IllegalTransition("x", "draft", "stop", ["start"]), 409),
        (errors.TrainingFault("nothing to learn from"), 409),
        (errors.Overloaded("the inbox", retry_after_seconds=7), 429),
        (errors.StoreUnavailable("down"), 503),
        (errors.BrokerUnavailable("down"), 503),
        (errors.ModelCorrupt("bad"), 503),
        (errors.InvalidSettings(["bad"]), 500),
    ],
)
def test_every_error_of_ours_has_its_status(lab, monkeypatch, error, status):
    def fail():
        raise error

    monkeypatch.setattr(lab.services.configuration, "load", fail)
    answer = lab.call("GET", "/v1/admin/layers")
    assert_problem(answer, status, "internal_error" if status == 500 else error.code)
    assert ("Retry-After" in answer.headers) == (status in (429, 503))
    if isinstance(error, errors.Overloaded):
        assert answer.headers["Retry-After"] == "7"
    if isinstance(error, errors.InvalidInput):
        assert answer.json["faults"] == list(error.faults)


def test_every_error_class_has_a_status_or_is_no_answer_to_a_request():
    for each in classes():
        has_status = any(parent in STATUSES for parent in each.__mro__)
        assert has_status or each is errors.InvalidSettings, each


def test_a_subclass_has_the_status_of_the_nearest_class_above_it():
    assert status_of(errors.StoreNotMigrated("x")) == 503
