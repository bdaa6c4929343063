"""Kept answers in SQL: the primary key decides which of two claims at the same time is the first."""

from datetime import datetime

import sqlalchemy as sa

from lamella.adapters.sql.admin_schema import kept_answer
from lamella.adapters.sql.engine import writing
from lamella.services.admin_ports import Answer, Kept
from lamella.services.idempotency import CLAIM_TIME, KEPT_TIME


class SqlAnswerStore:
    """The answers to requests that carried an Idempotency-Key."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def claim(self, holder: str, key: str, digest: bytes, *, at: datetime) -> Kept | None:
        """None where the key of this holder was free and is now claimed; else what is known of it."""
        found = sa.select(kept_answer).where(kept_answer.c.holder == holder, kept_answer.c.key == key)
        forgotten = sa.or_(
            kept_answer.c.at <= at - KEPT_TIME,
            sa.and_(kept_answer.c.status.is_(None), kept_answer.c.at <= at - CLAIM_TIME),
        )
        try:
            with writing(self._engine) as connection:
                connection.execute(sa.delete(kept_answer).where(forgotten))
                row = connection.execute(found).mappings().one_or_none()
                if row is None:
                    values = {"holder": holder, "key": key, "digest": digest, "at": at}
                    connection.execute(sa.insert(kept_answer).values(**values))
                    return None
        except sa.exc.IntegrityError:
            # Somebody claimed it between our look and our insertion.
            with self._engine.connect() as connection:
                row = connection.execute(found).mappings().one_or_none()
        if row is None:
            return Kept(digest=digest, answer=None)
        return _kept(row)

    def keep(self, holder: str, key: str, answer: Answer) -> None:
        """Keep the answer of a claimed key."""
        values = {"status": answer.status, "headers": dict(answer.headers), "body": answer.body}
        with writing(self._engine) as connection:
            connection.execute(sa.update(kept_answer).where(*_is(holder, key)).values(**values))

    def release(self, holder: str, key: str) -> None:
        """Make the key free again: nothing was done."""
        with writing(self._engine) as connection:
            connection.execute(sa.delete(kept_answer).where(*_is(holder, key)))


def _is(holder: str, key: str) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return kept_answer.c.holder == holder, kept_answer.c.key == key


def _kept(row: sa.RowMapping) -> Kept:
    answer = None
    if row["status"] is not None:
        answer = Answer(status=row["status"], headers=row["headers"], body=row["body"])
    return Kept(digest=row["digest"], answer=answer)
