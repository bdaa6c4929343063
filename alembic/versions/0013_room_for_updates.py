"""Rows that are updated again and again find room on their own page, so that no index has to learn of it.

Revision: 0013
Follows: 0012.

Only PostgreSQL; rows that are there already move as they are updated.
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

ROOM = {"unit_total": 70, "exposure": 90}


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table, percent in ROOM.items():
            op.execute(f"ALTER TABLE {table} SET (fillfactor = {percent})")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table in ROOM:
            op.execute(f"ALTER TABLE {table} RESET (fillfactor)")
