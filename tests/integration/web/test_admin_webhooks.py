import pytest

BODY = {"url": "https://example.org/hook", "events": ["experiment.*", "layer.create"]}


def test_a_webhook_is_made_listed_and_removed_and_its_secret_is_shown_once(lab):
    made = lab.call("POST", "/v1/admin/webhooks", json=BODY)
    assert made.status_code == 201
    assert made.headers["Cache-Control"] == "no-store"
    assert made.json["secret"].startswith("whsec_")
    where = f"/v1/admin/webhooks/{made.json['id']}"
    for path in ("/v1/admin/webhooks", where):
        assert made.json["secret"] not in lab.call("GET", path).get_data(as_text=True)
    assert lab.call("GET", f"{where}/deliveries").json == {"deliveries": [], "next_cursor": None}
    assert lab.call("DELETE", where).status_code == 204
    assert lab.call("DELETE", where).status_code == 404
    assert lab.call("GET", f"{where}/deliveries").status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {**BODY, "url": "ftp://example.org/x"},
        {**BODY, "url": "file:///etc/passwd"},
        {**BODY, "url": "example.org"},
        {**BODY, "url": "https://ann:secret@example.org/"},
        {**BODY, "url": "https://example.org/\r\nHost: other"},
        {**BODY, "url": "https://[::1"},
        {**BODY, "events": []},
        {**BODY, "events": ["everything happens"]},
    ],
)
def test_a_webhook_that_could_not_be_sent_is_refused(lab, body):
    answer = lab.call("POST", "/v1/admin/webhooks", json=body)
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_input")
    assert lab.call("GET", "/v1/admin/webhooks").json["webhooks"] == []


def test_a_webhook_is_changed_and_keeps_its_secret(lab):
    made = lab.call("POST", "/v1/admin/webhooks", json=BODY).json
    where = f"/v1/admin/webhooks/{made['id']}"
    before = lab.services.webhooks.find(made["id"])
    changed = lab.call("PATCH", where, json={"events": ["verdict.*"], "is_active": False})
    assert changed.status_code == 200
    assert (changed.json["events"], changed.json["is_active"], changed.json["url"]) == (
        ["verdict.*"],
        False,
        BODY["url"],
    )
    assert "secret" not in changed.json
    assert lab.services.webhooks.find(made["id"]).secret == before.secret
    assert lab.call("PATCH", where, json={"url": "https://example.org/other"}).json["is_active"] is False
    assert lab.call("GET", where).json["url"] == "https://example.org/other"


def test_an_unusable_change_of_a_webhook_is_refused_and_changes_nothing(lab):
    where = f"/v1/admin/webhooks/{lab.call('POST', '/v1/admin/webhooks', json=BODY).json['id']}"
    before = lab.call("GET", where).json
    for body in ({"url": "ftp://x"}, {"events": []}, {"events": ["no event"]}, {"secret": "mine"}):
        assert lab.call("PATCH", where, json=body).status_code == 400
    assert lab.call("GET", where).json == before
    assert lab.call("PATCH", "/v1/admin/webhooks/none", json={"is_active": True}).status_code == 404
