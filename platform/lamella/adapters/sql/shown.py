"""What units were shown, in blocks of units: the counts that the figures of recommender health are made of."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from lamella.adapters.sql.events import events_of, first_exposures
from lamella.adapters.sql.expressions import attribute, shifted, unit_block
from lamella.adapters.sql.schema import arm_member, click, exposure, impression, item
from lamella.metrics.health import NEW_DAYS, Shown
from lamella.services.measure_ports import Stretch

_CATEGORIES: Final = ("category", "topic")
_ITEMS: Final = 1
_RANKS: Final = 2
_LISTS: Final = 3
_FIGURES: Final = 4
_NO_TEXT: Final[sa.ColumnElement[Any]] = sa.literal_column("''")
_NO_NUMBER: Final[sa.ColumnElement[Any]] = sa.literal_column("0")


@dataclass(slots=True)
class _Block:
    items: dict[str, int] = field(default_factory=dict)
    ranks: dict[int, tuple[int, int]] = field(default_factory=dict)
    fresh: int = 0
    dated: int = 0
    lists: int = 0
    unlike: float = 0.0


def shown_in(connection: sa.Connection, stretch: Stretch, blocks: int) -> Sequence[Shown]:
    """The counts by variant and block, in that order; one query, which reads the impressions once."""
    own = sa.and_(arm_member.c.phase == stretch.phase, arm_member.c.counted)
    variants = sorted(connection.execute(sa.select(arm_member.c.variant).where(own).distinct()).scalars())
    if not variants:
        return []
    found: defaultdict[int, _Block] = defaultdict(_Block)
    for part, cell, item_key, held, rank, *figures in connection.execute(_counts(_seen(stretch, variants, blocks))):
        if part == _ITEMS:
            for each in held.split(","):
                at, _, impressions = each.partition(":")
                found[int(at)].items[item_key] = int(impressions)
            continue
        one, (first, second, third, fourth) = found[cell], figures
        if part == _RANKS:
            one.ranks[rank] = (int(first), int(second))
            one.fresh += int(third)
            one.dated += int(fourth)
        else:
            one.lists, one.unlike = int(first), second
    return [
        Shown(
            variant=variants[cell // blocks],
            block=cell % blocks,
            items=one.items,
            ranks=one.ranks,
            fresh=one.fresh,
            dated=one.dated,
            lists=one.lists,
            unlike=one.unlike,
        )
        for cell, one in sorted(found.items())
    ]


def _seen(stretch: Stretch, variants: Sequence[str], blocks: int) -> sa.CTE:
    """The impressions that units of the phase were shown under their variant, with what is asked about each.

    A variant and block are one number, its cell: rows are grouped several times by it.
    """
    number = sa.case({variant: place * blocks for place, variant in enumerate(variants)}, value=exposure.c.variant)
    cell = (number + unit_block(exposure.c.unit) % blocks).label("cell")
    # PostgreSQL would work out the cell once an impression; SQLite finds a unit by the key of the table.
    first = first_exposures(stretch, cell).cte("exposed")
    first = first.prefix_with("MATERIALIZED", dialect="postgresql").prefix_with("NOT MATERIALIZED", dialect="sqlite")
    member = sa.and_(
        arm_member.c.arm == impression.c.arm,
        arm_member.c.phase == stretch.phase,
        arm_member.c.variant == first.c.variant,
        arm_member.c.counted,
    )
    since = [impression.c.time >= stretch.since] if stretch.since is not None else []
    # A second click on the same impression adds nothing.
    within = [click.c.time >= stretch.since] if stretch.since is not None else []
    clicked = (sa.select(click.c.request_id, click.c.item).where(click.c.time < stretch.until, *within).distinct()).cte(
        "clicked"
    )
    is_clicked = sa.and_(clicked.c.request_id == impression.c.request_id, clicked.c.item == impression.c.item)
    category = sa.func.coalesce(*(attribute(item.c.attributes, name) for name in _CATEGORIES))
    kinds = sa.select(item.c.key, item.c.published_at, category.label("category")).cte("kinds")
    is_fresh = shifted(kinds.c.published_at, NEW_DAYS * 86_400) >= impression.c.time
    joined = (
        events_of(impression, first)
        .join(arm_member, member)
        .outerjoin(kinds, kinds.c.key == impression.c.item)
        .outerjoin(clicked, is_clicked)
    )
    asked = sa.select(
        first.c.cell,
        impression.c.item,
        impression.c.rank,
        impression.c.request_id,
        kinds.c.category,
        _flag(is_fresh).label("fresh"),
        _flag(kinds.c.published_at.is_not(None)).label("dated"),
        _flag(clicked.c.item.is_not(None)).label("clicked"),
    )
    return asked.select_from(joined).where(impression.c.time < stretch.until, *since).cte("seen")


def _counts(seen: sa.CTE) -> sa.CompoundSelect[Any]:
    """Rows of part, cell, item, held, rank and four figures: what the part counts.

    An item is one row, which holds its impressions by cell as text: a row for each cell would be some hundred times as
    many, and took longer to fetch than to count.
    """
    number: sa.ColumnElement[Any] = sa.func.count()
    by_item = sa.select(seen.c.cell, seen.c.item, number.label("impressions")).group_by(seen.c.cell, seen.c.item)
    one = by_item.cte("by_item")
    pair = sa.cast(one.c.cell, sa.Text) + ":" + sa.cast(one.c.impressions, sa.Text)
    items = sa.select(*_named(_ITEMS, item_key=one.c.item, held=sa.func.aggregate_strings(pair, ",")))
    figures = [number, *(sa.func.sum(each) for each in (seen.c.clicked, seen.c.fresh, seen.c.dated))]
    ranks = sa.select(*_named(_RANKS, *figures, cell=seen.c.cell, rank=seen.c.rank))
    lists = _lists(seen)
    pairs = lists.c.size * (lists.c.size - 1.0)
    unlike = sa.func.sum((lists.c.size * lists.c.size - lists.c.squares) / pairs)
    diverse = sa.select(*_named(_LISTS, number, unlike, cell=lists.c.cell)).where(lists.c.size > 1.5)
    return sa.union_all(
        items.group_by(one.c.item), ranks.group_by(seen.c.cell, seen.c.rank), diverse.group_by(lists.c.cell)
    )


def _lists(seen: sa.CTE) -> sa.CTE:
    """One row a list: how many of its items have a category, and the sum of squares of how many share one."""
    keys = (seen.c.cell, seen.c.request_id)
    alike = (
        sa.select(*keys, sa.func.count().label("number"))
        .where(seen.c.category.is_not(None))
        .group_by(*keys, seen.c.category)
        .cte("alike")
    )
    size = sa.cast(sa.func.sum(alike.c.number), sa.Double).label("size")
    squares = sa.cast(sa.func.sum(alike.c.number * alike.c.number), sa.Double).label("squares")
    by_list = sa.select(alike.c.cell, size, squares)
    return by_list.group_by(alike.c.cell, alike.c.request_id).cte("by_list")


def _named(
    part: int,
    *figures: sa.ColumnElement[Any],
    cell: sa.ColumnElement[Any] = _NO_NUMBER,
    item_key: sa.ColumnElement[Any] = _NO_TEXT,
    held: sa.ColumnElement[Any] = _NO_TEXT,
    rank: sa.ColumnElement[Any] = _NO_NUMBER,
) -> list[sa.ColumnElement[Any]]:
    """The columns of one part of the counts, the figures as floats, as many as any part has."""
    floats = [sa.cast(each, sa.Double) for each in (*figures, *[_NO_NUMBER] * (_FIGURES - len(figures)))]
    named = (cell.label("cell"), item_key.label("item"), held.label("held"), rank.label("rank"))
    numbered = (each.label(f"figure_{place}") for place, each in enumerate(floats))
    return [sa.literal_column(str(part)).label("part"), *named, *numbered]


def _flag(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.case((condition, 1), else_=0)
