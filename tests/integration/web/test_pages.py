import re
from dataclasses import replace
from datetime import timedelta

import pytest

from insight_samples import VERSION, topical_model
from lamella.config import Settings
from lamella.testing.fakes import START
from lamella.web.app import SESSION_HOURS
from lamella.web.auth import PAGES, access_of

NEWS = {
    "key": "news-size",
    "layer": "news",
    "ranges": [{"start": 0, "stop": 10_000}],
    "variants": [
        {"key": "ten", "weight": 1, "is_control": True, "values": {"news.size": 10}},
        {"key": "twenty", "weight": 1, "values": {"news.size": 20}},
    ],
    "plan": {"primary_metric": "ctr"},
}
TWINS = {
    "/": "/v1/admin/experiments",
    "/experiments/<key>": "/v1/admin/experiments/<key>",
    "/models": "/v1/admin/models",
    "/models/<key>": "/v1/admin/models/<key>/insight",
}
"""The route of the admin API that shows what a page shows."""


@pytest.fixture
def guarded(make):
    return make(settings=Settings(host="0.0.0.0"))


@pytest.fixture
def shared(guarded, report_document):
    """Projects `default` with the experiment ranking-mf and its report, and `news` with news-size; a model, a run."""
    size = {"key": "news.size", "type": "integer", "default": 10, "layer": "news"}
    assert guarded.call("POST", "/v1/admin/layers", json={"key": "news", "project": "news"}).status_code == 201
    assert guarded.call("POST", "/v1/admin/parameters", json=size).status_code == 201
    assert guarded.call("POST", "/v1/admin/experiments", json=NEWS).status_code == 201
    assert guarded.call("POST", "/v1/admin/trainings", json={"kind": "mf", "name": "asked"}).status_code == 202
    guarded.services.analysis.save_report("ranking-mf", 1, START, report_document)
    guarded.services.models.add(VERSION)
    guarded.files.models["mf@3"] = topical_model()
    return guarded


def log_in(client, key, target="/"):
    return client.post("/login", data={"key": key, "next": target})


def test_on_loopback_the_pages_are_open_to_loopback_names_only(lab):
    assert lab.client().get("/").status_code == 200
    assert lab.client().get("/", base_url="http://127.0.0.1:8000").status_code == 200
    assert lab.client().get("/", base_url="http://[::1]:8000").status_code == 200
    assert lab.client().get("/", base_url="http://evil.example").status_code == 303


def test_elsewhere_every_page_sends_people_to_the_login_and_back(guarded):
    client = guarded.client()
    for path in ("/", "/models", "/experiments/ranking-mf"):
        answer = client.get(path)
        assert answer.status_code == 303
        assert answer.headers["Location"].startswith("/login?next=")
    answer = log_in(client, guarded.keys["viewer"], "/models")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/models")
    assert client.get("/models").status_code == 200


def test_the_session_cookie_is_signed_http_only_strict_and_holds_no_key(guarded):
    client = guarded.client()
    cookie = log_in(client, guarded.keys["viewer"]).headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Expires=" in cookie
    assert guarded.keys["viewer"] not in cookie
    with client.session_transaction() as session:
        assert guarded.keys["viewer"] not in repr(dict(session))
    assert SESSION_HOURS == 12


def test_a_forged_cookie_opens_nothing(guarded):
    client = guarded.client()
    log_in(client, guarded.keys["viewer"])
    cookie = client.get_cookie("lamella_session")
    assert cookie is not None
    client.set_cookie("lamella_session", cookie.value[:-3] + "abc")
    assert client.get("/").status_code == 303


@pytest.mark.parametrize("role", [None, "client"])
def test_a_bad_key_or_one_without_the_role_stays_outside(guarded, role):
    client = guarded.client()
    answer = log_in(client, guarded.keys[role] if role else "lam_nonsense")
    assert answer.status_code == (403 if role else 401)
    assert 'role="alert"' in answer.get_data(as_text=True)
    assert client.get("/").status_code == 303


def test_a_session_ends_with_its_key_and_with_a_log_out(guarded):
    client = guarded.client()
    log_in(client, guarded.keys["experimenter"])
    client.post("/logout")
    assert client.get("/").status_code == 303
    log_in(client, guarded.keys["experimenter"])
    assert client.get("/").status_code == 200
    guarded.services.keys.revoke("experimenter")
    assert client.get("/").status_code == 303


def test_a_session_stays_ended_when_a_new_key_has_the_name_of_its_own(guarded):
    client, keys = guarded.client(), guarded.services.keys
    log_in(client, guarded.keys["viewer"])
    stolen = client.get_cookie("lamella_session").value
    keys.revoke("viewer")
    key = keys.create("viewer", "viewer")
    assert client.get("/").status_code == 303
    client.set_cookie("lamella_session", stolen)
    assert client.get("/").status_code == 303
    log_in(client, key)
    assert client.get("/").status_code == 200


def test_a_session_ends_when_its_key_expires(guarded):
    client, clock = guarded.client(), guarded.services.clock
    log_in(client, guarded.services.keys.create("guest", "viewer", expires_at=clock.now() + timedelta(hours=1)))
    assert client.get("/").status_code == 200
    clock.move(timedelta(hours=1))
    assert client.get("/").status_code == 303


