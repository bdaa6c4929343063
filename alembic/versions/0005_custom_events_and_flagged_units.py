"""Custom numeric events, units that no analysis counts, what came late, and what was archived.

Revision: 0005
Follows: 0004.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "custom",
        sa.Column("time", MOMENT, nullable=False),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("arm", sa.Integer(), nullable=True),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("item", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("time", "event_id", name=op.f("pk_custom")),
        postgresql_partition_by="RANGE (time)",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "flagged_unit",
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("unit", name=op.f("pk_flagged_unit")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "late_total",
        sa.Column("arm", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("arm", name=op.f("pk_late_total")),
    )
    op.create_table(
        "archived",
        sa.Column("fact", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("since", MOMENT, nullable=False),
        sa.Column("until", MOMENT, nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("fact", "path", name=op.f("pk_archived")),
    )
    op.add_column("quarantine", sa.Column("unit", sa.Text(), nullable=True))
    op.create_index(op.f("ix_quarantine_unit"), "quarantine", ["unit"], unique=False)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE custom DROP CONSTRAINT pk_custom")
        op.execute("CREATE INDEX ix_custom_time ON custom USING brin (time) WITH (autosummarize = on)")
        op.execute("CREATE TABLE custom_default PARTITION OF custom DEFAULT")


def downgrade() -> None:
    op.drop_index(op.f("ix_quarantine_unit"), table_name="quarantine")
    op.drop_column("quarantine", "unit")
    op.drop_table("archived")
    op.drop_table("late_total")
    op.drop_table("flagged_unit")
    op.drop_table("custom")
