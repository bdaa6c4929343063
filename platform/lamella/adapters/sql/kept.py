"""The moments of each arm of the phases that are followed, kept as exact sums and corrected for what changed since.

A unit whose vector x became x' adds x'x'ᵀ − xxᵀ. What x was follows from the present totals and the notes of what was
added to them, so nothing is kept for each unit. The same correction serves an answer as of a moment: of the units with
anything recorded from then on, the vectors without it replace the kept ones. An answer is therefore the scan's, digit
by digit, whenever it is asked; a refresh only keeps the correction small.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

import sqlalchemy as sa

from lamella.adapters.sql.as_of import has_recorded, is_archived
from lamella.adapters.sql.changes import is_counted
from lamella.adapters.sql.corrections import Correction, corrections, differing
from lamella.adapters.sql.kept_schema import exposure_change, kept_arm, kept_phase, total_change
from lamella.adapters.sql.schema import arm_member, exposure, unit_total
from lamella.adapters.sql.vectors import NOTHING, ArmSums, sums_by_variant, vectors_query
from lamella.stats.exact import ExactSums

MOST_CORRECTED: Final = 50_000
"""An answer that has to correct more units than this comes from the scan."""

_EXPOSED: Final = ("unit", "variant", "first_day", "crossed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The sums of a phase by variant, the first day of their covariates, and when they were last refreshed."""

    phase: int
    since: date | None
    kept_at: datetime
    arms: Mapping[str, ArmSums]


def load(connection: sa.Connection, phase: int) -> Kept | None:
    """What is kept of the phase, without what changed since; None where it is not followed."""
    row = connection.execute(sa.select(kept_phase).where(kept_phase.c.phase == phase)).one_or_none()
    if row is None:
        return None
    arms = connection.execute(sa.select(kept_arm).where(kept_arm.c.phase == phase))
    return Kept(phase=phase, since=row.since, kept_at=row.kept_at, arms={arm.variant: _arm(arm) for arm in arms})


def load_all(connection: sa.Connection) -> list[Kept]:
    """What is kept of every phase that is followed, without what changed since; the one checked longest ago first."""
    ordered = sa.select(kept_phase.c.phase).order_by(
        kept_phase.c.checked_at.is_not(None), kept_phase.c.checked_at, kept_phase.c.phase
    )
    phases = connection.execute(ordered).scalars().all()
    return [held for phase in phases if (held := load(connection, phase)) is not None]


def corrected(connection: sa.Connection, kept: Kept, until: datetime | None = None) -> Mapping[str, ArmSums] | None:
    """The sums of now, or as of `until`; None where too many units differ from what is kept, or nobody can say which.

    The latter where facts from `until` on were archived.
    """
    if until is not None and is_archived(connection, until):
        return None
    until = until if until is not None and has_recorded(connection, until) else None
    if until is None and not _has_notes(connection):
        return kept.arms
    found = differing(until)
    units = sa.select(sa.func.count()).select_from(found.limit(MOST_CORRECTED + 1).subquery())
    if connection.execute(units).scalar_one() > MOST_CORRECTED:
        return None
    return _merged(kept.arms, corrections(connection, {kept.phase: kept.since}, until)[kept.phase])


def refreshed(connection: sa.Connection, held: Sequence[Kept]) -> Mapping[int, Mapping[str, ArmSums]]:
    """The sums of now by phase, however many units changed. The caller stores all and empties the notes, or neither."""
    if not held or not _has_notes(connection):
        return {each.phase: each.arms for each in held}
    found = corrections(connection, {each.phase: each.since for each in held})
    return {each.phase: _merged(each.arms, found[each.phase]) for each in held}


def counted_afresh(connection: sa.Connection, phase: int, since: date | None) -> Mapping[str, ArmSums]:
    """The sums of now from the totals of every unit of the phase, whatever is kept."""
    exposed = sa.select(*(exposure.c[name] for name in _EXPOSED)).where(exposure.c.phase == phase, is_counted())
    variants = variants_of(connection, phase)
    query = vectors_query(phase, since, exposed.subquery("exposed"), unit_total, variants)
    return sums_by_variant(connection, query, variants)


