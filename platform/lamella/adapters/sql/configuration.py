"""The configuration in SQL: one row an entity, one version counter that is compared and swapped."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import orjson
import sqlalchemy as sa

from lamella.adapters.sql.engine import snapshot, writing
from lamella.adapters.sql.proposals import decide
from lamella.adapters.sql.schema import (
    configuration,
    domain,
    experiment,
    holdout,
    layer,
    metric,
    parameter,
    phase,
    revision,
    variant,
)
from lamella.adapters.sql.webhooks import enqueue
from lamella.errors import ConfigurationMoved
from lamella.experiments.document import (
    domain_document,
    domain_from_document,
    experiment_document,
    experiment_from_document,
    holdout_document,
    holdout_from_document,
    layer_document,
    layer_from_document,
    parameter_document,
    parameter_from_document,
)
from lamella.experiments.measures import metric_document, metric_from_document
from lamella.experiments.model import Configuration, Experiment, Json
from lamella.services.admin_ports import Approval
from lamella.services.ports import Revision

_TABLES: Final = {
    "layer": layer,
    "parameter": parameter,
    "experiment": experiment,
    "domain": domain,
    "holdout": holdout,
    "metric": metric,
}


def silence(_version: int) -> None:
    """Nothing: what announces where nobody could hear it."""


_TODAY: Final[Mapping[str, Callable[[Mapping[str, Json]], Mapping[str, Json]]]] = {
    "layer": lambda body: layer_document(layer_from_document(body)),
    "parameter": lambda body: parameter_document(parameter_from_document(body)),
    "experiment": lambda body: experiment_document(experiment_from_document(body)),
    "domain": lambda body: domain_document(domain_from_document(body)),
    "holdout": lambda body: holdout_document(holdout_from_document(body)),
}
"""A stored document as this version would write it."""


@dataclass(frozen=True, slots=True)
class _Stored:
    position: int
    body: Mapping[str, Json]


class SqlConfigurationStore:
    """The configuration, versioned; every change is compared-and-swapped and leaves revisions.

    `announce` is called with each new version once it is durable, and raises nothing.
    """

    def __init__(self, engine: sa.Engine, *, announce: Callable[[int], None] = silence) -> None:
        self._engine, self._announce = engine, announce

    def version(self) -> int:
        """The version of the newest configuration; 0 where nothing was ever configured. One row by its key."""
        with self._engine.connect() as connection:
            return int(connection.execute(sa.select(configuration.c.version)).scalar_one())

    def load(self) -> Configuration:
        """The newest configuration, all of it at one version."""
        with snapshot(self._engine) as connection:
            head = connection.execute(sa.select(configuration.c.version, configuration.c.killed)).one()
            held = {kind: [each.body for each in _stored(connection, kind).values()] for kind in _TABLES}
        return Configuration(
            version=head.version,
            layers=tuple(map(layer_from_document, held["layer"])),
            parameters=tuple(map(parameter_from_document, held["parameter"])),
            experiments=tuple(map(experiment_from_document, held["experiment"])),
            killed=head.killed,
            domains=tuple(map(domain_from_document, held["domain"])),
            holdouts=tuple(map(holdout_from_document, held["holdout"])),
            metrics=tuple(map(metric_from_document, held["metric"])),
        )

    def commit(
        self,
        after: Configuration,
        *,
        author: str,
        action: str,
        at: datetime,
        approval: Approval | None = None,
    ) -> Configuration:
        """Store `after`, made from version `after.version`; the stored value has the next version.

        Writes a revision for each thing that differs, and for the kill switch, and marks the proposal of `approval`
        applied, in the same transaction. Raises ConfigurationMoved, and changes nothing, if the newest version is not
        `after.version`; Conflict or NotFound as `decide` does.
        """
        stored = replace(after, version=after.version + 1)
        with writing(self._engine) as connection:
            was_killed = _swap(connection, after.version, stored)
            if approval is not None:
                decide(connection, approval.proposal, "applied", by=approval.by, at=at)
            changes: list[tuple[str, str, Json, Json]] = []
            if was_killed != after.killed:
                changes.append(("configuration", "killed", was_killed, after.killed))
            for kind, wanted in _documents(after).items():
                changes += _write(connection, kind, wanted)
            changed = {key for kind, key, _, body in changes if kind == "experiment" and body is not None}
            for each in after.experiments:
                if each.key in changed:
                    _write_dimensions(connection, each)
            common = {"version": stored.version, "author": author, "at": at, "action": action}
            if changes:
                rows = [{**common, "kind": k, "key": key, "before": b, "after": a} for k, key, b, a in changes]
                connection.execute(sa.insert(revision), rows)
                enqueue(connection, changes, version=stored.version, author=author, at=at, action=action)
        self._announce(stored.version)
        return stored

    def revisions(
        self,
        *,
        kind: str | None = None,
        key: str | None = None,
        author: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> Sequence[Revision]:
        """The newest revisions first; those with a number below `before`."""
        statement = sa.select(revision).order_by(revision.c.id.desc()).limit(limit)
        for column, wanted in ((revision.c.kind, kind), (revision.c.key, key), (revision.c.author, author)):
            if wanted is not None:
                statement = statement.where(column == wanted)
        if before is not None:
            statement = statement.where(revision.c.id < before)
        with self._engine.connect() as connection:
            return [_revision(row) for row in connection.execute(statement).mappings()]

    def revision(self, number: int) -> Revision | None:
        """One revision, or None."""
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(revision).where(revision.c.id == number)).mappings().one_or_none()
        return None if row is None else _revision(row)


def _revision(row: sa.RowMapping) -> Revision:
    values = dict(row)
    return Revision(number=values.pop("id"), **values)


def _swap(connection: sa.Connection, expected: int, stored: Configuration) -> bool:
    """Whether the configuration was killed before. Locks it until the transaction ends."""
    head = sa.select(configuration.c.version, configuration.c.killed).with_for_update()
    version, killed = connection.execute(head).one()
    if version != expected:
        raise ConfigurationMoved(expected, version)
    connection.execute(sa.update(configuration).values(version=stored.version, killed=stored.killed))
    return bool(killed)


def _documents(of: Configuration) -> dict[str, dict[str, Mapping[str, Json]]]:
    return {
        "layer": {each.key: layer_document(each) for each in of.layers},
        "parameter": {each.key: parameter_document(each) for each in of.parameters},
        "experiment": {each.key: experiment_document(each) for each in of.experiments},
        "domain": {each.key: domain_document(each) for each in of.domains},
        "holdout": {each.key: holdout_document(each) for each in of.holdouts},
        "metric": {each.key: metric_document(each) for each in of.metrics},
    }


def _stored(connection: sa.Connection, kind: str) -> dict[str, _Stored]:
    table = _TABLES[kind]
    rows = connection.execute(sa.select(table.c.key, table.c.position, table.c.body).order_by(table.c.position))
    return {row.key: _Stored(row.position, row.body) for row in rows}


def _write(
    connection: sa.Connection, kind: str, wanted: Mapping[str, Mapping[str, Json]]
) -> list[tuple[str, str, Json, Json]]:
    """The differences, by key, after they were written."""
    table, held = _TABLES[kind], _stored(connection, kind)
    changes: list[tuple[str, str, Json, Json]] = []
    for key in sorted(held.keys() - wanted.keys()):
        connection.execute(sa.delete(table).where(table.c.key == key))
        changes.append((kind, key, held[key].body, None))
    for position, (key, body) in enumerate(wanted.items()):
        values = {"position": position, "body": body} | {
            column.name: body[column.name] for column in table.columns if column.name in ("layer", "status")
        }
        if key not in held:
            connection.execute(sa.insert(table).values(key=key, **values))
            changes.append((kind, key, None, body))
        elif not _is_same(kind, held[key].body, body):
            connection.execute(sa.update(table).where(table.c.key == key).values(**values))
            changes.append((kind, key, held[key].body, body))
        elif held[key].position != position:
            connection.execute(sa.update(table).where(table.c.key == key).values(position=position))
    return sorted(changes, key=lambda change: change[1])


def _write_dimensions(connection: sa.Connection, of: Experiment) -> None:
    """Copies the phases and variants into tables of their own, which SQL can join with the record."""
    connection.execute(sa.delete(phase).where(phase.c.experiment == of.key))
    connection.execute(sa.delete(variant).where(variant.c.experiment == of.key))
    phases: list[dict[str, Any]] = [
        {"id": p.id, "experiment": of.key, "number": p.number, "started_at": p.started_at, "ended_at": p.ended_at}
        for p in of.phases
    ]
    variants: list[dict[str, Any]] = [
        {"experiment": of.key, "key": v.key, "position": i, "is_control": v.is_control, "body": dict(v.values)}
        for i, v in enumerate(of.variants)
    ]
    for table, rows in ((phase, phases), (variant, variants)):
        if rows:
            connection.execute(sa.insert(table), rows)


def _is_same(kind: str, held: Mapping[str, Json], body: Mapping[str, Json]) -> bool:
    """Whether the stored document says the same; one of an earlier version lacks fields that then had no say."""
    return _text(held) == _text(body) or _text(_TODAY[kind](held)) == _text(body)


def _text(body: Mapping[str, Json]) -> bytes:
    """The document as canonical text: 1 and 1.0 differ here, as they do for the product."""
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
