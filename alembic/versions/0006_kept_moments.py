"""The moments of each arm, kept; what has changed since they were; and exposures that were told without a slate.

Revision: 0006
Follows: 0005.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
IDENTITY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
COUNTS = ("slates", "fallback_slates", "impressions", "clicks", "reads")
MICROS = ("read_micros", "completion_micros")
FURTHER = ("completion_reads", "comments", "shares", "interactions")


def upgrade() -> None:
    op.create_table(
        "kept_phase",
        sa.Column("phase", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("since", sa.Date(), nullable=True),
        sa.Column("kept_at", MOMENT, nullable=False),
        sa.Column("checked_at", MOMENT, nullable=True),
        sa.Column("drift", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("phase", name=op.f("pk_kept_phase")),
    )
    op.create_table(
        "kept_arm",
        sa.Column("phase", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("variant", sa.Text(), nullable=False),
        sa.Column("units", sa.BigInteger(), nullable=False),
        sa.Column("crossed", sa.BigInteger(), nullable=False),
        sa.Column("slates", sa.BigInteger(), nullable=False),
        sa.Column("fallback_slates", sa.BigInteger(), nullable=False),
        sa.Column("sums", sa.JSON(), nullable=False),
        sa.Column("products", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("phase", "variant", name=op.f("pk_kept_arm")),
    )
    op.create_table(
        "total_change",
        sa.Column("id", IDENTITY, nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("arm", sa.Integer(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in COUNTS),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in MICROS),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in FURTHER),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_total_change")),
    )
    op.create_table(
        "exposure_change",
        sa.Column("id", IDENTITY, nullable=False),
        sa.Column("phase", sa.BigInteger(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("variant", sa.Text(), nullable=True),
        sa.Column("first_day", sa.Date(), nullable=True),
        sa.Column("counted", sa.Boolean(), nullable=True),
        sa.Column("crossed", sa.Boolean(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exposure_change")),
    )
    op.create_table(
        "told",
        sa.Column("digest", sa.LargeBinary(length=16), nullable=False),
        sa.Column("time", MOMENT, nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("arm", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_told")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_told_time"), "told", ["time"], unique=False)
    _find_told()


def _find_told() -> None:
    """What left an exposure and no slate was told; its arm is the one that says nothing of other phases."""
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    digest = "decode(md5(e.phase || ':' || e.unit), 'hex')" if is_postgresql else "randomblob(16)"
    op.execute(
        f"""INSERT INTO told (digest, time, unit, arm)
        SELECT {digest}, e.first_at, e.unit, MIN(m.arm)
        FROM exposure e JOIN arm_member m ON m.phase = e.phase AND m.variant = e.variant AND m.counted = e.counted
        WHERE (SELECT COUNT(*) FROM arm_member o WHERE o.arm = m.arm) = 1
          AND (e.phase, e.unit) NOT IN (SELECT n.phase, s.unit FROM slate s JOIN arm_member n ON n.arm = s.arm)
        GROUP BY e.phase, e.unit, e.first_at"""  # noqa: S608 - no value of anybody's
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_told_time"), table_name="told")
    for name in ("told", "exposure_change", "total_change", "kept_arm", "kept_phase"):
        op.drop_table(name)