def figures_between(one: Mapping[str, ArmSums], other: Mapping[str, ArmSums]) -> int:
    """How many counts, sums and products of the variants differ."""
    return sum(
        _differing_figures(one.get(each, NOTHING), other.get(each, NOTHING)) for each in one.keys() | other.keys()
    )


def store(connection: sa.Connection, kept: Kept) -> None:
    """Replaces what is kept of the phase."""
    drop(connection, [kept.phase], is_followed=True)
    known = sa.update(kept_phase).where(kept_phase.c.phase == kept.phase)
    values = {"since": kept.since, "kept_at": kept.kept_at}
    if not connection.execute(known.values(**values)).rowcount:
        connection.execute(sa.insert(kept_phase).values(phase=kept.phase, drift=0, **values))
    rows = [_row(kept.phase, variant, arm) for variant, arm in kept.arms.items()]
    if rows:
        connection.execute(sa.insert(kept_arm), rows)


def drop(connection: sa.Connection, phases: Iterable[int], *, is_followed: bool = False) -> None:
    """Deletes what is kept of the phases; they are not followed any more, unless `is_followed`."""
    chosen = list(phases)
    connection.execute(sa.delete(kept_arm).where(kept_arm.c.phase.in_(chosen)))
    if not is_followed:
        connection.execute(sa.delete(kept_phase).where(kept_phase.c.phase.in_(chosen)))


def empty_notes(connection: sa.Connection) -> None:
    """Deletes the notes that this transaction sees; later ones stay."""
    connection.execute(sa.delete(total_change))
    connection.execute(sa.delete(exposure_change))


def variants_of(connection: sa.Connection, phase: int) -> Sequence[str]:
    """Every variant of the phase that was ever served, by key."""
    asked = sa.select(arm_member.c.variant).where(arm_member.c.phase == phase).distinct()
    return sorted(connection.execute(asked).scalars())


def day_of(moment: datetime | None) -> date | None:
    """The first day of covariates that begin at `moment`."""
    return None if moment is None else moment.astimezone(UTC).date()


def _has_notes(connection: sa.Connection) -> bool:
    noted = sa.or_(sa.exists(sa.select(total_change.c.id)), sa.exists(sa.select(exposure_change.c.id)))
    return bool(connection.execute(sa.select(noted)).scalar())


def _merged(arms: Mapping[str, ArmSums], by: Correction) -> Mapping[str, ArmSums]:
    found = {
        variant: arms.get(variant, NOTHING) - by.minus.get(variant, NOTHING) + by.plus.get(variant, NOTHING)
        for variant in arms.keys() | by.minus.keys() | by.plus.keys()
    }
    return {variant: arm for variant, arm in found.items() if arm != NOTHING}


def _arm(row: sa.Row[Any]) -> ArmSums:
    sums = ExactSums(units=row.units, sums=tuple(row.sums), products=tuple(row.products))
    return ArmSums(sums=sums, crossed=row.crossed, slates=row.slates, fallback_slates=row.fallback_slates)


def _row(phase: int, variant: str, arm: ArmSums) -> dict[str, Any]:
    return {
        "phase": phase,
        "variant": variant,
        "units": arm.sums.units,
        "crossed": arm.crossed,
        "slates": arm.slates,
        "fallback_slates": arm.fallback_slates,
        "sums": list(arm.sums.sums),
        "products": list(arm.sums.products),
    }


def _differing_figures(one: ArmSums, other: ArmSums) -> int:
    pairs = [
        (one.sums.units, other.sums.units),
        (one.crossed, other.crossed),
        (one.slates, other.slates),
        (one.fallback_slates, other.fallback_slates),
        *zip(one.sums.sums, other.sums.sums, strict=True),
        *zip(one.sums.products, other.sums.products, strict=True),
    ]
    return sum(a != b for a, b in pairs)
