"""Units are compared by their bytes, and waiting batches are kept as they came.

Revision: 0015
Follows: 0014.

Only PostgreSQL: its indexes by unit are built anew, no table is. Batches that wait already stay as they are.
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

OF_UNITS = (
    "slate", "impression", "click", "read", "interaction", "custom", "told", "slate_receipt", "quarantine",
    "flagged_unit", "exposure", "exposure_change", "unit_total", "total_change",
)  # fmt: skip


def upgrade() -> None:
    _collate("C")
    _store("EXTERNAL")


def downgrade() -> None:
    _collate("default")
    _store("EXTENDED")


def _collate(name: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table in OF_UNITS:
            op.execute(f'ALTER TABLE "{table}" ALTER COLUMN unit TYPE text COLLATE "{name}"')


def _store(way: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"ALTER TABLE inbox ALTER COLUMN body SET STORAGE {way}")
