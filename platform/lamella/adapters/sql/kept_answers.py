"""Which questions the kept moments answer, and the answers: those of the scan, which stays the truth."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from lamella.adapters.sql import kept
from lamella.adapters.sql.totals import MICRO
from lamella.adapters.sql.vectors import COLUMNS, ArmSums
from lamella.services.ports import ArmTotals

_MICROS: Final = {"read_seconds": "read_micros", "completion": "completion_micros"}


def kept_totals(
    connection: sa.Connection,
    phase: int,
    columns: Sequence[str],
    *,
    until: datetime | None,
    covariate_since: datetime | None,
) -> Sequence[ArmTotals] | None:
    """The arms of the phase by variant, or None where the scan has to answer.

    That is so for a phase that is not followed, covariates of another stretch of time than the kept ones, and where
    more than 50,000 units have changed since the last refresh or have anything recorded from `until` on, or facts from
    then on were archived.
    """
    held = kept.load(connection, phase)
    if held is None or (_asks_for_past(columns) and held.since != kept.day_of(covariate_since)):
        return None
    arms = kept.corrected(connection, held, until)
    if arms is None:
        return None
    return as_totals(arms, columns, held.kept_at)


def as_totals(
    arms: Mapping[str, ArmSums], columns: Sequence[str], kept_at: datetime | None = None
) -> Sequence[ArmTotals]:
    """The asked columns of exact sums, by variant; what was kept says when it was refreshed."""
    named = [_own(column) for column in columns]
    chosen, divisors = [COLUMNS.index(name) for name in named], [_divisor(name) for name in named]
    return [
        ArmTotals(
            variant=variant,
            moments=arms[variant].sums.moments(columns, chosen, divisors),
            crossed=arms[variant].crossed,
            slates=arms[variant].slates,
            fallback_slates=arms[variant].fallback_slates,
            source="scan" if kept_at is None else "kept",
            kept_at=kept_at,
        )
        for variant in sorted(arms)
    ]


def _asks_for_past(columns: Sequence[str]) -> bool:
    return any(column == "has_pre" or column.startswith("pre_") for column in columns)


def _own(column: str) -> str:
    plain = column.removeprefix("pre_")
    return column.removesuffix(plain) + _MICROS.get(plain, plain)


def _divisor(name: str) -> int:
    return MICRO if name.endswith("_micros") else 1
