"""The record, the configuration and the models.

Revision: 0001
Follows: nothing.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
IDENTITY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
FACTS = ("slate", "impression", "click", "read", "interaction")


def upgrade() -> None:
    op.create_table(
        "api_key",
        sa.Column("id", IDENTITY, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("revoked_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_key_digest")),
    )
    op.create_index(
        "uq_api_key_name",
        "api_key",
        ["name"],
        unique=True,
        postgresql_where=sa.text("revoked_at IS NULL"),
        sqlite_where=sa.text("revoked_at IS NULL"),
    )
    op.create_table(
        "arm",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_arm")),
        sa.UniqueConstraint("signature", name=op.f("uq_arm_signature")),
    )
    op.create_table(
        "click",
        sa.Column("time", MOMENT, nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("arm", sa.Integer(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("item", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("time", "event_id", name=op.f("pk_click")),
        postgresql_partition_by="RANGE (time)",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "configuration",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("killed", sa.Boolean(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_configuration_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_configuration")),
    )
    op.create_table(
        "event_receipt",
        sa.Column("digest", sa.LargeBinary(length=16), nullable=False),
        sa.Column("time", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_event_receipt")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "experiment",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("layer", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_experiment")),
    )
    op.create_table(
        "exposure",
        sa.Column("phase", sa.BigInteger(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("variant", sa.Text(), nullable=False),
        sa.Column("first_at", MOMENT, nullable=False),
        sa.Column("first_day", sa.Date(), nullable=False),
        sa.Column("counted", sa.Boolean(), nullable=False),
        sa.Column("crossed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("phase", "unit", name=op.f("pk_exposure")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "impression",
        sa.Column("time", MOMENT, nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("arm", sa.Integer(), nullable=False),
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("rank", sa.SmallInteger(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("propensity", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("time", "request_id", "rank", name=op.f("pk_impression")),
        postgresql_partition_by="RANGE (time)",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "inbox",
        sa.Column("id", IDENTITY, nullable=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbox")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "interaction",
        sa.Column("time", MOMENT, nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("arm", sa.Integer(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("time", "event_id", name=op.f("pk_interaction")),
        postgresql_partition_by="RANGE (time)",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "item",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("published_at", MOMENT, nullable=False),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_item")),
    )
    op.create_table(
        "layer",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_layer")),
    )
    op.create_table(
        "model_version",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("hyperparameters", sa.JSON(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("stamp", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("name", "number", name=op.f("pk_model_version")),
    )
    op.create_table(
        "parameter",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("layer", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_parameter")),
    )
    op.create_table(
        "quarantine",
        sa.Column("digest", sa.LargeBinary(length=16), nullable=False),
        sa.Column("request", sa.LargeBinary(length=16), nullable=True),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_quarantine")),
    )
    op.create_index(op.f("ix_quarantine_request"), "quarantine", ["request"], unique=False)
    op.create_table(
        "read",
        sa.Column("time", MOMENT, nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("arm", sa.Integer(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("read_seconds", sa.Double(), nullable=False),
        sa.Column("completion", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("time", "event_id", name=op.f("pk_read")),
        postgresql_partition_by="RANGE (time)",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "report",
        sa.Column("id", IDENTITY, nullable=False),
        sa.Column("experiment", sa.Text(), nullable=False),
        sa.Column("phase", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("as_of", MOMENT, nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_report")),
        sa.UniqueConstraint("experiment", "phase", "number", name=op.f("uq_report_experiment_phase_number")),
    )
    op.create_table(
        "revision",
        sa.Column("id", IDENTITY, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("before", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("after", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_revision")),
    )
    op.create_index(op.f("ix_revision_kind_key"), "revision", ["kind", "key"], unique=False)
    op.create_table(
        "slate",
        sa.Column("time", MOMENT, nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("arm", sa.Integer(), nullable=False),
        sa.Column("snapshot", sa.BigInteger(), nullable=False),
        sa.Column("items", sa.Integer(), nullable=False),
        sa.Column("latency_ms", sa.Double(), nullable=False),
        sa.Column("models", sa.JSON(), nullable=False),
        sa.Column("fallbacks", sa.JSON(), nullable=False),
        sa.Column("context", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("time", "request_id", name=op.f("pk_slate")),
        postgresql_partition_by="RANGE (time)",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "slate_receipt",
        sa.Column("digest", sa.LargeBinary(length=16), nullable=False),
        sa.Column("time", MOMENT, nullable=False),
        sa.Column("arm", sa.Integer(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_slate_receipt")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "training_run",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hyperparameters", sa.JSON(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("progress", sa.Double(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("requested_at", MOMENT, nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_training_run")),
    )
    op.create_table(
        "unit_total",
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("arm", sa.Integer(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("slates", sa.Integer(), nullable=False),
        sa.Column("fallback_slates", sa.Integer(), nullable=False),
        sa.Column("impressions", sa.Integer(), nullable=False),
        sa.Column("clicks", sa.Integer(), nullable=False),
        sa.Column("reads", sa.Integer(), nullable=False),
        sa.Column("read_micros", sa.BigInteger(), nullable=False),
        sa.Column("completion_micros", sa.BigInteger(), nullable=False),
        sa.Column("completion_reads", sa.Integer(), nullable=False),
        sa.Column("comments", sa.Integer(), nullable=False),
        sa.Column("shares", sa.Integer(), nullable=False),
        sa.Column("interactions", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("unit", "arm", "day", name=op.f("pk_unit_total")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "arm_member",
        sa.Column("arm", sa.Integer(), nullable=False),
        sa.Column("phase", sa.BigInteger(), nullable=False),
        sa.Column("variant", sa.Text(), nullable=False),
        sa.Column("counted", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["arm"], ["arm.id"], name=op.f("fk_arm_member_arm_arm")),
        sa.PrimaryKeyConstraint("arm", "phase", name=op.f("pk_arm_member")),
    )
    op.create_index(op.f("ix_arm_member_phase"), "arm_member", ["phase"], unique=False)
    op.create_table(
        "phase",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("experiment", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["experiment"], ["experiment.key"], name=op.f("fk_phase_experiment_experiment"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_phase")),
    )
    op.create_index(op.f("ix_phase_experiment"), "phase", ["experiment"], unique=False)
    op.create_table(
        "variant",
        sa.Column("experiment", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("is_control", sa.Boolean(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["experiment"], ["experiment.key"], name=op.f("fk_variant_experiment_experiment"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("experiment", "key", name=op.f("pk_variant")),
    )
    configuration = sa.table("configuration", sa.column("id"), sa.column("version"), sa.column("killed", sa.Boolean()))
    op.bulk_insert(configuration, [{"id": 1, "version": 0, "killed": False}])
    if op.get_bind().dialect.name == "postgresql":
        # The months are made as the record reaches them; this one takes what lies outside all of them.
        for fact in FACTS:
            op.execute(f"CREATE TABLE {fact}_default PARTITION OF {fact} DEFAULT")


def downgrade() -> None:
    op.drop_table("variant")
    op.drop_index(op.f("ix_phase_experiment"), table_name="phase")
    op.drop_table("phase")
    op.drop_index(op.f("ix_arm_member_phase"), table_name="arm_member")
    op.drop_table("arm_member")
    op.drop_table("unit_total")
    op.drop_table("training_run")
    op.drop_table("slate_receipt")
    op.drop_table("slate")
    op.drop_index(op.f("ix_revision_kind_key"), table_name="revision")
    op.drop_table("revision")
    op.drop_table("report")
    op.drop_table("read")
    op.drop_index(op.f("ix_quarantine_request"), table_name="quarantine")
    op.drop_table("quarantine")
    op.drop_table("parameter")
    op.drop_table("model_version")
    op.drop_table("layer")
    op.drop_table("item")
    op.drop_table("interaction")
    op.drop_table("inbox")
    op.drop_table("impression")
    op.drop_table("exposure")
    op.drop_table("experiment")
    op.drop_table("event_receipt")
    op.drop_table("configuration")
    op.drop_table("click")
    op.drop_table("arm")
    op.drop_index(
        "uq_api_key_name",
        table_name="api_key",
        postgresql_where=sa.text("revoked_at IS NULL"),
        sqlite_where=sa.text("revoked_at IS NULL"),
    )
    op.drop_table("api_key")
