"""The tables. `alembic/versions` makes them; `alembic check` proves that both say the same.

Configuration: configuration, domain, layer, parameter, experiment, phase, variant, holdout, metric, revision. Access:
api_key, secret. Intake: inbox, quarantine, slate_receipt, event_receipt. Dimension: arm, arm_member. Facts, partitioned
by month on PostgreSQL: slate, impression, click, read, interaction, custom; archived says which months left for files.
Derived in the transaction that stores the facts: exposure, unit_total, late_total. Units left out of analysis:
flagged_unit. Results: report, exploration. Items and models: item, model_version, training_run. The administration is
in `admin_schema`, the kept moments are in `kept_schema`, the shadows' sums in
`shadow_schema`, and what units read, by unit, in `history_schema`.
"""

from typing import Any, Final

import sqlalchemy as sa

from lamella.adapters.sql.types import Identity, Unit, UTCDateTime, required

REVISION: Final = "0015"
"""The newest migration: what `alembic_version` must say for this code to run."""
ONLY_SQLITE: Final = {"store": "sqlite"}
ONLY_POSTGRESQL: Final = {"store": "postgresql"}
"""The `info` of a table or an index that the other kind of store has not."""

metadata: Final = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


configuration: Final = sa.Table(
    "configuration",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    required("version", sa.BigInteger),
    required("killed", sa.Boolean),
    sa.CheckConstraint("id = 1", name="one_row"),
)


def _entity(name: str, *columns: sa.Column[Any]) -> sa.Table:
    return sa.Table(
        name,
        metadata,
        sa.Column("key", sa.Text, primary_key=True),
        required("position", sa.Integer),
        *columns,
        required("body", sa.JSON),
    )


layer: Final = _entity("layer")
parameter: Final = _entity("parameter", required("layer", sa.Text))
experiment: Final = _entity("experiment", required("layer", sa.Text), required("status", sa.Text))
domain: Final = _entity("domain")
holdout: Final = _entity("holdout")
metric: Final = _entity("metric")

secret: Final = sa.Table(
    "secret",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    required("value", sa.LargeBinary),
)

