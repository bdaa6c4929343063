"""Which stage a training's version is to have once it is published.

Revision: 0011
Follows: 0010.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("training_run") as table:
        table.add_column(sa.Column("stage", sa.Text(), nullable=False, server_default="live"))


def downgrade() -> None:
    with op.batch_alter_table("training_run") as table:
        table.drop_column("stage")
