"""On PostgreSQL the facts lie in the order in which they came, with a small index on time: their receipts are the key.

Revision: 0004
Follows: 0003.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

KEYS = {
    "slate": "time, request_id",
    "impression": "time, request_id, rank",
    "click": "time, event_id",
    "read": "time, event_id",
    "interaction": "time, event_id",
}


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for fact in KEYS:
        op.execute(f"ALTER TABLE {fact} DROP CONSTRAINT pk_{fact}")
        op.execute(f"CREATE INDEX ix_{fact}_time ON {fact} USING brin (time) WITH (autosummarize = on)")


def downgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for fact, key in KEYS.items():
        op.execute(f"DROP INDEX ix_{fact}_time")
        op.execute(f"ALTER TABLE {fact} ADD CONSTRAINT pk_{fact} PRIMARY KEY ({key})")
