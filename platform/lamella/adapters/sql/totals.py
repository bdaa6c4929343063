"""What the facts add up to: totals per unit, arm and day, and first exposures, kept in the ingest transaction.

Both are exact in whatever order the records come: totals are integer sums, an exposure keeps the earliest moment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.dialects import postgresql

from lamella.adapters.sql.bulk import Bulk
from lamella.adapters.sql.changes import noted, noting_exposures
from lamella.adapters.sql.columns import DAY_MICROS, MICRO, Column, Integers, joined, micros_of, plain, taken
from lamella.adapters.sql.kept_schema import total_change
from lamella.adapters.sql.schema import TOTALS, exposure, unit_total
from lamella.adapters.sql.slate_frame import NOTHING, Slates
from lamella.events.contract import Exposed

__all__ = ["MICRO", "Totals"]

(
    SLATES, FALLBACK_SLATES, IMPRESSIONS, CLICKS, READS, READ_MICROS, COMPLETION_MICROS, COMPLETION_READS,
    COMMENTS, SHARES, INTERACTIONS,
) = range(len(TOTALS))  # fmt: skip

# A temporary copy of the columns without their constraints.
stage_exposure: Final = sa.Table(
    "stage_exposure",
    sa.MetaData(),
    *(sa.Column(column.name, column.type) for column in exposure.columns),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DELETE ROWS",
)

_LAST_NOTE: Final = "SELECT coalesce(max(id), 0) FROM total_change"
_NOTED: Final = ("unit", "arm", "day", *TOTALS)
_Added: TypeAlias = Sequence[tuple[int, Integers | int]]


@dataclass(frozen=True, slots=True)
class _Block:
    """Records that add to the totals of their units, arms and days: `added` has (total, what each adds).

    Those that are exposures have `exposures`, and in `combination` which of them each is.
    """

    units: Column
    arms: Integers
    micros: Integers
    added: _Added
    exposures: Sequence[tuple[Exposed, ...]] = ()
    combination: Integers | None = None


class _Firsts(NamedTuple):
    """The first exposures of units to one phase, in the order of the units, by number."""

    units: Integers
    micros: Integers
    variants: Sequence[str]
    counted: NDArray[np.bool_]
    crossed: NDArray[np.bool_]


class Totals:
    """The sums of the records that one transaction stores, during which no other ingest runs.

    Times are microseconds since 1970. Nothing is summed before `store`, and then all at once.
    """

    def __init__(self, bulk: Bulk) -> None:
        self._bulk = bulk
        # What is added is noted, and the notes from here on are what the sums are taken from.
        ((self._last_note,),) = bulk.read(_LAST_NOTE)
        bulk.stage(stage_exposure)
        self._blocks: list[_Block] = []

    def add_slates(self, slates: Slates, arms: Integers) -> None:
        """Counts the slates, their impressions and their exposures."""
        fell_back = np.fromiter(map(NOTHING.__ne__, slates.fallbacks), dtype=np.int64, count=arms.size)
        shown = np.array(slates.shown, dtype=np.int64)
        added: _Added = [(SLATES, 1), (IMPRESSIONS, shown), (FALLBACK_SLATES, fell_back)]
        block = _Block(slates.units, arms, slates.micros, added, slates.exposures, slates.combination)
        self._blocks.append(block)

    def add_exposures(self, units: Column, arms: Integers, micros: Integers, exposed: Sequence[Exposed]) -> None:
        """Counts exposures without a slate: totals of zero, so that the unit takes part in the analysis."""
        from lamella.adapters.sql.arrays import strings

        distinct = {each: number for number, each in enumerate(dict.fromkeys(exposed))}
        combination = np.array([distinct[each] for each in exposed], dtype=np.int64)
        self._blocks.append(_Block(strings(units), arms, micros, [], [(each,) for each in distinct], combination))

    def add_events(self, kind: str, units: Column, arms: Integers, micros: Integers, extras: Sequence[Column]) -> None:
        """Counts events of a kind under the arms of their slates, on their own days."""
        added: _Added
        match kind, extras:
            case "click", ():
                added = [(CLICKS, 1)]
            case "read", (seconds, completions):
                measured = [each is not None for each in plain(completions)]
                shares = [0.0 if each is None else each for each in plain(completions)]
                added = [
                    (READS, 1),
                    (READ_MICROS, micros_of(seconds)),
                    (COMPLETION_READS, np.array(measured, dtype=np.int64)),
                    (COMPLETION_MICROS, micros_of(shares)),
                ]
            case "interaction", (actions,):
                names = np.array(actions)
                added = [(INTERACTIONS, 1), (COMMENTS, (names == "comment") * 1), (SHARES, (names == "share") * 1)]
            case _:
                return
        self._blocks.append(_Block(units, arms, micros, added))

    def store(self) -> None:
        """Adds the sums to the store's, and keeps the earlier of each two exposures."""
        from lamella.adapters.sql import arrays  # Arrow, which readers of the store need not import

        blocks = [block for block in self._blocks if block.arms.size]
        if not blocks:
            return
        statements = _statements(self._bulk.insert)
        codes, names = arrays.coded(arrays.joined([block.units for block in blocks]))
        parts = np.split(codes, np.cumsum([block.arms.size for block in blocks])[:-1])
        self._bulk.append(total_change, dict(zip(_NOTED, self._total_columns(blocks, codes, names), strict=True)))
        self._bulk.run(statements.add_totals, self._last_note)
        firsts = _firsts([(part, block) for part, block in zip(parts, blocks, strict=True) if block.exposures])
        if firsts:
            columns = self._exposure_columns(firsts, names)
            self._bulk.append(stage_exposure, dict(zip(stage_exposure.columns.keys(), columns, strict=True)))
            for statement in statements.keep_first:
                self._bulk.run(statement)

    def _total_columns(self, blocks: Sequence[_Block], codes: Integers, names: Column) -> list[Column]:
        arms = np.concatenate([block.arms for block in blocks])
        days = np.concatenate([block.micros for block in blocks]) // DAY_MICROS
        # One number for unit, arm and day: to sort that is a third of the price.
        least_arm, least_day = arms.min(), days.min()
        of_arm, of_day = arms.max() - least_arm + 1, days.max() - least_day + 1
        keys = (codes * of_arm + arms - least_arm) * of_day + days - least_day
        distinct, rows = np.unique(keys, return_inverse=True)
        sums, at = np.zeros((len(TOTALS), distinct.size), dtype=np.int64), 0
        for block in blocks:
            mine = rows[at : at + block.arms.size]
            at += mine.size
            for total, values in block.added:
                np.add.at(sums[total], mine, values)
        pairs, day = np.divmod(distinct, of_day)
        unit, arm = np.divmod(pairs, of_arm)
        return [taken(names, unit), arm + least_arm, self._bulk.days(day + least_day), *sums]

    def _exposure_columns(self, firsts: Mapping[int, _Firsts], names: Column) -> list[Column]:
        found = list(firsts.values())
        micros = np.concatenate([each.micros for each in found])
        return [
            np.repeat(list(firsts), [each.units.size for each in found]),
            taken(names, np.concatenate([each.units for each in found])),
            joined([each.variants for each in found]),
            self._bulk.moments(micros),
            self._bulk.days(micros // DAY_MICROS),
            np.concatenate([each.counted for each in found]),
            np.concatenate([each.crossed for each in found]),
        ]


def _firsts(shown: Sequence[tuple[Integers, _Block]]) -> dict[int, _Firsts]:
    """The first exposures by phase. At the same moment the variant whose name is smaller comes first."""
    if not shown:
        return {}
    codes, micros = (np.concatenate(each) for each in ([one for one, _ in shown], [each.micros for _, each in shown]))
    exposures = [combined for _, block in shown for combined in block.exposures]
    before = np.cumsum([0, *(len(block.exposures) for _, block in shown)])
    combination = np.concatenate([block.combination + at for (_, block), at in zip(shown, before, strict=False)])
    found: dict[int, _Firsts] = {}
    for phase in sorted({each.phase for combined in exposures for each in combined}):
        met = [next((each for each in combined if each.phase == phase), None) for combined in exposures]
        variants = sorted({each.variant for each in met if each is not None})
        number = np.array([-1 if each is None else variants.index(each.variant) for each in met])[combination]
        counted = np.array([each is not None and each.counted for each in met])[combination]
        (mine,) = np.nonzero(number >= 0)
        mine = mine[np.lexsort((number[mine], micros[mine], codes[mine]))]
        starts = np.flatnonzero(np.diff(codes[mine], prepend=-1))
        first, number = mine[starts], number[mine]
        found[phase] = _Firsts(
            units=codes[first],
            micros=micros[first],
            variants=[variants[each] for each in number[starts].tolist()],
            counted=np.logical_and.reduceat(counted[mine], starts),
            crossed=np.maximum.reduceat(number, starts) != np.minimum.reduceat(number, starts),
        )
    return found


class _Statements(NamedTuple):
    """What stores the notes and the staged rows."""

    add_totals: sa.Executable
    keep_first: Sequence[sa.Executable]


@cache
def _statements(insert: Any) -> _Statements:
    return _Statements(_add_totals(insert), _keep_first(insert))


def _add_totals(insert: Any) -> sa.Executable:
    """Adds the notes whose number is higher than the one that is given."""
    source = sa.select(*(total_change.c[name] for name in _NOTED)).where(total_change.c.id > sa.literal_column("?"))
    adding = insert(unit_total).from_select(_NOTED, source)
    summed = {name: unit_total.c[name] + adding.excluded[name] for name in TOTALS}
    statement: sa.Executable = adding.on_conflict_do_update(index_elements=["unit", "arm", "day"], set_=summed)
    return statement


def _changing(*columns: Any) -> sa.Select[Any]:
    """The staged exposures that are new or change the one that is kept."""
    new, old = stage_exposure.c, exposure.c
    changed = sa.or_(
        old.unit.is_(None),
        _is_earlier(new, old),
        sa.and_(sa.or_(new.crossed, new.variant != old.variant), sa.not_(old.crossed)),
        sa.and_(old.counted, sa.not_(new.counted)),
    )
    pair = sa.and_(new.phase == old.phase, new.unit == old.unit)
    return sa.select(*columns).select_from(stage_exposure.outerjoin(exposure, pair)).where(changed)


def _keep_first(insert: Any) -> Sequence[sa.Executable]:
    """What notes the exposures that change as they were, and then keeps the new ones.

    PostgreSQL does both in one statement and so looks for what changes once; SQLite has no such statement.
    """
    new = stage_exposure.c
    if insert is not postgresql.insert:
        noting = noting_exposures(_changing(new.phase, new.unit, *noted()))
        return noting, _inserting(insert, _changing(*new))
    before = [each.label(f"old_{each.key}") for each in noted()]
    changing = _changing(*new, *before).cte("changing")
    found = [changing.c[name] for name in ("phase", "unit", *(each.key for each in before))]
    noted_too = noting_exposures(sa.select(*found)).cte("noting")
    return (_inserting(insert, sa.select(*(changing.c[name] for name in new.keys()))).add_cte(noted_too),)  # noqa: SIM118


def _inserting(insert: Any, changed: sa.Select[Any]) -> Any:
    """Inserts new exposures and updates those that changed; the others are not even locked."""
    old = exposure.c
    adding = insert(exposure).from_select(old.keys(), changed)
    late = adding.excluded
    is_earlier = _is_earlier(late, old)
    return adding.on_conflict_do_update(
        index_elements=["phase", "unit"],
        set_={
            "crossed": sa.or_(old.crossed, late.crossed, old.variant != late.variant),
            "counted": sa.and_(old.counted, late.counted),
            "variant": sa.case((is_earlier, late.variant), else_=old.variant),
            "first_day": sa.case((is_earlier, late.first_day), else_=old.first_day),
            "first_at": sa.case((is_earlier, late.first_at), else_=old.first_at),
        },
    )


def _is_earlier(one: Any, other: Any) -> sa.ColumnElement[bool]:
    is_same_moment = sa.and_(one.first_at == other.first_at, one.variant < other.variant)
    return sa.or_(one.first_at < other.first_at, is_same_moment)
