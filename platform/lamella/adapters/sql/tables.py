"""Every table of the schema, whichever module describes it."""

import sqlalchemy as sa

from lamella.adapters.sql import admin_schema, history_schema, kept_schema, shadow_schema  # noqa: F401 - their tables
from lamella.adapters.sql.schema import metadata


def tables_of(store: str) -> list[sa.Table]:
    """The tables that a store of this kind ("postgresql" or "sqlite") has, those that others refer to first."""
    return [table for table in metadata.sorted_tables if table.info.get("store", store) == store]
