"""Model versions have a stage.

Revision: 0010
Follows: 0009.

The newest version of each name was what its bare name meant: it is live, those before it are retired.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

NEWEST = """
UPDATE model_version SET stage = 'live'
WHERE number = (SELECT max(other.number) FROM model_version AS other WHERE other.name = model_version.name)
"""


def upgrade() -> None:
    with op.batch_alter_table("model_version") as table:
        table.add_column(sa.Column("stage", sa.Text(), nullable=False, server_default="retired"))
        table.add_column(sa.Column("share", sa.Double(), nullable=False, server_default="0"))
        table.add_column(sa.Column("staged_at", sa.DateTime(timezone=True), nullable=True))
    op.execute(NEWEST)
    with op.batch_alter_table("model_version") as table:
        table.alter_column("stage", server_default=None)
        table.alter_column("share", server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("model_version") as table:
        for name in ("staged_at", "share", "stage"):
            table.drop_column(name)
