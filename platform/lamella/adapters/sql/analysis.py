"""The record as sufficient statistics, and the reports made from it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time
from typing import Any, Final

import numpy as np
import sqlalchemy as sa

from lamella.adapters.sql.as_of import totals_as_of
from lamella.adapters.sql.engine import is_postgresql, snapshot, writing
from lamella.adapters.sql.kept_answers import kept_totals
from lamella.adapters.sql.moments import Question, check_columns, moments_query, recent_query, scale_of
from lamella.adapters.sql.schema import (
    arm_member,
    exploration,
    exposure,
    flagged_unit,
    late_total,
    quarantine,
    report,
    slate,
)
from lamella.adapters.sql.webhooks import tell
from lamella.errors import Conflict
from lamella.experiments.model import Json
from lamella.services.events import report_events
from lamella.services.ports import ArmTotals
from lamella.services.record_ports import RecordCounts
from lamella.services.traffic_ports import RecentTotals
from lamella.stats.moments import Moments

_ATTEMPTS: Final = 10
# One row a unit is sorted and hashed: the default of 4 MB spills to disk at some ten thousand units.
_ROOM: Final = "SET LOCAL work_mem = '64MB'"


class SqlAnalysisStore:
    """Per-unit totals summed up by arm, and the reports."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def arm_totals(
        self,
        phase: int,
        columns: Sequence[str],
        *,
        until: datetime | None = None,
        covariate_since: datetime | None = None,
    ) -> Sequence[ArmTotals]:
        """The arms of a phase, by variant, each over units first exposed before `until`, with their totals until then.

        From the kept moments where they answer it, else one grouped query over the per-unit totals; where `until` lies
        before the newest record, the facts on the shorter side of its day are read too. `pre_` columns cover whole
        days (UTC): from that of `covariate_since` to the one before the unit's first exposure. A crossed unit is
        counted with the variant that it saw first, and so are its slates.
        Raises InvalidInput for an unknown column.
        """
        check_columns(columns)
        with snapshot(self._engine) as connection:
            if is_postgresql(connection):
                connection.exec_driver_sql(_ROOM)
            held = kept_totals(connection, phase, columns, until=until, covariate_since=covariate_since)
            if held is not None:
                return held
            question = Question(
                phase=phase,
                columns=tuple(columns),
                until=until,
                covariate_since=covariate_since,
                totals=totals_as_of(connection, until),
            )
            rows = connection.execute(moments_query(question)).all()
        variants = sorted({row.variant for row in rows})
        return [_arm(variant, columns, [row for row in rows if row.variant == variant]) for variant in variants]

    def recent_totals(self, columns: Sequence[str], *, since: datetime) -> RecentTotals | None:
        """The totals of all units over the whole days from that of `since` on; None where nothing was served then.

        Reads every total of those days. Raises InvalidInput for an unknown column.
        """
        check_columns(columns)
        midnight = datetime.combine(since.astimezone(UTC).date(), time(), UTC)
        with snapshot(self._engine) as connection:
            if is_postgresql(connection):
                connection.exec_driver_sql(_ROOM)
            first = sa.select(sa.func.min(slate.c.time)).where(slate.c.time >= midnight)
            began_at = connection.execute(first).scalar()
            rows = [] if began_at is None else connection.execute(recent_query(columns, since)).all()
        if began_at is None or not rows:
            return None
        return RecentTotals(moments=_moments(columns, rows[0]), began_at=began_at)

    def record_counts(self, phase: int) -> RecordCounts:
        """What came late, was refused, or is left out of the analysis of a phase."""
        exposed = sa.select(exposure.c.unit).where(exposure.c.phase == phase)
        of_phase = sa.select(arm_member.c.arm).where(arm_member.c.phase == phase)
        late = sa.select(sa.func.coalesce(sa.func.sum(late_total.c.records), 0)).where(late_total.c.arm.in_(of_phase))
        refused = sa.select(sa.func.count()).select_from(quarantine).where(quarantine.c.unit.in_(exposed))
        flagged = (
            sa.select(flagged_unit.c.reason, sa.func.count().label("units"))
            .join(exposure, exposure.c.unit == flagged_unit.c.unit)
            .where(exposure.c.phase == phase)
            .group_by(flagged_unit.c.reason)
        )
        with snapshot(self._engine) as connection:
            return RecordCounts(
                late=int(connection.execute(late).scalar_one()),
                quarantined=connection.execute(refused).scalar_one(),
                flagged={row.reason: row.units for row in connection.execute(flagged)},
            )

    def save_report(self, experiment: str, phase: int, as_of: datetime, document: Mapping[str, Json]) -> int:
        """Keep the report; returns its number within the phase, from 1. Reports are never changed.

        What it tells that the one before did not is put into the webhooks' outbox by the same transaction.
        """
        newest = sa.select(sa.func.coalesce(sa.func.max(report.c.number), 0) + 1).where(
            report.c.experiment == experiment, report.c.phase == phase
        )
        values = {"experiment": experiment, "phase": phase, "as_of": as_of, "document": document}
        statement = sa.insert(report).values(number=newest.scalar_subquery(), **values).returning(report.c.number)
        latest = sa.select(report.c.document).where(report.c.experiment == experiment, report.c.phase == phase)
        for _ in range(_ATTEMPTS):
            try:
                with writing(self._engine) as connection:
                    previous = connection.execute(latest.order_by(report.c.number.desc()).limit(1)).scalar()
                    number = int(connection.execute(statement).scalar_one())
                    tell(connection, report_events(previous, document), at=as_of)
                    return number
            except sa.exc.IntegrityError:
                # Another worker reported on the same phase at this moment and took the number.
                continue
        raise Conflict(f"experiment {experiment!r}, phase {phase}: other reports take every number; try again")

    def latest_report(self, experiment: str) -> Mapping[str, Json] | None:
        """The newest report of the experiment, or None before the first; with what was last explored of its phase."""
        explored = sa.and_(exploration.c.experiment == report.c.experiment, exploration.c.phase == report.c.phase)
        statement = (
            sa.select(report.c.document, exploration.c.document.label("explored"))
            .select_from(report.outerjoin(exploration, explored))
            .where(report.c.experiment == experiment)
            .order_by(report.c.id.desc())
            .limit(1)
        )
        with self._engine.connect() as connection:
            found = connection.execute(statement).one_or_none()
        return None if found is None else {**found.document, **(found.explored or {})}

    def reports(self, experiment: str, phase: int) -> Sequence[Mapping[str, Json]]:
        """Every report of the phase, oldest first: the looks that were taken."""
        statement = sa.select(report.c.document).where(report.c.experiment == experiment, report.c.phase == phase)
        with self._engine.connect() as connection:
            return list(connection.execute(statement.order_by(report.c.number)).scalars())


def _arm(variant: str, columns: Sequence[str], rows: Sequence[sa.Row[Any]]) -> ArmTotals:
    moments, crossed = Moments.empty(columns), 0
    for row in rows:
        if row.crossed:
            crossed += row.units
        else:
            moments = _moments(columns, row)
    return ArmTotals(
        variant=variant,
        moments=moments,
        crossed=crossed,
        slates=sum(int(row.slates) for row in rows),
        fallback_slates=sum(int(row.fallback_slates) for row in rows),
    )


def _moments(columns: Sequence[str], row: sa.Row[Any]) -> Moments:
    values, k = row._mapping, len(columns)  # noqa: SLF001 - SQLAlchemy's public name for it
    pilot = np.array([values[f"pilot_{i}"] for i in range(k)], dtype=np.float64)
    sums = np.array([values[f"sum_{i}"] for i in range(k)], dtype=np.float64)
    products = np.zeros((k, k))
    for i in range(k):
        for j in range(i, k):
            products[i, j] = products[j, i] = values[f"product_{i}_{j}"]
    scale = np.array([scale_of(column) for column in columns])
    return Moments.from_shifted_sums(columns, row.units, pilot * scale, sums * scale, products * np.outer(scale, scale))
