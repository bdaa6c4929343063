"""Webhooks in SQL: the subscriptions, and the outbox that `enqueue` fills in the transaction of the change."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

import sqlalchemy as sa

from lamella.adapters.sql.admin_schema import delivery, webhook
from lamella.adapters.sql.engine import writing
from lamella.errors import NotFound
from lamella.experiments.model import Json
from lamella.services.admin_ports import Delivery, Webhook
from lamella.services.events import event_name, is_wanted

Change: TypeAlias = tuple[str, str, Json, Json]
"""Kind, key, before, after."""


def enqueue(
    connection: sa.Connection, changes: Iterable[Change], *, version: int, author: str, at: datetime, action: str
) -> None:
    """Writes a delivery for each change and each active webhook that wants it, in the caller's transaction."""
    common: dict[str, Json] = {"version": version, "author": author}
    told: list[dict[str, Json]] = [
        {"event": event_name(kind, action), **common, "kind": kind, "key": key, "before": before, "after": after}
        for kind, key, before, after in changes
    ]
    tell(connection, told, at=at)


def tell(connection: sa.Connection, events: Sequence[Mapping[str, Json]], *, at: datetime) -> None:
    """Writes a delivery for each event and each active webhook that wants it, in the caller's transaction."""
    if not events:
        return
    hooks = connection.execute(sa.select(webhook).where(webhook.c.is_active).order_by(webhook.c.created_at)).all()
    rows: list[dict[str, Any]] = [
        {
            "webhook": hook.id,
            "event": event["event"],
            "body": {**event, "at": at.isoformat()},
            "created_at": at,
            "due_at": at,
            "status": "pending",
            "tries": 0,
            "answer": "",
        }
        for event in events
        for hook in hooks
        if is_wanted(str(event["event"]), hook.events)
    ]
    if rows:
        connection.execute(sa.insert(delivery), rows)


class SqlWebhookStore:
    """The subscriptions and their outbox."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, hook: Webhook) -> None:
        """Keep a subscription."""
        values = {
            "id": hook.id,
            "url": hook.url,
            "events": list(hook.events),
            "secret": hook.secret,
            "created_at": hook.created_at,
            "created_by": hook.created_by,
            "is_active": hook.is_active,
        }
        with writing(self._engine) as connection:
            connection.execute(sa.insert(webhook).values(**values))

    def change(self, hook: Webhook) -> None:
        """Replace URL, events and whether it is active. Raises NotFound."""
        values = {"url": hook.url, "events": list(hook.events), "is_active": hook.is_active}
        with writing(self._engine) as connection:
            if not connection.execute(sa.update(webhook).where(webhook.c.id == hook.id).values(**values)).rowcount:
                raise NotFound("webhook", hook.id, next_step="GET /v1/admin/webhooks lists them")

    def remove(self, webhook_id: str) -> None:
        """Forget the subscription with its deliveries. Raises NotFound."""
        with writing(self._engine) as connection:
            connection.execute(sa.delete(delivery).where(delivery.c.webhook == webhook_id))
            if not connection.execute(sa.delete(webhook).where(webhook.c.id == webhook_id)).rowcount:
                raise NotFound("webhook", webhook_id, next_step="GET /v1/admin/webhooks lists them")

    def find(self, webhook_id: str) -> Webhook | None:
        """The subscription, or None."""
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(webhook).where(webhook.c.id == webhook_id)).mappings().one_or_none()
        return None if row is None else _hook(row)

    def all(self) -> Sequence[Webhook]:
        """Every subscription, oldest first."""
        statement = sa.select(webhook).order_by(webhook.c.created_at, webhook.c.id)
        with self._engine.connect() as connection:
            return [_hook(row) for row in connection.execute(statement).mappings()]

    def due(self, now: datetime, *, limit: int) -> Sequence[Delivery]:
        """Pending deliveries whose time has come, oldest first."""
        statement = sa.select(delivery).where(delivery.c.status == "pending", delivery.c.due_at <= now)
        with self._engine.connect() as connection:
            rows = connection.execute(statement.order_by(delivery.c.number).limit(limit)).mappings()
            return [Delivery(**row) for row in rows]

    def put(self, one: Delivery) -> None:
        """Replace status, tries, answer and due time of a delivery."""
        values = {"status": one.status, "tries": one.tries, "answer": one.answer, "due_at": one.due_at}
        with writing(self._engine) as connection:
            connection.execute(sa.update(delivery).where(delivery.c.number == one.number).values(**values))

    def forget(self, before: datetime) -> int:
        """Forget what was delivered or given up, of events before that moment; returns how many."""
        ended = sa.delete(delivery).where(delivery.c.status != "pending", delivery.c.created_at < before)
        with writing(self._engine) as connection:
            return connection.execute(ended).rowcount

    def deliveries(self, webhook_id: str, *, before: int | None = None, limit: int = 100) -> Sequence[Delivery]:
        """The deliveries of a subscription, newest first; those with a number below `before`."""
        statement = sa.select(delivery).where(delivery.c.webhook == webhook_id)
        if before is not None:
            statement = statement.where(delivery.c.number < before)
        with self._engine.connect() as connection:
            rows = connection.execute(statement.order_by(delivery.c.number.desc()).limit(limit)).mappings()
            return [Delivery(**row) for row in rows]


def _hook(row: sa.RowMapping) -> Webhook:
    return Webhook(**{**row, "events": tuple(row["events"])})
