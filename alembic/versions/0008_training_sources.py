"""Where a training takes its data from: a ratings file, or, empty, the record.

Revision: 0008
Follows: 0007.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("training_run") as table:
        table.add_column(sa.Column("source", sa.JSON(), nullable=False, server_default="{}"))


def downgrade() -> None:
    with op.batch_alter_table("training_run") as table:
        table.drop_column("source")
