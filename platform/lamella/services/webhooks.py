"""Webhooks: who is told of which events, what is sent, signed how, and when a failed try is made again.

At least once: a delivery is marked after it was answered, so a worker that dies in between sends it again under the
same id. Sent as JSON with `Lamella-Signature: t=SECONDS,v1=HEX`, where HEX is the HMAC-SHA256 of `SECONDS.BODY`, keyed
with the secret.
"""

import hashlib
import hmac
import json
import re
import secrets
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from lamella.errors import InvalidInput, LamellaError, NotFound
from lamella.services.admin_ports import Delivery, Sender, Webhook, WebhookStore
from lamella.services.events import PATTERN
from lamella.services.ports import Clock

SIGNATURE: Final = "Lamella-Signature"
MOST_TRIES: Final = 10
FIRST_WAIT: Final = timedelta(seconds=5)
LONGEST_WAIT: Final = timedelta(hours=6)
MOST_WEBHOOKS: Final = 100
KEPT: Final = timedelta(days=30)
"""How long a delivery that ended can be looked up."""
_LONGEST_URL: Final = 2_000
_CONTROL: Final = re.compile(r"[\x00-\x20\x7f]")


class Webhooks:
    """The subscriptions."""

    def __init__(
        self, store: WebhookStore, clock: Clock, *, random_text: Callable[[int], str] = secrets.token_urlsafe
    ) -> None:
        self._store, self._clock, self._random_text = store, clock, random_text

    def subscribe(self, url: str, events: Sequence[str], *, by: str) -> Webhook:
        """The new subscription, with its secret, which is not shown again. Raises InvalidInput."""
        faults = [*url_faults(url), *_event_faults(events)]
        if len(self._store.all()) >= MOST_WEBHOOKS:
            faults.append(f"there are {MOST_WEBHOOKS} webhooks already; delete one")
        if faults:
            raise InvalidInput(*faults)
        webhook = Webhook(
            id=uuid.uuid4().hex,
            url=url,
            events=tuple(dict.fromkeys(events)),
            secret="whsec_" + self._random_text(32),
            created_at=self._clock.now(),
            created_by=by,
        )
        self._store.add(webhook)
        return webhook

    def change(
        self,
        webhook_id: str,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        is_active: bool | None = None,
    ) -> Webhook:
        """The subscription with what is not None changed; its secret and what is under way stay.

        One that is not active gets no further events. Raises NotFound, InvalidInput.
        """
        before = self.find(webhook_id)
        faults = [*(url_faults(url) if url is not None else ()), *(_event_faults(events) if events is not None else ())]
        if faults:
            raise InvalidInput(*faults)
        after = replace(
            before,
            url=before.url if url is None else url,
            events=before.events if events is None else tuple(dict.fromkeys(events)),
            is_active=before.is_active if is_active is None else is_active,
        )
        self._store.change(after)
        return after

    def cancel(self, webhook_id: str) -> None:
        """Forgets the subscription with its deliveries. Raises NotFound."""
        self._store.remove(webhook_id)

    def find(self, webhook_id: str) -> Webhook:
        """The subscription. Raises NotFound."""
        found = self._store.find(webhook_id)
        if found is None:
            raise NotFound("webhook", webhook_id, next_step="GET /v1/admin/webhooks lists them")
        return found

    def all(self) -> Sequence[Webhook]:
        """Every subscription, oldest first."""
        return self._store.all()

    def deliveries(self, webhook_id: str, *, before: int | None, limit: int) -> Sequence[Delivery]:
        """The deliveries of a subscription, newest first. Raises NotFound."""
        self.find(webhook_id)
        return self._store.deliveries(webhook_id, before=before, limit=limit)


class Delivering:
    """Empties the outbox."""

    def __init__(self, store: WebhookStore, sender: Sender, clock: Clock) -> None:
        self._store, self._sender, self._clock = store, sender, clock

    def deliver(self, *, limit: int = 100) -> int:
        """How many deliveries were tried: each that is due, once."""
        due = self._store.due(self._clock.now(), limit=limit)
        for delivery in due:
            self._store.put(self._try(delivery))
        return len(due)

    def forget(self) -> int:
        """How many old deliveries were forgotten: delivered or given up, of events more than 30 days ago."""
        return self._store.forget(self._clock.now() - KEPT)

    def _try(self, delivery: Delivery) -> Delivery:
        webhook = self._store.find(delivery.webhook)
        now = self._clock.now()
        tried = replace(delivery, tries=delivery.tries + 1)
        if webhook is None:
            return replace(tried, status="dead", answer="the subscription is gone")
        body = json.dumps({"id": delivery.number, **delivery.body}, separators=(",", ":")).encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "lamella",
            "Lamella-Event": delivery.event,
            "Lamella-Delivery": str(delivery.number),
            SIGNATURE: signature(webhook.secret, body, now),
        }
        try:
            status = self._sender.send(webhook.url, body, headers)
        except LamellaError as error:
            return _again(tried, str(error), now)
        if 200 <= status < 300:
            return replace(tried, status="delivered", answer=f"HTTP {status}")
        return _again(tried, f"HTTP {status}", now)


def signature(secret: str, body: bytes, at: datetime) -> str:
    """What the receiver compares: it recomputes v1 over `t.body`, and refuses a t that is minutes away from its clock.

    >>> from datetime import UTC
    >>> signature("whsec_x", b"{}", datetime(2026, 3, 2, tzinfo=UTC))[:17]
    't=1772409600,v1=8'
    """
    seconds = str(int(at.timestamp()))
    digest = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"


def wait_after(tries: int) -> timedelta:
    """How long to wait after that many failed tries: 5 s, 10 s, 20 s, … up to six hours.

    >>> [wait_after(tries).seconds for tries in (1, 2, 3)], wait_after(99) == LONGEST_WAIT
    ([5, 10, 20], True)
    """
    return min(LONGEST_WAIT, FIRST_WAIT * (1 << min(tries - 1, 20)))


def url_faults(url: str) -> list[str]:
    """Why the URL cannot be a webhook's; whether its address may be reached is seen when something is sent."""
    if _CONTROL.search(url) or len(url) > _LONGEST_URL:
        return [f"url: holds spaces or control characters, or more than {_LONGEST_URL} characters"]
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return [f"url: {url!r} cannot be read; send https://host/path"]
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return [f"url: {url!r} is no http or https address; send https://host/path"]
    if parts.username is not None or parts.password is not None:
        return ["url: holds a user or password; check the signature instead"]
    return ["url: has port 0; leave it out or choose another"] if port == 0 else []


def _event_faults(events: Sequence[str]) -> list[str]:
    if not events:
        return ["events: is empty; send names such as 'experiment.start', 'experiment.*' or '*'"]
    return [
        f"events: {event!r} is no event; send a name such as 'experiment.start', 'experiment.*' or '*'"
        for event in events
        if not PATTERN.fullmatch(event)
    ]


def _again(tried: Delivery, answer: str, now: datetime) -> Delivery:
    if tried.tries >= MOST_TRIES:
        return replace(tried, status="dead", answer=answer[:500])
    return replace(tried, answer=answer[:500], due_at=now + wait_after(tried.tries))
