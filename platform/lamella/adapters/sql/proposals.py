"""Proposals in SQL: two deciders at once are one decision and one Conflict."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

import sqlalchemy as sa

from lamella.adapters.sql.admin_schema import proposal
from lamella.adapters.sql.engine import writing
from lamella.errors import Conflict, NotFound
from lamella.services.admin_ports import Proposal


class SqlProposalStore:
    """The proposals, open and decided."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, one: Proposal) -> None:
        """Keep a proposal."""
        with writing(self._engine) as connection:
            connection.execute(sa.insert(proposal).values(**asdict(one)))

    def find(self, proposal_id: str) -> Proposal | None:
        """The proposal, or None."""
        statement = sa.select(proposal).where(proposal.c.id == proposal_id)
        with self._engine.connect() as connection:
            row = connection.execute(statement).mappings().one_or_none()
        return None if row is None else Proposal(**row)

    def all(self) -> Sequence[Proposal]:
        """Every proposal, newest first."""
        statement = sa.select(proposal).order_by(proposal.c.created_at.desc(), proposal.c.id)
        with self._engine.connect() as connection:
            return [Proposal(**row) for row in connection.execute(statement).mappings()]

    def decide(self, proposal_id: str, status: str, *, by: str, at: datetime) -> None:
        """Move an open one. Raises Conflict where somebody decided first, NotFound."""
        with writing(self._engine) as connection:
            decide(connection, proposal_id, status, by=by, at=at)


def decide(connection: sa.Connection, proposal_id: str, status: str, *, by: str, at: datetime) -> None:
    """Moves an open proposal in the caller's transaction. Raises Conflict where somebody decided first, NotFound."""
    moved = sa.update(proposal).where(proposal.c.id == proposal_id, proposal.c.status == "open")
    if connection.execute(moved.values(status=status, decided_by=by, decided_at=at)).rowcount:
        return
    found = connection.execute(sa.select(proposal.c.status).where(proposal.c.id == proposal_id)).scalar()
    if found is None:
        raise NotFound("proposal", proposal_id, next_step="GET /v1/admin/proposals lists them")
    raise Conflict(f"proposal {proposal_id!r} is {found}, not open; nothing was changed")
