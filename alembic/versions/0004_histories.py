"""What a unit read last can be found by unit.

Revision: 0004
Follows: 0003.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

FACTS = ("read", "click")


def upgrade() -> None:
    for name in FACTS:
        op.create_index(op.f(f"ix_{name}_unit_time"), name, ["unit", "time"])


def downgrade() -> None:
    for name in FACTS:
        op.drop_index(op.f(f"ix_{name}_unit_time"), table_name=name)