# Copies of what the experiments' bodies say, so that SQL can join the record with its phases.
phase: Final = sa.Table(
    "phase",
    metadata,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("experiment", sa.Text, sa.ForeignKey("experiment.key", ondelete="CASCADE"), nullable=False, index=True),
    required("number", sa.Integer),
    required("started_at", UTCDateTime),
    sa.Column("ended_at", UTCDateTime),
)
variant: Final = sa.Table(
    "variant",
    metadata,
    sa.Column("experiment", sa.Text, sa.ForeignKey("experiment.key", ondelete="CASCADE"), primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    required("position", sa.Integer),
    required("is_control", sa.Boolean),
    required("body", sa.JSON),
)

revision: Final = sa.Table(
    "revision",
    metadata,
    sa.Column("id", Identity, primary_key=True),
    required("version", sa.BigInteger),
    required("author", sa.Text),
    required("at", UTCDateTime),
    required("action", sa.Text),
    required("kind", sa.Text),
    required("key", sa.Text),
    sa.Column("before", sa.JSON(none_as_null=True)),
    sa.Column("after", sa.JSON(none_as_null=True)),
    sa.Index(None, "kind", "key"),
)

api_key: Final = sa.Table(
    "api_key",
    metadata,
    sa.Column("id", Identity, primary_key=True),
    required("name", sa.Text),
    required("role", sa.Text),
    sa.Column("digest", sa.LargeBinary(32), nullable=False, unique=True),
    required("created_at", UTCDateTime),
    sa.Column("revoked_at", UTCDateTime),
    sa.Column("expires_at", UTCDateTime),
    # None: every project.
    sa.Column("projects", sa.JSON(none_as_null=True)),
)
# A name is free again once its key is revoked.
sa.Index(
    "uq_api_key_name",
    api_key.c.name,
    unique=True,
    postgresql_where=api_key.c.revoked_at.is_(None),
    sqlite_where=api_key.c.revoked_at.is_(None),
)

# SQLite must never give a number twice: a worker deletes by number the batches that it has read.
inbox: Final = sa.Table(
    "inbox",
    metadata,
    sa.Column("id", Identity, primary_key=True),
    required("received_at", UTCDateTime),
    required("body", sa.LargeBinary),
    sqlite_autoincrement=True,
)

# `digest` names the record, so that a repeat of it is not kept twice; `request` only where the slate may yet come;
# `unit` where the record says one.
quarantine: Final = sa.Table(
    "quarantine",
    metadata,
    sa.Column("digest", sa.LargeBinary(16), primary_key=True),
    sa.Column("request", sa.LargeBinary(16), index=True),
    required("at", UTCDateTime),
    required("reason", sa.Text),
    required("detail", sa.Text),
    required("kind", sa.Text),
    required("key", sa.Text),
    required("body", sa.LargeBinary),
    sa.Column("unit", Unit, index=True),
)

# What was stored already. `digest` is BLAKE2b-128 of the request id or the event id. Digests scatter, so that each new
# receipt is written to a page of its own: the narrower, the fewer the pages.
slate_receipt: Final = sa.Table(
    "slate_receipt",
    metadata,
    sa.Column("digest", sa.LargeBinary(16), primary_key=True),
    required("arm", sa.Integer),
    required("unit", Unit),
    sqlite_with_rowid=False,
)
event_receipt: Final = sa.Table(
    "event_receipt",
    metadata,
    sa.Column("digest", sa.LargeBinary(16), primary_key=True),
    sqlite_with_rowid=False,
)

arm: Final = sa.Table(
    "arm",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("signature", sa.Text, nullable=False, unique=True),
)
arm_member: Final = sa.Table(
    "arm_member",
    metadata,
    sa.Column("arm", sa.Integer, sa.ForeignKey("arm.id"), primary_key=True),
    sa.Column("phase", sa.BigInteger, primary_key=True, index=True),
    required("variant", sa.Text),
    required("counted", sa.Boolean),
)


def _by_time(fact: str) -> sa.Index:
    """The index of a fact on PostgreSQL: for each stretch of blocks, the earliest and the latest time."""
    brin = sa.Index(f"ix_{fact}_time", "time", postgresql_using="brin", info=ONLY_POSTGRESQL)
    return brin.ddl_if(dialect="postgresql")


def _fact(name: str, key: tuple[str, ...], *columns: sa.Column[Any]) -> sa.Table:
    # Time leads the key: new rows are appended, and a stretch of time is one range. PostgreSQL keeps no index of the
    # key, which would cost as much as the rows: receipts say what is known, and blocks know their times (BRIN).
    return sa.Table(
        name,
        metadata,
        required("time", UTCDateTime),
        required("request_id", sa.Text),
        required("unit", Unit),
        required("arm", sa.Integer),
        *columns,
        sa.PrimaryKeyConstraint("time", *key).ddl_if(dialect="sqlite"),
        _by_time(name),
        postgresql_partition_by="RANGE (time)",
        sqlite_with_rowid=False,
    )


slate: Final = _fact(
    "slate",
    ("request_id",),
    required("snapshot", sa.BigInteger),
    required("items", sa.Integer),
    required("latency_ms", sa.Double),
    required("models", sa.JSON),
    required("fallbacks", sa.JSON),
    required("context", sa.JSON),
)
impression: Final = _fact(
    "impression",
    ("request_id", "rank"),
    required("item", sa.Text),
    required("rank", sa.SmallInteger),
    required("score", sa.Double),
    required("source", sa.Text),
    required("propensity", sa.Double),
)
click: Final = _fact("click", ("event_id",), required("event_id", sa.Text), required("item", sa.Text))
read: Final = _fact(
    "read",
    ("event_id",),
    required("event_id", sa.Text),
    required("item", sa.Text),
    required("read_seconds", sa.Double),
    sa.Column("completion", sa.Double),
)
interaction: Final = _fact(
    "interaction",
    ("event_id",),
    required("event_id", sa.Text),
    required("item", sa.Text),
    required("action", sa.Text),
)
# What a unit read last, for the models that look at it; on SQLite see `history_schema`.
sa.Index(None, read.c.unit, read.c.time, info=ONLY_POSTGRESQL).ddl_if(dialect="postgresql")
sa.Index(None, click.c.unit, click.c.time, info=ONLY_POSTGRESQL).ddl_if(dialect="postgresql")
# Without a request there is no arm: such an event counts for each phase that its unit had met by then.
custom: Final = sa.Table(
    "custom",
    metadata,
    required("time", UTCDateTime),
    sa.Column("request_id", sa.Text),
    required("unit", Unit),
    sa.Column("arm", sa.Integer),
    required("event_id", sa.Text),
    sa.Column("item", sa.Text),
    required("name", sa.Text),
    required("value", sa.Double),
    sa.PrimaryKeyConstraint("time", "event_id").ddl_if(dialect="sqlite"),
    _by_time("custom"),
    postgresql_partition_by="RANGE (time)",
    sqlite_with_rowid=False,
)
FACTS: Final = (slate, impression, click, read, interaction, custom)

# Units that no analysis counts: `reason` is bot or internal, `detail` the rule or the person that said so.
flagged_unit: Final = sa.Table(
    "flagged_unit",
    metadata,
    sa.Column("unit", Unit, primary_key=True),
    required("reason", sa.Text),
    required("detail", sa.Text),
    required("at", UTCDateTime),
    sqlite_with_rowid=False,
)

exposure: Final = sa.Table(
    "exposure",
    metadata,
    sa.Column("phase", sa.BigInteger, primary_key=True),
    sa.Column("unit", Unit, primary_key=True),
    required("variant", sa.Text),
    required("first_at", UTCDateTime),
    required("first_day", sa.Date),
    required("counted", sa.Boolean),
    required("crossed", sa.Boolean),
    sqlite_with_rowid=False,
    postgresql_with={"fillfactor": 90},
)
# Seconds and completion are whole millionths: integer sums are exact in whatever order the records come.
unit_total: Final = sa.Table(
    "unit_total",
    metadata,
    sa.Column("unit", Unit, primary_key=True),
    sa.Column("arm", sa.Integer, primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    required("slates", sa.Integer),
    required("fallback_slates", sa.Integer),
    required("impressions", sa.Integer),
    required("clicks", sa.Integer),
    required("reads", sa.Integer),
    required("read_micros", sa.BigInteger),
    required("completion_micros", sa.BigInteger),
    required("completion_reads", sa.Integer),
    required("comments", sa.Integer),
    required("shares", sa.Integer),
    required("interactions", sa.Integer),
    sqlite_with_rowid=False,
    # A busy day's rows are updated by each ingest: with room on the page, no index has to learn of it.
    postgresql_with={"fillfactor": 70},
)
TOTALS: Final = tuple(c.name for c in unit_total.columns if not c.primary_key)

# How many records were stored more than an hour after they happened, by the arm that they belong to.
late_total: Final = sa.Table(
    "late_total",
    metadata,
    sa.Column("arm", sa.Integer, primary_key=True, autoincrement=False),
    required("records", sa.BigInteger),
)
# The stretches of a fact that were moved to files: `digest` is the SHA-256 of the file at `path`, under the archive.
archived: Final = sa.Table(
    "archived",
    metadata,
    sa.Column("fact", sa.Text, primary_key=True),
    sa.Column("path", sa.Text, primary_key=True),
    required("since", UTCDateTime),
    required("until", UTCDateTime),
    required("rows", sa.BigInteger),
    required("digest", sa.Text),
    required("at", UTCDateTime),
)

report: Final = sa.Table(
    "report",
    metadata,
    sa.Column("id", Identity, primary_key=True),
    required("experiment", sa.Text),
    required("phase", sa.BigInteger),
    required("number", sa.Integer),
    required("as_of", UTCDateTime),
    required("document", sa.JSON),
    sa.UniqueConstraint("experiment", "phase", "number"),
)
# The explored parts of the newest report: they are replaced, while reports are kept.
exploration: Final = sa.Table(
    "exploration",
    metadata,
    sa.Column("experiment", sa.Text, primary_key=True),
    required("phase", sa.BigInteger),
    required("document", sa.JSON),
)
item: Final = sa.Table(
    "item",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    required("title", sa.Text),
    required("published_at", UTCDateTime),
    required("attributes", sa.JSON),
)
model_version: Final = sa.Table(
    "model_version",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    required("kind", sa.Text),
    required("created_at", UTCDateTime),
    required("digest", sa.Text),
    required("size_bytes", sa.BigInteger),
    required("hyperparameters", sa.JSON),
    required("metrics", sa.JSON),
    required("stamp", sa.JSON),
    required("stage", sa.Text),
    required("share", sa.Double),
    required("reason", sa.Text),
    sa.Column("staged_at", UTCDateTime),
)
training_run: Final = sa.Table(
    "training_run",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    required("kind", sa.Text),
    required("name", sa.Text),
    required("hyperparameters", sa.JSON),
    required("seed", sa.BigInteger),
    required("status", sa.Text),
    required("progress", sa.Double),
    required("message", sa.Text),
    required("requested_at", UTCDateTime),
    required("requested_by", sa.Text),
    sa.Column("reference", sa.Text),
    sa.Column("source", sa.JSON, nullable=False, server_default="{}"),
    sa.Column("stage", sa.Text, nullable=False, server_default="live"),
)
