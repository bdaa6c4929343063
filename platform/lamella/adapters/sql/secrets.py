"""Secrets of the installation: random bytes that the store keeps, so that all processes have the same."""

import secrets

import sqlalchemy as sa

from lamella.adapters.sql.engine import writing
from lamella.adapters.sql.schema import secret


class SqlSecretStore:
    """Secrets by name, made when they are first asked for."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def secret(self, name: str) -> bytes:
        """The 32 random bytes of this name; two processes that ask at once get the same."""
        found = self._find(name)
        if found is not None:
            return found
        try:
            with writing(self._engine) as connection:
                connection.execute(sa.insert(secret).values(name=name, value=secrets.token_bytes(32)))
        except sa.exc.IntegrityError:
            # Somebody else was first; theirs is the secret.
            pass
        found = self._find(name)
        if found is None:
            raise LookupError(f"secret {name!r} was stored and is not there")
        return found

    def _find(self, name: str) -> bytes | None:
        with self._engine.connect() as connection:
            value = connection.execute(sa.select(secret.c.value).where(secret.c.name == name)).scalar_one_or_none()
        return None if value is None else bytes(value)