def test_a_session_that_names_no_key_opens_nothing(guarded):
    client = guarded.client()
    with client.session_transaction() as session:
        session["name"], session["role"] = "admin", "admin"
    assert client.get("/").status_code == 303


@pytest.mark.parametrize("role", ["viewer", "experimenter", "admin"])
def test_every_page_refuses_a_limited_key_where_the_admin_api_does(shared, role):
    key = shared.services.keys.create("team", role, projects=["news"])
    client, bearer = shared.client(), {"Authorization": f"Bearer {key}"}
    log_in(client, key)
    rules = shared.app.url_map.iter_rules()
    assert {rule.rule for rule in rules if access_of(shared.app, rule.endpoint) == PAGES} == set(TWINS)
    statuses = {}
    for page, twin in TWINS.items():
        for name in ("news-size", "ranking-mf", "mf@3", "nothing"):
            answer = client.get(page.replace("<key>", name))
            assert answer.status_code == client.get(twin.replace("<key>", name), headers=bearer).status_code
            assert answer.mimetype == "text/html"
            statuses[page, name] = answer.status_code
    assert [name for (_, name), status in statuses.items() if status == 403] == ["ranking-mf"]
    assert statuses["/experiments/<key>", "news-size"] == statuses["/models/<key>", "mf@3"] == 200
    assert statuses["/experiments/<key>", "nothing"] == 404


def test_a_limited_key_sees_the_experiments_of_its_projects_and_no_trainings(shared):
    limited, viewer = shared.client(), shared.client()
    log_in(limited, shared.services.keys.create("team", "viewer", projects=["news"]))
    log_in(viewer, shared.keys["viewer"])
    listed, models = limited.get("/").get_data(as_text=True), limited.get("/models").get_data(as_text=True)
    assert "news-size" in listed
    assert "ranking" not in listed
    assert "mf@3" in models
    assert "asked" not in models
    refused = limited.get("/experiments/ranking-mf").get_data(as_text=True)
    assert "reaches project news only" in refused
    assert "<article" not in refused
    all_listed = viewer.get("/").get_data(as_text=True)
    assert "news-size" in all_listed
    assert "ranking-mf" in all_listed
    assert "asked" in viewer.get("/models").get_data(as_text=True)
    assert "<article" in viewer.get("/experiments/ranking-mf").get_data(as_text=True)


def test_where_the_pages_are_open_they_show_every_project(lab):
    assert lab.call("POST", "/v1/admin/layers", json={"key": "news", "project": "news"}).status_code == 201
    lab.call("POST", "/v1/admin/trainings", json={"kind": "mf", "name": "asked"})
    assert "ranking-mf" in lab.client().get("/").get_data(as_text=True)
    assert lab.client().get("/experiments/ranking-mf").status_code == 200
    assert "asked" in lab.client().get("/models").get_data(as_text=True)


def asked(lab, status="queued"):
    """The address that cancels a training of this status."""
    run = lab.call("POST", "/v1/admin/trainings", json={"kind": "mf", "name": "asked"}).json
    lab.services.trainings.put(replace(lab.services.trainings.find(run["id"]), status=status))
    return f"/trainings/{run['id']}/cancel"


@pytest.mark.parametrize(("status", "left"), [("queued", "cancelled"), ("running", "cancelling")])
def test_the_cancel_button_cancels_and_leaves_a_row_in_the_audit_log(guarded, status, left):
    path, client = asked(guarded, status), guarded.client()
    log_in(client, guarded.keys["experimenter"])
    page = client.get("/models").get_data(as_text=True)
    assert f'<form method="post" action="{path}"' in page
    answer = client.post(path)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/models")
    page = client.get("/models").get_data(as_text=True)
    assert f'<span class="tag {left}">{left}</span>' in page
    assert path not in page
    assert {"cancelled": "已取消", "cancelling": "正在取消"}[left] in client.get("/models?lang=zh").get_data(
        as_text=True
    )
    row = guarded.call("GET", "/v1/admin/audit?limit=1").json["audit"][0]
    assert (row["actor"], row["path"], row["status"]) == ("experimenter", path, 303)


def test_a_training_that_has_ended_has_no_button_and_its_cancel_is_a_readable_409(guarded):
    path, client = asked(guarded, "done"), guarded.client()
    log_in(client, guarded.keys["admin"])
    assert path not in client.get("/models").get_data(as_text=True)
    answer = client.post(path)
    assert (answer.status_code, answer.mimetype) == (409, "text/html")
    assert "is done already" in answer.get_data(as_text=True)


def test_who_may_not_start_trainings_has_no_button_and_is_refused(guarded):
    path = asked(guarded)
    limited = guarded.services.keys.create("team", "admin", projects=["default"])
    for key in (guarded.keys["viewer"], limited):
        client = guarded.client()
        log_in(client, key)
        assert path not in client.get("/models").get_data(as_text=True)
        assert client.post(path).status_code == 403
    stranger = guarded.client().post(path)
    assert (stranger.status_code, stranger.headers["Location"]) == (303, "/login?next=/models")
    assert [run.status for run in guarded.services.trainings.all()] == ["queued"]


