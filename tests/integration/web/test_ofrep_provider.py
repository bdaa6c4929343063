"""OpenFeature's own OFREP provider against a real web process: another implementation of the protocol agrees."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason

from web_processes import Web, processes

FLAGS = {
    "ui.new": ("boolean", False),
    "ui.title": ("string", "Read"),
    "ui.size": ("integer", 10),
    "ui.ratio": ("float", 1.0),
    "ui.theme": ("object", {"dark": True, "columns": 2}),
}
EXPERIMENT = {
    "key": "title",
    "layer": "ui",
    "hypothesis": "Another word is clicked more",
    "ranges": [{"start": 0, "stop": 10_000}],
    "variants": [
        {"key": "read", "weight": 1, "is_control": True, "values": {"ui.title": "Read"}},
        {"key": "more", "weight": 1, "values": {"ui.title": "More"}},
    ],
    "plan": {"primary_metric": "ctr"},
}


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> Iterator[Web]:
    folder = tmp_path_factory.mktemp("ofrep")
    (folder / "lamella.db").write_bytes(migrated_sqlite.read_bytes())
    with processes(1, folder, f"sqlite:///{folder / 'lamella.db'}", "redis://127.0.0.1:1/0") as (web,):
        for layer in ("ui", "rules"):
            web.call("POST", "/v1/admin/layers", {"key": layer}, role="admin")
        for key, (kind, default) in FLAGS.items():
            body = {"key": key, "type": kind, "default": default, "layer": "ui"}
            web.call("POST", "/v1/admin/parameters", body, role="admin")
        ruled = {"key": "rules.on", "type": "boolean", "default": False, "layer": "rules"}
        web.call("POST", "/v1/admin/parameters", ruled, role="admin")
        web.call("POST", "/v1/admin/experiments", EXPERIMENT, role="admin")
        variants = [
            {"key": "off", "weight": 1, "is_control": True},
            {"key": "on", "weight": 1, "values": {"rules.on": True}},
        ]
        rule = {"==": [{"var": "country"}, "CN"]}
        targeted = {**EXPERIMENT, "key": "ruled", "layer": "rules", "variants": variants, "rule": rule}
        web.call("POST", "/v1/admin/experiments", targeted, role="admin")
        for key in ("title", "ruled"):
            web.call("POST", f"/v1/admin/experiments/{key}/start", role="admin")
        yield web


@pytest.fixture(scope="module")
def client(web: Web) -> Iterator[OpenFeatureClient]:
    headers = {"Authorization": f"Bearer {web.keys['client']}"}
    api.set_provider_and_wait(OFREPProvider(web.url, headers_factory=lambda: headers), domain="ofrep")
    yield api.get_client(domain="ofrep")
    api.clear_providers()


def reader(name: str = "ann", **attributes: str) -> EvaluationContext:
    return EvaluationContext(targeting_key=name, attributes=attributes)


def test_each_type_arrives_as_what_it_is(client: OpenFeatureClient) -> None:
    assert client.get_boolean_value("ui.new", True, reader()) is False
    assert client.get_integer_value("ui.size", 1, reader()) == 10
    ratio = client.get_float_value("ui.ratio", 0.5, reader())
    assert (ratio, type(ratio)) == (1.0, float)
    assert client.get_object_value("ui.theme", {}, reader()) == {"dark": True, "columns": 2}
    assert {client.get_string_value("ui.title", "-", reader(f"r{n}")) for n in range(40)} == {"Read", "More"}


def test_the_reasons_are_those_of_the_specification(client: OpenFeatureClient, web: Web) -> None:
    def reason(flag: str, context: EvaluationContext) -> object:
        return client.get_boolean_details(flag, False, context).reason

    title = client.get_string_details("ui.title", "-", reader())
    assert title.reason == Reason.SPLIT
    assert title.variant in ("read", "more")
    assert title.flag_metadata["experiment"] == "title"
    assert reason("rules.on", reader(country="CN")) == Reason.TARGETING_MATCH
    assert reason("rules.on", reader(country="DE")) == Reason.DEFAULT
    assert client.get_string_details("rank.model", "-", reader()).reason == Reason.STATIC
    web.call("POST", "/v1/admin/experiments/ruled/pause", role="admin")
    assert reason("rules.on", reader(country="CN")) == Reason.DISABLED
    web.call("POST", "/v1/admin/experiments/ruled/resume", role="admin")


def test_errors_arrive_with_their_code_and_the_default(client: OpenFeatureClient) -> None:
    unknown = client.get_string_details("no.such", "mine", reader())
    assert (unknown.value, unknown.error_code) == ("mine", ErrorCode.FLAG_NOT_FOUND)
    nobody = client.get_string_details("ui.title", "mine", EvaluationContext())
    assert (nobody.value, nobody.error_code) == ("mine", ErrorCode.TARGETING_KEY_MISSING)
    for context in (reader("u" * 10_000), reader("a\x07b"), reader(note="x" * 1_000_000)):
        bad = client.get_string_details("ui.title", "mine", context)
        assert (bad.value, bad.error_code) == ("mine", ErrorCode.INVALID_CONTEXT)
    wrong = client.get_integer_details("ui.title", 7, reader())
    assert (wrong.value, wrong.error_code) == (7, ErrorCode.TYPE_MISMATCH)


def test_bulk_is_304_while_nothing_changed(web: Web) -> None:
    def ask(user: str, tag: str = "") -> tuple[int, str, bytes]:
        headers = {"Authorization": f"Bearer {web.keys['client']}", "Content-Type": "application/json"}
        body = orjson.dumps({"context": {"targetingKey": user}})
        url = f"{web.url}/ofrep/v1/evaluate/flags"
        request = urllib.request.Request(url, data=body, headers=headers | ({"If-None-Match": tag} if tag else {}))
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.headers["ETag"], answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers["ETag"], error.read()

    status, tag, body = ask("ann")
    assert status == 200
    assert {each["key"] for each in orjson.loads(body)["flags"]} == {*FLAGS, "rules.on", "rank.model"}
    assert ask("ann", tag) == (304, tag, b"")
    assert ask("bob", tag)[0] == 200, "another reader is another answer"
