"""The OpenFeature provider, asked through OpenFeature's own client, over both of ours."""

import uuid
from contextlib import closing
from datetime import UTC, datetime

import pytest
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason
from openfeature.provider import ProviderStatus

from integration.client.test_inprocess_client import made, until
from lamella.client import InProcessClient, RemoteClient
from lamella.client.openfeature import LamellaProvider
from lamella.experiments.document import parameter_from_document

READER = EvaluationContext(targeting_key="reader-1", attributes={"country": "CN"})
PARAMETERS = [
    ("rank.weight", "float", 1.0),
    ("rank.fresh", "boolean", True),
    ("rank.plan", "object", {"hours": [8, 20]}),
]


@pytest.fixture
def full(service):
    for key, kind, default in PARAMETERS:
        given = {"key": key, "type": kind, "default": default, "layer": "ranking"}
        service.lab.services.configuring.create_parameter(parameter_from_document(given), author="test")
    service.lab.services.snapshots.refresh()
    return service


@pytest.fixture(params=["remote", "in process"])
def client(request, full, tmp_path):
    """OpenFeature's client over the provider."""
    mine = RemoteClient(full.url, full.key) if request.param == "remote" else made(full, tmp_path)
    domain = uuid.uuid4().hex
    api.set_provider_and_wait(LamellaProvider(mine), domain)
    yield api.get_client(domain)
    api.clear_providers()


def test_each_type_is_resolved_with_value_variant_and_reason(client):
    asked = [
        client.get_string_details("rank.model", "?", READER),
        client.get_integer_details("slate.size", -1, READER),
        client.get_float_details("rank.weight", -1.0, READER),
        client.get_boolean_details("rank.fresh", default_value=False, evaluation_context=READER),
        client.get_object_details("rank.plan", {}, READER),
    ]
    assert [each.error_code for each in asked] == [None] * 5, asked
    assert asked[0].variant in ("popularity", "mf")
    assert asked[0].value == f"{asked[0].variant}@1"
    assert [each.value for each in asked[1:]] == [5, 1.0, True, {"hours": [8, 20]}]
    assert isinstance(asked[2].value, float)
    assert {each.reason for each in asked} == {Reason.SPLIT}
    assert asked[0].flag_metadata["experiment"] == "ranking-mf"


def test_a_flag_without_experiment_is_static(client):
    found = client.get_string_details("recall.model", "?", READER)
    assert (found.value, found.variant, found.reason) == ("popularity@1", "default", Reason.STATIC)


def test_an_integer_is_given_as_a_float_where_one_is_asked_for(client):
    value = client.get_float_value("slate.size", -1.0, READER)
    assert (value, type(value)) == (5.0, float)


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (lambda c: c.get_string_details("nothing", "mine", READER), ErrorCode.FLAG_NOT_FOUND),
        (lambda c: c.get_string_details("slate.size", "mine", READER), ErrorCode.TYPE_MISMATCH),
        (lambda c: c.get_integer_details("rank.fresh", "mine", READER), ErrorCode.TYPE_MISMATCH),
        (lambda c: c.get_integer_details("rank.weight", "mine", READER), ErrorCode.TYPE_MISMATCH),
        (lambda c: c.get_boolean_details("slate.size", "mine", READER), ErrorCode.TYPE_MISMATCH),
        (lambda c: c.get_float_details("rank.fresh", "mine", READER), ErrorCode.TYPE_MISMATCH),
        (lambda c: c.get_object_details("rank.model", "mine", READER), ErrorCode.TYPE_MISMATCH),
        (lambda c: c.get_string_details("rank.model", "mine"), ErrorCode.TARGETING_KEY_MISSING),
        (
            lambda c: c.get_string_details("rank.model", "mine", EvaluationContext("x" * 10_000)),
            ErrorCode.INVALID_CONTEXT,
        ),
        (
            lambda c: c.get_string_details("rank.model", "mine", EvaluationContext("r", {"bad": object()})),
            ErrorCode.INVALID_CONTEXT,
        ),
    ],
)
def test_an_error_gives_the_default_and_its_code(client, ask, code):
    found = ask(client)
    assert (found.value, found.error_code, found.reason) == ("mine", code, Reason.ERROR)
    assert found.error_message


def test_times_in_the_context_become_text(client):
    context = EvaluationContext("reader-1", {"since": datetime(2026, 1, 1, tzinfo=UTC), "list": [1, {"a": True}]})
    assert client.get_string_details("rank.model", "?", context).error_code is None


def test_both_clients_resolve_alike(full, tmp_path):
    with closing(RemoteClient(full.url, full.key)) as remote, made(full, tmp_path) as local:
        for unit in (f"{prefix}{i}" for prefix in ("reader-", "读者-") for i in range(20)):
            context = EvaluationContext(targeting_key=unit)
            one, other = (
                LamellaProvider(each).resolve_string_details("rank.model", "?", context) for each in (remote, local)
            )
            assert (one.value, one.variant, one.reason) == (other.value, other.variant, other.reason)


def test_in_process_evaluation_tells_the_exposure_and_remote_evaluation_does_not(full, tmp_path):
    with closing(RemoteClient(full.url, full.key)) as remote:
        LamellaProvider(remote).resolve_string_details("rank.model", "?", READER)
    assert full.exposed() == {}
    provider = LamellaProvider(made(full, tmp_path))
    provider.initialize(READER)
    found = provider.resolve_string_details("rank.model", "?", READER)
    provider.shutdown()
    assert full.exposed() == {"reader-1": found.variant}


def test_a_provider_without_a_snapshot_is_not_ready_and_gives_the_default(tmp_path):
    domain = uuid.uuid4().hex
    nobody = InProcessClient("http://127.0.0.1:9", "lam_none", tmp_path, timeout_seconds=0.2)
    with pytest.raises(Exception, match="does not answer"):
        api.set_provider_and_wait(LamellaProvider(nobody), domain)
    found = api.get_client(domain).get_string_details("rank.model", "mine", READER)
    assert (found.value, found.error_code) == ("mine", ErrorCode.PROVIDER_NOT_READY)
    api.clear_providers()


def test_a_remote_service_that_is_gone_is_a_general_error(service):
    remote = RemoteClient("http://127.0.0.1:9", "lam_none", patience_seconds=0.0)
    domain = uuid.uuid4().hex
    api.set_provider_and_wait(LamellaProvider(remote), domain)
    found = api.get_client(domain).get_string_details("rank.model", "mine", READER)
    assert (found.value, found.error_code) == ("mine", ErrorCode.GENERAL)
    api.clear_providers()


def test_a_new_snapshot_is_announced(full, tmp_path):
    seen = []
    domain = uuid.uuid4().hex
    api.set_provider_and_wait(LamellaProvider(made(full, tmp_path)), domain)
    client = api.get_client(domain)
    client.add_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, seen.append)
    assert client.get_provider_status() is ProviderStatus.READY
    full.lab.call("POST", "/v1/admin/experiments/ranking-mf/stop", json={})
    until(lambda: seen)
    assert client.get_string_details("rank.model", "?", READER).variant == "default"
    api.clear_providers()
