"""Runs the migrations: over a connection that the caller gives, or over the store that LAMELLA_* names."""

import os
import re
from collections.abc import MutableMapping
from typing import Final

import sqlalchemy as sa
from alembic import context
from sqlalchemy.schema import SchemaItem

from lamella.adapters.sql import admin_schema, history_schema, kept_schema, shadow_schema  # noqa: F401 - their tables
from lamella.adapters.sql.engine import create_engine, writing
from lamella.adapters.sql.schema import FACTS, metadata
from lamella.config import Settings

# Partitions come and go with the months; their parents are what the schema describes.
_PARTITION: Final = re.compile(rf"({'|'.join(fact.name for fact in FACTS)})_(default|\d{{4}}_\d{{2}})")


def is_ours(name: str | None, kind: str, _parents: MutableMapping[str, str | None]) -> bool:
    """Whether autogenerate looks at the thing: everything except the partitions."""
    return not (kind == "table" and name is not None and _PARTITION.fullmatch(name))


def belongs(thing: SchemaItem, *_other: object) -> bool:
    """Whether autogenerate compares the thing: not what the schema has for the other kind of store only."""
    name = context.get_context().dialect.name
    return thing.info.get("store", name) == name


def run(connection: sa.Connection) -> None:
    """Applies the migrations in the transaction of the connection."""
    context.configure(
        connection=connection,
        target_metadata=metadata,
        include_name=is_ours,
        include_object=belongs,
        render_as_batch=connection.dialect.name == "sqlite",
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if context.is_offline_mode():
    raise SystemExit("lamella migrates a store that answers; run `lamella db upgrade`")
if given is not None:
    run(given)
else:
    engine = create_engine(Settings.from_environment(os.environ).sql_url)
    with writing(engine) as own:
        run(own)
    engine.dispose()