def test_pages_that_are_open_to_everybody_cancel_nothing_without_a_log_in(lab):
    path, client = asked(lab), lab.client()
    assert path not in client.get("/models").get_data(as_text=True)
    assert client.post(path).status_code == 303
    assert [run.status for run in lab.services.trainings.all()] == ["queued"]
    log_in(client, lab.keys["experimenter"])
    assert path in client.get("/models").get_data(as_text=True)
    assert client.post(f"{path}?lang=zh").headers["Location"] == "/models?lang=zh"
    assert [run.status for run in lab.services.trainings.all()] == ["cancelled"]


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil.example", "/\t/evil.example", ""]
)
def test_the_login_never_leads_to_another_site(guarded, target):
    assert log_in(guarded.client(), guarded.keys["viewer"], target).headers["Location"] == "/"


def test_the_first_page_lists_experiments_with_status_layer_days_and_verdict(lab):
    lab.call("POST", "/v1/admin/experiments/ranking-mf/start")
    lab.services.analysis.save_report(
        "ranking-mf", 1, START, {"as_of": START.isoformat(), "verdict": {"decision": "ship", "variant": "mf"}}
    )
    page = lab.client().get("/").get_data(as_text=True)
    for words in ("Rank by matrix factorisation", "running", "ranking", "0.0", "ship it", "mf", "2026-03-02 08:00 UTC"):
        assert words in page


def test_the_report_page_embeds_the_report(lab, report_document):
    lab.services.analysis.save_report("ranking-mf", 1, START, report_document)
    answer = lab.client().get("/experiments/ranking-mf")
    page = answer.get_data(as_text=True)
    assert answer.status_code == 200
    assert "<article" in page
    assert "<svg" in page
    assert "/report.css" in page


def test_an_experiment_without_a_report_says_so(lab):
    assert "No report yet" in lab.client().get("/experiments/ranking-mf").get_data(as_text=True)


def test_an_unknown_experiment_is_a_readable_404(lab):
    answer = lab.client().get("/experiments/nothing")
    assert (answer.status_code, answer.mimetype) == (404, "text/html")
    assert "nothing" in answer.get_data(as_text=True)


@pytest.mark.parametrize(
    ("path", "header", "language"),
    [
        ("/", "", "en"),
        ("/", "zh-CN,zh;q=0.9,en;q=0.5", "zh-Hans"),
        ("/", "fr", "en"),
        ("/?lang=zh", "en", "zh-Hans"),
        ("/?lang=en", "zh", "en"),
        ("/?lang=xx", "", "en"),
    ],
)
def test_the_language_is_asked_for_or_what_the_browser_prefers(lab, path, header, language):
    answer = lab.client().get(path, headers={"Accept-Language": header})
    assert answer.headers["Content-Language"] == language
    assert f'<html lang="{language}">' in answer.get_data(as_text=True)


def test_in_chinese_the_report_has_its_chinese_labels(lab, report_document):
    lab.services.analysis.save_report("ranking-mf", 1, START, report_document)
    page = lab.client().get("/experiments/ranking-mf?lang=zh").get_data(as_text=True)
    assert "点击率" in page
    assert "返回实验列表" in page


def test_no_page_has_a_script_an_inline_style_or_anything_from_another_server(lab, report_document):
    lab.services.analysis.save_report("ranking-mf", 1, START, report_document)
    for path in ("/", "/models", "/login", "/docs", "/experiments/ranking-mf"):
        answer = lab.client().get(path)
        page = answer.get_data(as_text=True)
        assert "<script" not in page, path
        assert not re.search(r"<[^>]+\sstyle=", page), path
        assert not re.search(r'(?:src|href|action)="(?:https?:)?//', page), path
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe-inline" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_what_people_wrote_is_escaped(lab):
    body = {
        "key": "sly",
        "layer": "recall",
        "name": "<script>alert(1)</script>",
        "ranges": [{"start": 0, "stop": 10}],
        "variants": [
            {"key": "a", "weight": 1, "is_control": True, "values": {"recall.count": 20}},
            {"key": "b", "weight": 1, "values": {"recall.count": 30}},
        ],
        "plan": {"primary_metric": "ctr"},
    }
    assert lab.call("POST", "/v1/admin/experiments", json=body).status_code == 201
    assert "<script" not in lab.client().get("/").get_data(as_text=True)
    assert "<script" not in lab.client().get("/experiments/sly").get_data(as_text=True)


def test_the_stylesheets_are_served(lab):
    for path in ("/static/lamella.css", "/report.css"):
        with lab.client().get(path) as answer:
            assert (answer.status_code, answer.mimetype) == (200, "text/css")


def test_the_documentation_page_shows_every_route_and_every_code(lab):
    page = lab.client().get("/docs").get_data(as_text=True)
    for path in lab.app.spec["paths"]:
        assert path in page
    assert 'id="buckets_taken"' in page
