"""API keys in SQL: digests only."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from lamella.adapters.sql.engine import writing
from lamella.adapters.sql.schema import api_key
from lamella.errors import Conflict, NotFound
from lamella.services.ports import Principal


class SqlKeyStore:
    """API keys, hashed at rest. A revoked key's name is free again."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, name: str, role: str, digest: bytes, *, at: datetime) -> None:
        """Store a key's SHA-256 digest. Raises Conflict if the name is taken."""
        try:
            with writing(self._engine) as connection:
                connection.execute(sa.insert(api_key).values(name=name, role=role, digest=digest, created_at=at))
        except sa.exc.IntegrityError:
            raise Conflict(f"a key named {name!r} exists already; choose another name or revoke that one") from None

    def find(self, digest: bytes) -> Principal | None:
        """Whose key has this digest; None for an unknown or revoked one."""
        statement = sa.select(api_key.c.name, api_key.c.role).where(
            api_key.c.digest == digest, api_key.c.revoked_at.is_(None)
        )
        with self._engine.connect() as connection:
            row = connection.execute(statement).one_or_none()
        return None if row is None else Principal(name=row.name, role=row.role)

    def revoke(self, name: str, *, at: datetime) -> None:
        """From now on the key is unknown. Raises NotFound."""
        statement = sa.update(api_key).where(api_key.c.name == name, api_key.c.revoked_at.is_(None))
        with writing(self._engine) as connection:
            if not connection.execute(statement.values(revoked_at=at)).rowcount:
                raise NotFound("key", name)

    def names(self) -> Sequence[Principal]:
        """Every key that is not revoked, by name."""
        statement = sa.select(api_key.c.name, api_key.c.role).where(api_key.c.revoked_at.is_(None))
        with self._engine.connect() as connection:
            rows = connection.execute(statement).all()
        return sorted((Principal(name=row.name, role=row.role) for row in rows), key=lambda each: each.name)
