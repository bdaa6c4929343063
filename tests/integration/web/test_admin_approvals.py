"""A second person for what the traffic is split by, layers to holdouts; and no window between approval and change."""

import pytest

from lamella.config import Settings
from lamella.errors import ConfigurationMoved, StoreUnavailable

HALF = [{"start": 0, "stop": 5_000}]


@pytest.fixture
def strict(make):
    return make(settings=Settings(approvals_required=True))


def proposed(lab, method, path, body=None):
    answer = lab.call(method, path, role="experimenter", json=body)
    assert answer.status_code == 202, answer.get_data(as_text=True)
    assert answer.headers["Location"] == f"/v1/admin/proposals/{answer.json['id']}"
    return answer.json["id"]


def approved(lab, proposal, *, role="approver"):
    return lab.call("POST", f"/v1/admin/proposals/{proposal}/approve", role=role)


CHANGES = [
    ("layers", "PATCH", "/v1/admin/layers/ranking", {"description": "How candidates are ordered"}),
    ("parameters", "PATCH", "/v1/admin/parameters/slate.size", {"default": 8}),
    ("parameters", "DELETE", "/v1/admin/parameters/slate.size", None),
    ("domains", "POST", "/v1/admin/domains", {"key": "feed", "ranges": HALF}),
    ("holdouts", "POST", "/v1/admin/holdouts", {"key": "calm", "ranges": HALF}),
]


@pytest.mark.parametrize(("kind", "method", "path", "body"), CHANGES)
def test_what_splits_the_traffic_waits_for_a_second_person(strict, kind, method, path, body):
    before = strict.call("GET", f"/v1/admin/{kind}").json[kind]
    version = strict.services.configuration.version()
    proposal = proposed(strict, method, path, body)
    assert strict.call("GET", f"/v1/admin/{kind}").json[kind] == before
    assert approved(strict, proposal).json["status"] == "applied"
    assert strict.call("GET", f"/v1/admin/{kind}").json[kind] != before
    assert strict.services.configuration.version() == version + 1
    (revision,) = strict.call("GET", f"/v1/admin/revisions?kind={kind.removesuffix('s')}&limit=1").json["revisions"]
    assert revision["author"] == "experimenter, approved by approver"


def test_domains_and_holdouts_are_changed_and_removed_by_two(strict):
    for kind, change in (("domains", {"ranges": [{"start": 0, "stop": 6_000}]}), ("holdouts", {"description": "x"})):
        path = f"/v1/admin/{kind}/one"
        approved(strict, proposed(strict, "POST", f"/v1/admin/{kind}", {"key": "one", "ranges": HALF}))
        approved(strict, proposed(strict, "PATCH", path, change))
        name, value = next(iter(change.items()))
        assert strict.call("GET", path).json[name] == value
        approved(strict, proposed(strict, "DELETE", path))
        assert strict.call("GET", path).status_code == 404


def test_a_new_layer_or_parameter_moves_nobody_and_does_not_wait(strict):
    assert strict.call("POST", "/v1/admin/layers", json={"key": "new"}).status_code == 201
    size = {"key": "new.size", "type": "integer", "default": 1, "layer": "new"}
    assert strict.call("POST", "/v1/admin/parameters", json=size).status_code == 201


def test_without_approvals_they_are_done_at_once(lab):
    for _, method, path, body in CHANGES:
        assert lab.call(method, path, json=body).status_code in (200, 201, 204), path


def test_a_change_that_would_be_refused_is_not_even_proposed(strict):
    answer = strict.call("PATCH", "/v1/admin/parameters/slate.size", role="experimenter", json={"default": "many"})
    assert (answer.status_code, answer.json["code"]) == (400, "configuration_invalid")
    assert strict.call("GET", "/v1/admin/proposals").json["proposals"] == []


def test_an_approval_means_what_was_read(strict):
    first = proposed(strict, "PATCH", "/v1/admin/parameters/slate.size", {"default": 8})
    second = proposed(strict, "PATCH", "/v1/admin/parameters/slate.size", {"default": 9})
    assert approved(strict, second).status_code == 200
    answer = approved(strict, first)
    assert (answer.status_code, answer.json["code"]) == (409, "conflict")
    assert strict.call("GET", "/v1/admin/parameters/slate.size").json["default"] == 9
    assert strict.call("GET", f"/v1/admin/proposals/{first}").json["status"] == "open"


@pytest.mark.parametrize("error", [StoreUnavailable("the store is away"), ConfigurationMoved(1, 2)])
def test_a_change_that_was_not_stored_leaves_its_proposal_open(strict, monkeypatch, error):
    proposal = proposed(strict, "PATCH", "/v1/admin/parameters/slate.size", {"default": 8})

    def commit(*_, **__):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(strict.services.configuration, "commit", commit)
        assert approved(strict, proposal).status_code in (409, 503)
    assert strict.call("GET", f"/v1/admin/proposals/{proposal}").json["status"] == "open"
    assert approved(strict, proposal).status_code == 200
    assert approved(strict, proposal).status_code == 409
