"""The tables of the shadows: sums over what they were compared with, and the items that they would have shown."""

from typing import Any, Final

import sqlalchemy as sa

from lamella.adapters.sql.schema import metadata


def _required(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


shadow_total: Final = sa.Table(
    "shadow_total",
    metadata,
    sa.Column("shadow", sa.Text, primary_key=True),
    sa.Column("live", sa.Text, primary_key=True),
    sa.Column("stage", sa.Text, primary_key=True),
    _required("requests", sa.BigInteger),
    _required("compared", sa.BigInteger),
    _required("correlated", sa.BigInteger),
    _required("errors", sa.BigInteger),
    _required("dropped", sa.BigInteger),
    _required("items", sa.BigInteger),
    _required("overlap", sa.Double),
    _required("correlation", sa.Double),
    _required("live_seconds", sa.Double),
    _required("shadow_seconds", sa.Double),
)
shadow_item: Final = sa.Table(
    "shadow_item",
    metadata,
    sa.Column("shadow", sa.Text, primary_key=True),
    sa.Column("item", sa.Text, primary_key=True),
)
