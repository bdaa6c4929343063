"""The remote client's explanations, by the real application over HTTP."""

import pytest

from lamella.client import RemoteClient
from lamella.errors import InvalidInput

CONTEXT = {"country": "CN", "age": 31, "is_new": True, "tags": ["a", None], "text": "x" * 40_000}


@pytest.fixture
def client(service):
    made = RemoteClient(service.url, service.lab.keys["viewer"])
    yield made
    made.close()


def test_a_unit_is_explained_with_whatever_its_context_holds(service, client):
    for context in (None, {}, {"country": "CN"}, {"country": "FR"}, CONTEXT):
        expected = service.lab.call("POST", "/v1/admin/explain", json={"unit": "reader/1", "context": context or {}})
        assert client.explain("reader/1", context=context) == expected.json


def test_a_context_decides_over_the_wire(service, client):
    service.lab.call("POST", "/v1/admin/experiments/ranking-mf/stop", json={})
    rule = {"and": [{"==": [{"var": "country"}, "CN"]}, {">": [{"var": "age"}, 30]}]}
    plan = {"primary_metric": "ctr"}
    variants = [
        {"key": "control", "weight": 1, "is_control": True},
        {"key": "mf", "weight": 1, "values": {"rank.model": "mf@1"}},
    ]
    body = {"key": "older", "layer": "ranking", "rule": rule, "ranges": [{"start": 0, "stop": 10_000}]}
    body |= {"hypothesis": "It is better", "variants": variants, "plan": plan}
    assert service.lab.call("POST", "/v1/admin/experiments", json=body).status_code == 201
    service.start("older")
    found = [client.explain("reader-1", context={"country": "CN", "age": age}) for age in (31, 30)]
    layers = [next(layer for layer in each["layers"] if layer["layer"] == "ranking") for each in found]
    assert [each["reason"] for each in layers] == ["TARGETING_MATCH", "DEFAULT"]


def test_a_bad_unit_is_the_services_own_sentence(client):
    with pytest.raises(InvalidInput, match="unit: is empty"):
        client.explain("", context={"country": "CN"})
