"""In-memory fakes of the administration's ports."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from lamella.errors import Conflict, NotFound
from lamella.services.admin_ports import Answer, Deed, Delivery, Kept, Proposal, Webhook
from lamella.services.idempotency import CLAIM_TIME, KEPT_TIME


class MemoryAuditLog:
    """The audit log as a list. Refuses while `failing` holds an error."""

    def __init__(self) -> None:
        self._deeds: list[Deed] = []
        self.failing: Exception | None = None

    def begin(self, deed: Deed) -> int:
        """Keeps the deed; returns its number."""
        if self.failing is not None:
            raise self.failing
        self._deeds.append(replace(deed, number=len(self._deeds) + 1))
        return len(self._deeds)

    def complete(self, number: int, *, status: int, code: str | None) -> None:
        """Writes how it ended."""
        self._deeds[number - 1] = replace(self._deeds[number - 1], status=status, code=code)

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
        found = [
            each
            for each in reversed(self._deeds)
            if actor in (None, each.actor)
            and route in (None, each.route)
            and path in (None, each.path)
            and (before is None or each.number < before)
        ]
        return found[:limit]


class MemoryAnswerStore:
    """Kept answers by holder and key."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], tuple[datetime, Kept]] = {}
        self._lock = threading.Lock()

    def claim(self, holder: str, key: str, digest: bytes, *, at: datetime) -> Kept | None:
        """None where the key was free and is now claimed; else what is known of it."""
        with self._lock:
            for name, (when, kept) in list(self._kept.items()):
                if when <= at - KEPT_TIME or (kept.answer is None and when <= at - CLAIM_TIME):
                    del self._kept[name]
            found = self._kept.get((holder, key))
            if found is None:
                self._kept[holder, key] = (at, Kept(digest=digest, answer=None))
            return None if found is None else found[1]

    def keep(self, holder: str, key: str, answer: Answer) -> None:
        """Keeps the answer of a claimed key."""
        with self._lock:
            if (holder, key) in self._kept:
                at, kept = self._kept[holder, key]
                self._kept[holder, key] = (at, replace(kept, answer=answer))

    def release(self, holder: str, key: str) -> None:
        """Makes the key free again."""
        with self._lock:
            self._kept.pop((holder, key), None)


class MemoryWebhookStore:
    """Subscriptions and deliveries. `tell` puts an event in the outbox, as the configuration's store would."""

    def __init__(self) -> None:
        self._hooks: dict[str, Webhook] = {}
        self._deliveries: dict[int, Delivery] = {}

    def add(self, webhook: Webhook) -> None:
        """Keeps a subscription."""
        self._hooks[webhook.id] = webhook

    def change(self, webhook: Webhook) -> None:
        """Replaces URL, events and whether it is active. Raises NotFound."""
        if webhook.id not in self._hooks:
            raise NotFound("webhook", webhook.id, next_step="GET /v1/admin/webhooks lists them")
        self._hooks[webhook.id] = webhook

    def remove(self, webhook_id: str) -> None:
        """Forgets the subscription with its deliveries. Raises NotFound."""
        if self._hooks.pop(webhook_id, None) is None:
            raise NotFound("webhook", webhook_id, next_step="GET /v1/admin/webhooks lists them")
        self._deliveries = {n: one for n, one in self._deliveries.items() if one.webhook != webhook_id}

    def find(self, webhook_id: str) -> Webhook | None:
        """The subscription, or None."""
        return self._hooks.get(webhook_id)

    def all(self) -> Sequence[Webhook]:
        """Every subscription, oldest first."""
        return sorted(self._hooks.values(), key=lambda each: (each.created_at, each.id))

    def tell(self, webhook_id: str, event: str, at: datetime) -> int:
        """The number of a new pending delivery."""
        number = max(self._deliveries, default=0) + 1
        self._deliveries[number] = Delivery(
            number=number, webhook=webhook_id, event=event, body={"event": event}, created_at=at, due_at=at
        )
        return number

    def due(self, now: datetime, *, limit: int) -> Sequence[Delivery]:
        """Pending deliveries whose time has come, oldest first."""
        return [one for one in self._deliveries.values() if one.status == "pending" and one.due_at <= now][:limit]

    def put(self, delivery: Delivery) -> None:
        """Replaces a delivery."""
        self._deliveries[delivery.number] = delivery

    def forget(self, before: datetime) -> int:
        """Forgets what ended, of events before that moment."""
        old = [n for n, one in self._deliveries.items() if one.status != "pending" and one.created_at < before]
        for number in old:
            del self._deliveries[number]
        return len(old)

    def deliveries(self, webhook_id: str, *, before: int | None = None, limit: int = 100) -> Sequence[Delivery]:
        """The deliveries of a subscription, newest first."""
        found = [
            one
            for one in reversed(self._deliveries.values())
            if one.webhook == webhook_id and (before is None or one.number < before)
        ]
        return found[:limit]


class MemoryProposalStore:
    """Proposals by id."""

    def __init__(self) -> None:
        self._proposals: dict[str, Proposal] = {}

    def add(self, proposal: Proposal) -> None:
        """Keeps a proposal."""
        self._proposals[proposal.id] = proposal

    def find(self, proposal_id: str) -> Proposal | None:
        """The proposal, or None."""
        return self._proposals.get(proposal_id)

    def all(self) -> Sequence[Proposal]:
        """Every proposal, newest first."""
        by_id = sorted(self._proposals.values(), key=lambda each: each.id)
        return sorted(by_id, key=lambda each: each.created_at, reverse=True)

    def decide(self, proposal_id: str, status: str, *, by: str, at: datetime) -> None:
        """Moves an open one. Raises Conflict, NotFound."""
        found = self._proposals.get(proposal_id)
        if found is None:
            raise NotFound("proposal", proposal_id, next_step="GET /v1/admin/proposals lists them")
        if found.status != "open":
            raise Conflict(f"proposal {proposal_id!r} is {found.status}, not open; nothing was changed")
        self._proposals[proposal_id] = replace(found, status=status, decided_by=by, decided_at=at)
