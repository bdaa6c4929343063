"""What a unit read last can be found by unit.

Revision: 0009
Follows: 0008.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

FACTS = ("read", "click")


def upgrade() -> None:
    for name in FACTS:
        op.create_index(op.f(f"ix_{name}_unit_time"), name, ["unit", "time"])


def downgrade() -> None:
    for name in FACTS:
        op.drop_index(op.f(f"ix_{name}_unit_time"), table_name=name)
