"""API keys in SQL: digests only."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from lamella.adapters.sql.engine import look, writing
from lamella.adapters.sql.schema import api_key
from lamella.errors import Conflict, NotFound
from lamella.services.ports import Principal

_HOLDERS: Final = sa.select(api_key.c.name, api_key.c.role, api_key.c.projects, api_key.c.expires_at).where(
    api_key.c.revoked_at.is_(None)
)


class SqlKeyStore:
    """API keys, hashed at rest. A revoked key's name is free again."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, holder: Principal, digest: bytes, *, at: datetime) -> None:
        """Store the SHA-256 digest of a key. Raises Conflict if the name is taken."""
        values = {
            "name": holder.name,
            "role": holder.role,
            "projects": None if holder.projects is None else list(holder.projects),
            "expires_at": holder.expires_at,
            "digest": digest,
            "created_at": at,
        }
        try:
            with writing(self._engine) as connection:
                connection.execute(sa.insert(api_key).values(**values))
        except sa.exc.IntegrityError:
            raise Conflict(
                f"a key named {holder.name!r} exists already; choose another name or revoke that one"
            ) from None

    def find(self, digest: bytes) -> Principal | None:
        """Whose key has this digest; None for an unknown or revoked one."""
        statement = _HOLDERS.where(api_key.c.digest == digest)
        row = look(self._engine, lambda connection: connection.execute(statement).one_or_none())
        return None if row is None else _holder(row)

    def revoke(self, name: str, *, at: datetime) -> None:
        """From now on the key is unknown. Raises NotFound."""
        statement = sa.update(api_key).where(api_key.c.name == name, api_key.c.revoked_at.is_(None))
        with writing(self._engine) as connection:
            if not connection.execute(statement.values(revoked_at=at)).rowcount:
                raise NotFound("key", name)

    def names(self) -> Sequence[Principal]:
        """Every key that is not revoked, by name."""
        with self._engine.connect() as connection:
            rows = connection.execute(_HOLDERS).all()
        return sorted((_holder(row) for row in rows), key=lambda each: each.name)


def _holder(row: Any) -> Principal:
    projects = None if row.projects is None else tuple(row.projects)
    return Principal(name=row.name, role=row.role, projects=projects, expires_at=row.expires_at)
