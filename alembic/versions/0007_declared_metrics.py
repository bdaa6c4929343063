"""Metrics that the installation declares, and what was last explored of each experiment.

Revision: 0007
Follows: 0006.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "metric",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_metric")),
    )
    op.create_table(
        "exploration",
        sa.Column("experiment", sa.Text(), nullable=False),
        sa.Column("phase", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("experiment", name=op.f("pk_exploration")),
    )


def downgrade() -> None:
    op.drop_table("exploration")
    op.drop_table("metric")
