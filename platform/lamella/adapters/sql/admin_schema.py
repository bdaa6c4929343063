"""The tables of the administration: audit log, kept answers, webhooks with their outbox, proposals."""

from typing import Any, Final

import sqlalchemy as sa

from lamella.adapters.sql.schema import metadata
from lamella.adapters.sql.types import Identity, UTCDateTime


def _required(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


audit: Final = sa.Table(
    "audit",
    metadata,
    sa.Column("number", Identity, primary_key=True),
    sa.Column("at", UTCDateTime, nullable=False, index=True),
    sa.Column("actor", sa.Text, nullable=False, index=True),
    _required("role", sa.Text),
    _required("address", sa.Text),
    _required("method", sa.Text),
    _required("route", sa.Text),
    _required("path", sa.Text),
    _required("request", sa.Text),
    sa.Column("status", sa.Integer),
    sa.Column("code", sa.Text),
    sqlite_autoincrement=True,
)
# `body` and what goes with it are None while the request is at work.
kept_answer: Final = sa.Table(
    "kept_answer",
    metadata,
    sa.Column("holder", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    _required("digest", sa.LargeBinary(32)),
    sa.Column("at", UTCDateTime, nullable=False, index=True),
    sa.Column("status", sa.Integer),
    sa.Column("headers", sa.JSON(none_as_null=True)),
    sa.Column("body", sa.LargeBinary),
)
webhook: Final = sa.Table(
    "webhook",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    _required("url", sa.Text),
    _required("events", sa.JSON),
    _required("secret", sa.Text),
    _required("created_at", UTCDateTime),
    _required("created_by", sa.Text),
    _required("is_active", sa.Boolean),
)
delivery: Final = sa.Table(
    "delivery",
    metadata,
    sa.Column("number", Identity, primary_key=True),
    sa.Column("webhook", sa.Text, sa.ForeignKey("webhook.id", ondelete="CASCADE"), nullable=False, index=True),
    _required("event", sa.Text),
    _required("body", sa.JSON),
    _required("created_at", UTCDateTime),
    _required("due_at", UTCDateTime),
    _required("status", sa.Text),
    _required("tries", sa.Integer),
    _required("answer", sa.Text),
    sa.Index(None, "status", "due_at"),
    sqlite_autoincrement=True,
)
proposal: Final = sa.Table(
    "proposal",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    _required("operation", sa.Text),
    _required("key", sa.Text),
    _required("body", sa.JSON),
    sa.Column("etag", sa.Text),
    _required("author", sa.Text),
    _required("created_at", UTCDateTime),
    _required("status", sa.Text),
    sa.Column("decided_by", sa.Text),
    sa.Column("decided_at", UTCDateTime),
)
