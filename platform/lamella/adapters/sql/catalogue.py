"""Items, model versions and trainings in SQL."""

from collections.abc import Collection, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from lamella.adapters.sql.engine import is_postgresql, writing
from lamella.adapters.sql.schema import item, model_version, training_run
from lamella.errors import Conflict, NotFound
from lamella.services.model_ports import MODEL_REFERENCE, Item, ModelVersion, TrainingRun
from lamella.services.staging import Stage

_KEYS_AT_A_TIME: Final = 500
_VERSION: Final = tuple(model_version.c[each.name] for each in fields(ModelVersion))


class SqlCatalogue:
    """The items."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def put(self, items: Sequence[Item]) -> int:
        """Insert or replace items by key; returns how many there were."""
        if items:
            with writing(self._engine) as connection:
                connection.execute(_replace(connection, item), [_values(each) for each in items])
        return len(items)

    def all(self) -> Sequence[Item]:
        """Every item, by key in the order of code points."""
        with self._engine.connect() as connection:
            found = [Item(**row) for row in connection.execute(sa.select(item)).mappings()]
        return sorted(found, key=lambda each: each.key)

    def find(self, keys: Sequence[str]) -> Sequence[Item]:
        """Those of `keys` that there are."""
        found: list[Item] = []
        with self._engine.connect() as connection:
            for at in range(0, len(keys), _KEYS_AT_A_TIME):
                asked = sa.select(item).where(item.c.key.in_(keys[at : at + _KEYS_AT_A_TIME]))
                found += [Item(**row) for row in connection.execute(asked).mappings()]
        return found


class SqlModelCatalogue:
    """The model versions."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, version: ModelVersion) -> None:
        """Record a published version. Raises Conflict if the reference is taken."""
        try:
            with writing(self._engine) as connection:
                if version.stage == Stage.LIVE:
                    connection.execute(_retire(version.name, version.created_at))
                staged = {**_values(version), "staged_at": version.staged_at or version.created_at}
                connection.execute(sa.insert(model_version).values(**staged))
        except sa.exc.IntegrityError:
            raise Conflict(f"model version {version.reference} exists already; publish the next number") from None

    def stage(self, reference: str, stage: str, *, share: float, at: datetime, reason: str = "") -> ModelVersion:
        """The version in its new stage. One that becomes live retires the live version of its name. Raises NotFound."""
        name, _, number = reference.rpartition("@")
        with writing(self._engine) as connection:
            if stage == Stage.LIVE:
                connection.execute(_retire(name, at))
            changed = connection.execute(
                sa.update(model_version)
                .where(model_version.c.name == name, sa.cast(model_version.c.number, sa.Text) == number)
                .values(stage=stage, share=share, reason=reason, staged_at=at)
            )
            if not changed.rowcount:
                raise NotFound("model version", reference, next_step="`lamella models list` shows what is published")
        found = self.find(reference)
        if found is None:
            raise NotFound("model version", reference, next_step="`lamella models list` shows what is published")
        return found

    def next_number(self, name: str) -> int:
        """1 for an unknown name, else one more than its newest."""
        newest = sa.select(sa.func.max(model_version.c.number)).where(model_version.c.name == name)
        with self._engine.connect() as connection:
            return int(connection.execute(newest).scalar() or 0) + 1

    def find(self, reference: str) -> ModelVersion | None:
        """The version named `mf@3`, or for `mf` its live one, else its newest; None if there is none."""
        named = MODEL_REFERENCE.fullmatch(reference)
        if named is None:
            return None
        name, number = named.groups()
        statement = sa.select(*_VERSION).where(model_version.c.name == name)
        if number is not None:
            statement = statement.where(model_version.c.number == int(number))
        with self._engine.connect() as connection:
            order = (sa.case((model_version.c.stage == Stage.LIVE, 0), else_=1), model_version.c.number.desc())
            row = connection.execute(statement.order_by(*order).limit(1)).mappings().first()
        return None if row is None else ModelVersion(**row)

    def all(self) -> Sequence[ModelVersion]:
        """Every version, newest first."""
        order = (model_version.c.created_at.desc(), model_version.c.number.desc(), model_version.c.name)
        with self._engine.connect() as connection:
            return [ModelVersion(**row) for row in connection.execute(sa.select(*_VERSION).order_by(*order)).mappings()]


class SqlTrainingRuns:
    """The trainings that were asked for."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def put(self, run: TrainingRun) -> None:
        """Insert or replace by id."""
        with writing(self._engine) as connection:
            connection.execute(_replace(connection, training_run), [_values(run)])

    def move(
        self,
        run_id: str,
        status: str,
        message: str,
        *,
        of: Collection[str],
        progress: float | None = None,
        reference: str | None = None,
    ) -> TrainingRun | None:
        """The run in its new status, where its status was one of `of`; else None, and nothing changes."""
        values = {"status": status, "message": message, "reference": reference}
        share = {} if progress is None else {"progress": progress}
        is_there = sa.and_(training_run.c.id == run_id, training_run.c.status.in_(of))
        moved = sa.update(training_run).where(is_there).values(**values, **share).returning(*training_run.c)
        with writing(self._engine) as connection:
            row = connection.execute(moved).mappings().first()
        return None if row is None else TrainingRun(**row)

    def find(self, run_id: str) -> TrainingRun | None:
        """The run, or None."""
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(training_run).where(training_run.c.id == run_id)).mappings().first()
        return None if row is None else TrainingRun(**row)

    def all(self, *, limit: int = 100) -> Sequence[TrainingRun]:
        """Newest first."""
        order = (training_run.c.requested_at.desc(), training_run.c.id.desc())
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(training_run).order_by(*order).limit(limit)).mappings()
            return [TrainingRun(**row) for row in rows]


def _retire(name: str, at: datetime) -> sa.Update:
    """Takes the stage of the live version of the name."""
    is_live = sa.and_(model_version.c.name == name, model_version.c.stage == Stage.LIVE)
    return sa.update(model_version).where(is_live).values(stage=Stage.RETIRED.value, share=0.0, reason="", staged_at=at)


def _values(of: Item | ModelVersion | TrainingRun) -> dict[str, Any]:
    return {each.name: getattr(of, each.name) for each in fields(of)}


def _replace(connection: sa.Connection, table: sa.Table) -> Any:
    insert: Any = postgresql.insert(table) if is_postgresql(connection) else sqlite.insert(table)
    values = {column.name: insert.excluded[column.name] for column in table.columns if not column.primary_key}
    return insert.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=values)
