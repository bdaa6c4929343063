"""The audit log in SQL: rows are added and completed, never changed or removed."""

from collections.abc import Sequence
from dataclasses import asdict

import sqlalchemy as sa

from lamella.adapters.sql.admin_schema import audit
from lamella.adapters.sql.engine import writing
from lamella.services.admin_ports import Deed


class SqlAuditLog:
    """Who changed, or tried to change, what."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def begin(self, deed: Deed) -> int:
        """Keep the deed; returns its number. Raises StoreUnavailable: nothing may then be done."""
        values = {name: value for name, value in asdict(deed).items() if name != "number"}
        with writing(self._engine) as connection:
            return int(connection.execute(sa.insert(audit).values(**values).returning(audit.c.number)).scalar_one())

    def complete(self, number: int, *, status: int, code: str | None) -> None:
        """Write how it ended."""
        with writing(self._engine) as connection:
            connection.execute(sa.update(audit).where(audit.c.number == number).values(status=status, code=code))

    def deeds(
        self,
        *,
        actor: str | None = None,
        route: str | None = None,
        path: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> Sequence[Deed]:
        """The newest first; those with a number below `before`."""
        statement = sa.select(audit).order_by(audit.c.number.desc()).limit(limit)
        for column, wanted in ((audit.c.actor, actor), (audit.c.route, route), (audit.c.path, path)):
            if wanted is not None:
                statement = statement.where(column == wanted)
        if before is not None:
            statement = statement.where(audit.c.number < before)
        with self._engine.connect() as connection:
            return [Deed(**row) for row in connection.execute(statement).mappings()]
