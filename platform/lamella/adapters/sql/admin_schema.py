"""The tables of the administration: audit log, kept answers, webhooks with their outbox, proposals."""

from typing import Final

import sqlalchemy as sa

from lamella.adapters.sql.schema import metadata
from lamella.adapters.sql.types import Identity, UTCDateTime, required

audit: Final = sa.Table(
    "audit",
    metadata,
    sa.Column("number", Identity, primary_key=True),
    sa.Column("at", UTCDateTime, nullable=False, index=True),
    sa.Column("actor", sa.Text, nullable=False, index=True),
    required("role", sa.Text),
    required("address", sa.Text),
    required("method", sa.Text),
    required("route", sa.Text),
    required("path", sa.Text),
    required("request", sa.Text),
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
    required("digest", sa.LargeBinary(32)),
    sa.Column("at", UTCDateTime, nullable=False, index=True),
    sa.Column("status", sa.Integer),
    sa.Column("headers", sa.JSON(none_as_null=True)),
    sa.Column("body", sa.LargeBinary),
)
webhook: Final = sa.Table(
    "webhook",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    required("url", sa.Text),
    required("events", sa.JSON),
    required("secret", sa.Text),
    required("created_at", UTCDateTime),
    required("created_by", sa.Text),
    required("is_active", sa.Boolean),
)
delivery: Final = sa.Table(
    "delivery",
    metadata,
    sa.Column("number", Identity, primary_key=True),
    sa.Column("webhook", sa.Text, sa.ForeignKey("webhook.id", ondelete="CASCADE"), nullable=False, index=True),
    required("event", sa.Text),
    required("body", sa.JSON),
    required("created_at", UTCDateTime),
    required("due_at", UTCDateTime),
    required("status", sa.Text),
    required("tries", sa.Integer),
    required("answer", sa.Text),
    sa.Index(None, "status", "due_at"),
    sqlite_autoincrement=True,
)
proposal: Final = sa.Table(
    "proposal",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    required("operation", sa.Text),
    required("key", sa.Text),
    required("body", sa.JSON),
    sa.Column("etag", sa.Text),
    required("author", sa.Text),
    required("created_at", UTCDateTime),
    required("status", sa.Text),
    sa.Column("decided_by", sa.Text),
    sa.Column("decided_at", UTCDateTime),
)
