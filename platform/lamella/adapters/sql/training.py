"""The record as training data."""

from array import array
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from lamella.adapters.sql.engine import snapshot
from lamella.adapters.sql.schema import click, impression, slate
from lamella.errors import TrainingFault
from lamella.experiments.model import Json
from lamella.services.model_ports import TrainingLog

_PAGE: Final = 20_000


class SqlTrainingStore:
    """Impressions with what became of them."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def impressions(self, *, since: datetime | None = None, until: datetime | None = None) -> TrainingLog:
        """All impressions of the window, by time, request and rank; `since` and `until` of the log are their times.

        Streams: what is held in memory is the result, each unit and item once. Raises TrainingFault if there is none.
        """
        units: list[str] = []
        items: list[str] = []
        ranks, clicked = array("i"), array("b")
        first = last = None
        names: dict[str, str] = {}
        with snapshot(self._engine) as connection:
            rows = connection.execution_options(yield_per=_PAGE).execute(_query(since, until))
            for page in rows.partitions():
                first, last = first or page[0].time, page[-1].time
                units.extend(names.setdefault(row.unit, row.unit) for row in page)
                items.extend(names.setdefault(row.item, row.item) for row in page)
                ranks.extend(row.rank for row in page)
                clicked.extend(row.clicked for row in page)
            contexts = _contexts(connection, since, until)
        if first is None or last is None:
            raise TrainingFault(
                "there is no impression in the window; widen it, or serve some traffic first: `lamella train newest` "
                "makes a model without any"
            )
        return TrainingLog(
            units=units,
            items=items,
            ranks=ranks,
            clicked=[each == 1 for each in clicked],
            since=first,
            until=last,
            contexts=contexts,
        )


def _contexts(
    connection: sa.Connection, since: datetime | None, until: datetime | None
) -> dict[str, Mapping[str, Json]]:
    """The newest context of each unit that gave one."""
    statement = sa.select(slate.c.unit, slate.c.context).where(*_within(slate.c.time, since, until))
    rows = connection.execution_options(yield_per=_PAGE).execute(statement.order_by(slate.c.time, slate.c.request_id))
    return {row.unit: row.context for page in rows.partitions() for row in page if row.context}


def _within(
    column: sa.Column[datetime], since: datetime | None, until: datetime | None
) -> list[sa.ColumnElement[bool]]:
    return [*([column >= since] if since is not None else []), *([column < until] if until is not None else [])]


def _query(since: datetime | None, until: datetime | None) -> sa.Select[tuple[datetime, str, str, int, int]]:
    found = sa.select(click.c.request_id, click.c.item).distinct().subquery("found")
    pair = sa.and_(found.c.request_id == impression.c.request_id, found.c.item == impression.c.item)
    clicked = sa.case((found.c.item.is_not(None), 1), else_=0).label("clicked")
    statement = sa.select(
        impression.c.time, impression.c.unit, impression.c.item, impression.c.rank, clicked
    ).select_from(impression.outerjoin(found, pair))
    statement = statement.where(*_within(impression.c.time, since, until))
    return statement.order_by(impression.c.time, impression.c.request_id, impression.c.rank)
