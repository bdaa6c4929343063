import re

import pytest
from apiflask import APIFlask

from lamella.errors import Forbidden
from lamella.services.keys import ROLES, Keys, digest_of
from lamella.testing.fakes import FakeClock, MemoryKeyStore
from lamella.web.auth import FORMS, PAGES, PUBLIC, access_of, install_auth, needs

PUBLIC_ROUTES = {
    "/preview/<token>",
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/login",
    "/logout",
    "/v1/lamella.js",
    "/report.css",
    "/static/<path:filename>",
}


def routes(app):
    """Every method and path of the application, with what it needs; placeholders are filled."""
    for rule in app.url_map.iter_rules():
        for method in sorted(rule.methods - {"HEAD", "OPTIONS"}):
            path = rule.rule.replace("<key>", "ranking-mf").replace("<name>", "viewer").replace("<run_id>", "none")
            path = path.replace("<path:filename>", "lamella.css")
            yield method, re.sub(r"<[^>]+>", "none", path), access_of(app, rule.endpoint)


def keyed_routes(app):
    return [(method, path, role) for method, path, role in routes(app) if role not in (PUBLIC, PAGES, FORMS)]


def test_only_the_listed_routes_are_public(lab):
    public = {rule.rule for rule in lab.app.url_map.iter_rules() if access_of(lab.app, rule.endpoint) == PUBLIC}
    assert public == PUBLIC_ROUTES


def test_every_route_that_is_not_public_refuses_a_missing_key(lab):
    for method, path, _ in keyed_routes(lab.app):
        answer = lab.client().open(path, method=method)
        assert answer.status_code == 401, (method, path)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_every_route_that_is_not_public_refuses_an_unknown_key(lab):
    for method, path, _ in keyed_routes(lab.app):
        answer = lab.client().open(path, method=method, headers={"Authorization": "Bearer lam_" + "A" * 43})
        assert (answer.status_code, answer.json["code"]) == (401, "unauthenticated"), (method, path)


def test_every_route_refuses_each_lower_role_and_lets_its_own_role_in(lab):
    for method, path, role in keyed_routes(lab.app):
        for lower in ROLES[: ROLES.index(role)]:
            answer = lab.call(method, path, role=lower)
            assert (answer.status_code, answer.json["code"]) == (403, "forbidden"), (method, path, lower)
        if method != "DELETE":
            assert lab.call(method, path, role=role).status_code not in (401, 403), (method, path)


def test_every_write_of_the_configuration_needs_an_experimenter_or_more(lab):
    for method, path, role in keyed_routes(lab.app):
        if path.startswith("/v1/admin") and method != "GET" and path != "/v1/admin/explain":
            assert role in ("experimenter", "approver", "admin"), (method, path)


def test_access_is_checked_before_the_body_is_read(lab):
    answer = lab.client().post("/v1/admin/layers", data="{", content_type="text/plain")
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "lam_" + "A" * 43, "Bearer lam_" + "A" * 42]
)
def test_a_malformed_authorization_header_is_refused(lab, header):
    answer = lab.client().get("/v1/admin/layers", headers={"Authorization": header})
    assert answer.status_code == 401


def test_a_revoked_key_is_refused_at_once(lab):
    assert lab.call("GET", "/v1/admin/layers", role="viewer").status_code == 200
    assert lab.call("DELETE", "/v1/admin/keys/viewer").status_code == 204
    assert lab.call("GET", "/v1/admin/layers", role="viewer").status_code == 401


def test_a_view_that_does_not_say_what_it_needs_stops_the_application(make):
    app = APIFlask("silent", docs_path=None, spec_path=None, static_folder=None)
    app.add_url_rule("/silent", view_func=lambda: "hello", endpoint="silent")
    with pytest.raises(ValueError, match="silent"):
        install_auth(app, make().services.keys, host="127.0.0.1")


def test_a_page_that_does_not_say_its_scope_is_for_keys_that_reach_every_project():
    keys = Keys(MemoryKeyStore(), FakeClock())
    app = APIFlask("silent", docs_path=None, spec_path=None, static_folder=None)
    app.secret_key = "secret"
    app.add_url_rule("/page", view_func=needs(PAGES)(lambda: "hello"), endpoint="page")
    app.register_error_handler(Forbidden, lambda error: (str(error), 403))
    install_auth(app, keys, host="0.0.0.0")
    for name, projects, status in (("all", None, 200), ("team", ["news"], 403)):
        digest = digest_of(keys.create(name, "admin", projects=projects))
        client = app.test_client()
        with client.session_transaction() as session:
            session["digest"] = digest.hex()
        assert client.get("/page").status_code == status


@pytest.mark.parametrize("path", ["/v1/snapshot", "/v1/recommendations?unit=ann"])
def test_the_scheme_of_a_key_has_no_case(lab, path):
    for scheme, status in (("bearer", 200), ("BEARER", 200), ("Bearer", 200), ("Basic", 401)):
        headers = {"Authorization": f"{scheme} {lab.keys['client']}"}
        assert lab.call("GET", path, headers=headers).status_code == status
