"""On SQLite what a unit read last is a chain of rows; its indexes of reads and clicks by unit go.

Revision: 0014
Follows: 0013.

On both stores receipts lose their times, which nobody reads. Going down, they get the time at which that was done.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

FACTS = ("read", "click")
RECEIPTS = ("slate_receipt", "event_receipt")
AS_IT_IS = {"sqlite_with_rowid": False}
NOW = sa.text("CURRENT_TIMESTAMP")
AT_ONCE = 50
"""Events in one row."""

# Of a unit the numbers follow each other, so that the one before is the row before.
ROWS = f"""
INSERT INTO history (id, unit, previous, newest, events)
SELECT number, unit, CASE WHEN part > 0 THEN number - 1 END, newest, CAST('[' || events || ']' AS BLOB)
FROM (
  SELECT
    row_number() OVER (ORDER BY unit, part) AS number,
    unit,
    part,
    MAX(micros) AS newest,
    group_concat(micros || ',' || json_quote(item)) AS events
  FROM (
    SELECT
      unit,
      item,
      CAST(strftime('%s', substr(time, 1, 19)) AS INTEGER) * 1000000 + CAST(substr(time, 21, 6) AS INTEGER) AS micros,
      (row_number() OVER (PARTITION BY unit ORDER BY time) - 1) / {AT_ONCE} AS part
    FROM (SELECT unit, time, item FROM read UNION ALL SELECT unit, time, item FROM click)
  )
  GROUP BY unit, part
)
"""  # noqa: S608
HEADS = "INSERT INTO history_head (unit, last, newest) SELECT unit, MAX(id), MAX(newest) FROM history GROUP BY unit"


def upgrade() -> None:
    for name in RECEIPTS:
        with op.batch_alter_table(name, table_kwargs=AS_IT_IS) as table:
            table.drop_column("time")
    if op.get_bind().dialect.name != "sqlite":
        return
    op.create_table(
        "history",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("previous", sa.BigInteger(), nullable=True),
        sa.Column("newest", sa.BigInteger(), nullable=False),
        sa.Column("events", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_history")),
    )
    op.create_table(
        "history_head",
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("newest", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("unit", name=op.f("pk_history_head")),
        sqlite_with_rowid=False,
    )
    op.execute(ROWS)
    op.execute(HEADS)
    for name in FACTS:
        op.drop_index(op.f(f"ix_{name}_unit_time"), table_name=name)


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for name in FACTS:
            op.create_index(op.f(f"ix_{name}_unit_time"), name, ["unit", "time"])
        op.drop_table("history_head")
        op.drop_table("history")
    for name in RECEIPTS:
        with op.batch_alter_table(name, table_kwargs=AS_IT_IS) as table:
            table.add_column(sa.Column("time", sa.DateTime(timezone=True), nullable=False, server_default=NOW))
        with op.batch_alter_table(name, table_kwargs=AS_IT_IS) as table:
            table.alter_column("time", server_default=None)
