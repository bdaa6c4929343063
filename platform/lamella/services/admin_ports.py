"""What the administration needs from outside, as protocols: the audit log, kept answers, webhooks and proposals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from lamella.experiments.model import Json

# --- audit -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """One request that would change something, as the audit log keeps it.

    `status` and `code` say how it ended: None while it runs, and for good where the process died under it. `route` is
    the rule, `path` what was called; `actor` and `role` are the key's. `number` is 0 before it is kept.
    """

    at: datetime
    actor: str
    role: str
    address: str
    method: str
    route: str
    path: str
    request: str
    status: int | None = None
    code: str | None = None
    number: int = 0


class AuditLog(Protocol):
    """Who changed, or tried to change, what; rows are only ever added and completed."""

    def begin(self, deed: Deed) -> int:
        """Keep the deed; returns its number. Raises StoreUnavailable: nothing may then be done."""
        ...

    def complete(self, number: int, *, status: int, code: str | None) -> None:
        """Write how it ended."""
        ...

    def deeds(
        self,
        *,
        actor: str | None = None,
        route: str | None = None,
        path: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> Sequence[Deed]:
        """The newest first; those with a number below `before`."""
        ...


# --- kept answers ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP answer as it is kept for a repeat."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is known of an idempotency key: the digest of its request, and the answer (None while it is at work)."""

    digest: bytes
    answer: Answer | None


class AnswerStore(Protocol):
    """The answers to requests that carried an Idempotency-Key."""

    def claim(self, holder: str, key: str, digest: bytes, *, at: datetime) -> Kept | None:
        """None where the key of this holder was free and is now claimed; else what is known of it.

        Of claims at the same time, one gets None. Claims are forgotten after a day; one without an answer is free
        again after `CLAIM_SECONDS`, for its process may have died.
        """
        ...

    def keep(self, holder: str, key: str, answer: Answer) -> None:
        """Keep the answer of a claimed key."""
        ...

    def release(self, holder: str, key: str) -> None:
        """Make the key free again: nothing was done."""
        ...


# --- webhooks ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """Whom to tell about which events. `secret` signs what is sent; `events` are names, or patterns with `*`."""

    id: str
    url: str
    events: tuple[str, ...]
    secret: str
    created_at: datetime
    created_by: str
    is_active: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event on its way to one webhook.

    `status` is pending, delivered or dead; `answer` says how the last try went.
    """

    number: int
    webhook: str
    event: str
    body: Mapping[str, Json]
    created_at: datetime
    due_at: datetime
    status: str = "pending"
    tries: int = 0
    answer: str = ""


class WebhookStore(Protocol):
    """The subscriptions and their outbox; the store that keeps a change fills the outbox in the same transaction."""

    def add(self, webhook: Webhook) -> None:
        """Keep a subscription."""
        ...

    def change(self, webhook: Webhook) -> None:
        """Replace URL, events and whether it is active. Raises NotFound."""
        ...

    def remove(self, webhook_id: str) -> None:
        """Forget the subscription with its deliveries. Raises NotFound."""
        ...

    def find(self, webhook_id: str) -> Webhook | None:
        """The subscription, or None."""
        ...

    def all(self) -> Sequence[Webhook]:
        """Every subscription, oldest first."""
        ...

    def due(self, now: datetime, *, limit: int) -> Sequence[Delivery]:
        """Pending deliveries whose time has come, oldest first."""
        ...

    def put(self, delivery: Delivery) -> None:
        """Replace status, tries, answer and due time of a delivery."""
        ...

    def forget(self, before: datetime) -> int:
        """Forget what was delivered or given up, of events before that moment; returns how many."""
        ...

    def deliveries(self, webhook_id: str, *, before: int | None = None, limit: int = 100) -> Sequence[Delivery]:
        """The deliveries of a subscription, newest first; those with a number below `before`."""
        ...


class Sender(Protocol):
    """Sends one signed request to a webhook."""

    def send(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """The HTTP status of the answer; redirects are not followed. Raises Unavailable where there is none."""
        ...


# --- proposals ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A change that waits for a second person.

    `operation`, `key` and `body` say what is to be done. `status` is open, applied, rejected or withdrawn; `decided_by`
    and `decided_at` are None while it is open. `etag` names the experiment that it was made from, where it matters.
    """

    id: str
    operation: str
    key: str
    body: Mapping[str, Json]
    etag: str | None
    author: str
    created_at: datetime
    status: str = "open"
    decided_by: str | None = None
    decided_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """The open proposal that a change carries out, and who approved it."""

    proposal: str
    by: str


class ProposalStore(Protocol):
    """The proposals, open and decided."""

    def add(self, proposal: Proposal) -> None:
        """Keep a proposal."""
        ...

    def find(self, proposal_id: str) -> Proposal | None:
        """The proposal, or None."""
        ...

    def all(self) -> Sequence[Proposal]:
        """Every proposal, newest first."""
        ...

    def decide(self, proposal_id: str, status: str, *, by: str, at: datetime) -> None:
        """Move an open one. Raises Conflict where somebody decided first, NotFound."""
        ...
