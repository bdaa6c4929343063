"""The tables of the shadows: sums over what they were compared with, and the items that they would have shown."""

from typing import Final

import sqlalchemy as sa

from lamella.adapters.sql.schema import metadata
from lamella.adapters.sql.types import required

shadow_total: Final = sa.Table(
    "shadow_total",
    metadata,
    sa.Column("shadow", sa.Text, primary_key=True),
    sa.Column("live", sa.Text, primary_key=True),
    sa.Column("stage", sa.Text, primary_key=True),
    required("requests", sa.BigInteger),
    required("compared", sa.BigInteger),
    required("correlated", sa.BigInteger),
    required("errors", sa.BigInteger),
    required("dropped", sa.BigInteger),
    required("items", sa.BigInteger),
    required("overlap", sa.Double),
    required("correlation", sa.Double),
    required("live_seconds", sa.Double),
    required("shadow_seconds", sa.Double),
)
shadow_item: Final = sa.Table(
    "shadow_item",
    metadata,
    sa.Column("shadow", sa.Text, primary_key=True),
    sa.Column("item", sa.Text, primary_key=True),
)
