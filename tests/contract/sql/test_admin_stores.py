"""The administration's stores: the fakes, SQLite and PostgreSQL keep the same promises."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from lamella.adapters.sql.answers import SqlAnswerStore
from lamella.adapters.sql.audit import SqlAuditLog
from lamella.adapters.sql.engine import create_engine
from lamella.adapters.sql.proposals import SqlProposalStore
from lamella.adapters.sql.webhooks import SqlWebhookStore
from lamella.errors import Conflict, NotFound
from lamella.services.admin_ports import (
    Answer,
    AnswerStore,
    AuditLog,
    Deed,
    Kept,
    Proposal,
    ProposalStore,
    Webhook,
    WebhookStore,
)
from lamella.testing.admin import MemoryAnswerStore, MemoryAuditLog, MemoryProposalStore, MemoryWebhookStore

AT = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
DEED = Deed(
    at=AT,
    actor="ann",
    role="admin",
    address="127.0.0.1",
    method="POST",
    route="/v1/admin/layers",
    path="/v1/admin/layers",
    request="r1",
)
HOOK = Webhook(id="h1", url="https://example.org/x", events=("*",), secret="s", created_at=AT, created_by="ann")
PROPOSAL = Proposal(id="p1", operation="start", key="ranking-mf", body={}, etag="e", author="ann", created_at=AT)
ANSWER = Answer(status=201, headers={"ETag": '"x"'}, body=b'{"a": 1}')


@dataclass(frozen=True)
class AdminStores:
    audit: AuditLog
    answers: AnswerStore
    webhooks: WebhookStore
    proposals: ProposalStore


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def admin(request: pytest.FixtureRequest) -> Iterator[AdminStores]:
    if request.param == "memory":
        yield AdminStores(MemoryAuditLog(), MemoryAnswerStore(), MemoryWebhookStore(), MemoryProposalStore())
        return
    name = {"sqlite": "sqlite_database_url", "postgresql": "pg_database_url"}[request.param]
    engine = create_engine(request.getfixturevalue(name))
    yield AdminStores(SqlAuditLog(engine), SqlAnswerStore(engine), SqlWebhookStore(engine), SqlProposalStore(engine))
    engine.dispose()


def test_a_deed_is_kept_before_it_ends_and_completed_after(admin):
    number = admin.audit.begin(DEED)
    assert admin.audit.deeds() == [replace(DEED, number=number)]
    admin.audit.complete(number, status=409, code="conflict")
    assert admin.audit.deeds() == [replace(DEED, number=number, status=409, code="conflict")]


def test_deeds_are_the_newest_first_and_filtered(admin):
    numbers = [admin.audit.begin(replace(DEED, actor=actor)) for actor in ("ann", "bob", "ann")]
    assert [each.number for each in admin.audit.deeds()] == numbers[::-1]
    assert [each.number for each in admin.audit.deeds(actor="ann", before=numbers[2])] == [numbers[0]]
    assert admin.audit.deeds(route="/other") == []
    assert len(admin.audit.deeds(path=DEED.path, limit=2)) == 2


def test_a_key_is_claimed_once_and_its_answer_kept(admin):
    assert admin.answers.claim("ann", "k", b"d" * 32, at=AT) is None
    assert admin.answers.claim("ann", "k", b"d" * 32, at=AT) == Kept(digest=b"d" * 32, answer=None)
    assert admin.answers.claim("bob", "k", b"d" * 32, at=AT) is None
    admin.answers.keep("ann", "k", ANSWER)
    assert admin.answers.claim("ann", "k", b"e" * 32, at=AT) == Kept(digest=b"d" * 32, answer=ANSWER)


def test_a_released_or_forgotten_key_is_free(admin):
    admin.answers.claim("ann", "k", b"d" * 32, at=AT)
    admin.answers.release("ann", "k")
    assert admin.answers.claim("ann", "k", b"d" * 32, at=AT) is None
    # Its process died: the claim alone lasts a minute.
    assert admin.answers.claim("ann", "k", b"d" * 32, at=AT + timedelta(seconds=59)) is not None
    assert admin.answers.claim("ann", "k", b"d" * 32, at=AT + timedelta(seconds=61)) is None
    admin.answers.keep("ann", "k", ANSWER)
    assert admin.answers.claim("ann", "k", b"d" * 32, at=AT + timedelta(hours=23)) is not None
    assert admin.answers.claim("ann", "k", b"d" * 32, at=AT + timedelta(hours=25)) is None


def test_of_claims_at_the_same_time_one_wins(admin):
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: admin.answers.claim("ann", "k", b"d" * 32, at=AT), range(8)))
    assert found.count(None) == 1


def test_a_webhook_is_kept_found_and_forgotten(admin):
    admin.webhooks.add(HOOK)
    admin.webhooks.add(replace(HOOK, id="h2", created_at=AT + timedelta(seconds=1)))
    assert [each.id for each in admin.webhooks.all()] == ["h1", "h2"]
    assert admin.webhooks.find("h1") == HOOK
    admin.webhooks.remove("h1")
    assert admin.webhooks.find("h1") is None
    with pytest.raises(NotFound, match="'h1'"):
        admin.webhooks.remove("h1")


def test_a_proposal_is_decided_once(admin):
    admin.proposals.add(PROPOSAL)
    admin.proposals.add(replace(PROPOSAL, id="p2", created_at=AT + timedelta(seconds=1), body={"share": 0.5}))
    assert [each.id for each in admin.proposals.all()] == ["p2", "p1"]
    admin.proposals.decide("p1", "applied", by="bob", at=AT)
    assert admin.proposals.find("p1") == replace(PROPOSAL, status="applied", decided_by="bob", decided_at=AT)
    with pytest.raises(Conflict, match="applied, not open"):
        admin.proposals.decide("p1", "rejected", by="eve", at=AT)
    with pytest.raises(NotFound, match="'p9'"):
        admin.proposals.decide("p9", "applied", by="bob", at=AT)


def test_a_webhook_is_changed(admin):
    admin.webhooks.add(HOOK)
    changed = replace(HOOK, url="https://example.org/y", events=("verdict.*", "layer.create"), is_active=False)
    admin.webhooks.change(changed)
    assert admin.webhooks.find("h1") == changed
    with pytest.raises(NotFound, match="'h9'"):
        admin.webhooks.change(replace(HOOK, id="h9"))
