"""A model version says why it stands where it does; what shadows were seen to do is kept.

Revision: 0012
Follows: 0011.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

SUMS = ("overlap", "correlation", "live_seconds", "shadow_seconds")
COUNTS = ("requests", "compared", "correlated", "errors", "dropped", "items")


def upgrade() -> None:
    with op.batch_alter_table("model_version") as table:
        table.add_column(sa.Column("reason", sa.Text(), nullable=False, server_default=""))
    with op.batch_alter_table("model_version") as table:
        table.alter_column("reason", server_default=None)
    op.create_table(
        "shadow_total",
        sa.Column("shadow", sa.Text(), nullable=False),
        sa.Column("live", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in COUNTS),
        *(sa.Column(name, sa.Double(), nullable=False) for name in SUMS),
        sa.PrimaryKeyConstraint("shadow", "live", "stage", name=op.f("pk_shadow_total")),
    )
    op.create_table(
        "shadow_item",
        sa.Column("shadow", sa.Text(), nullable=False),
        sa.Column("item", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("shadow", "item", name=op.f("pk_shadow_item")),
    )


def downgrade() -> None:
    op.drop_table("shadow_item")
    op.drop_table("shadow_total")
    with op.batch_alter_table("model_version") as table:
        table.drop_column("reason")
