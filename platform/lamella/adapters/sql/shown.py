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
    found: defaultdict[tuple[str, int], _Block] = defaultdict(_Block)
    for row in connection.execute(_counts(_seen(stretch, blocks))):
        one = found[row.variant, row.block]
        if row.part == _ITEMS:
            one.items[row.item] = row.impressions
            one.fresh += int(row.one)
            one.dated += int(row.other)
        elif row.part == _RANKS:
            one.ranks[row.rank] = (row.impressions, int(row.one))
        else:
            one.lists, one.unlike = row.impressions, float(row.one)
    return [
        Shown(
            variant=variant,
            block=block,
            items=one.items,
            ranks=one.ranks,
            fresh=one.fresh,
            dated=one.dated,
            lists=one.lists,
            unlike=one.unlike,
        )
        for (variant, block), one in sorted(found.items())
    ]


def _seen(stretch: Stretch, blocks: int) -> sa.CTE:
    """The impressions that units of the phase were shown under their variant, with what is asked about each."""
    block = (unit_block(exposure.c.unit) % blocks).label("block")
    first = first_exposures(stretch, block).cte("exposed").prefix_with("NOT MATERIALIZED", dialect="sqlite")
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
        first.c.variant,
        first.c.block,
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
    """Rows of part, variant, block, item, rank, impressions, one and other: what the part counts."""
    keys, number = (seen.c.variant, seen.c.block), sa.func.count()
    no_item: sa.ColumnElement[Any] = sa.literal_column("''")
    no_rank: sa.ColumnElement[Any] = sa.literal_column("0")
    items = sa.select(
        *_named(_ITEMS, *keys, seen.c.item, no_rank, number, sa.func.sum(seen.c.fresh), sa.func.sum(seen.c.dated))
    ).group_by(*keys, seen.c.item)
    ranks = sa.select(
        *_named(_RANKS, *keys, no_item, seen.c.rank, number, sa.func.sum(seen.c.clicked), no_rank)
    ).group_by(*keys, seen.c.rank)
    lists = _lists(seen)
    own = (lists.c.variant, lists.c.block)
    pairs = lists.c.size * (lists.c.size - 1.0)
    unlike = sa.func.sum((lists.c.size * lists.c.size - lists.c.squares) / pairs)
    diverse = sa.select(*_named(_LISTS, *own, no_item, no_rank, number, unlike, no_rank)).where(lists.c.size > 1.5)
    return sa.union_all(items, ranks, diverse.group_by(*own))


def _lists(seen: sa.CTE) -> sa.CTE:
    """One row a list: how many of its items have a category, and the sum of squares of how many share one."""
    keys = (seen.c.variant, seen.c.block, seen.c.request_id)
    alike = (
        sa.select(*keys, sa.func.count().label("number"))
        .where(seen.c.category.is_not(None))
        .group_by(*keys, seen.c.category)
        .cte("alike")
    )
    size = sa.cast(sa.func.sum(alike.c.number), sa.Double).label("size")
    squares = sa.cast(sa.func.sum(alike.c.number * alike.c.number), sa.Double).label("squares")
    by_list = sa.select(alike.c.variant, alike.c.block, size, squares)
    return by_list.group_by(alike.c.variant, alike.c.block, alike.c.request_id).cte("by_list")


def _named(part: int, *columns: sa.ColumnElement[Any]) -> list[sa.ColumnElement[Any]]:
    """The columns of one part of the counts, the figures as floats."""
    names = ("variant", "block", "item", "rank", "impressions", "one", "other")
    figures = [sa.cast(each, sa.Double) for each in columns[-2:]]
    named = (each.label(name) for each, name in zip((*columns[:-2], *figures), names, strict=True))
    return [sa.literal_column(str(part)).label("part"), *named]


def _flag(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.case((condition, 1), else_=0)
