"""What units were shown, in blocks of units: the counts that the figures of recommender health are made of."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from lamella.adapters.sql.events import first_exposures
from lamella.adapters.sql.expressions import attribute, shifted, unit_block
from lamella.adapters.sql.schema import arm_member, click, exposure, impression, item
from lamella.metrics.health import NEW_DAYS, Shown
from lamella.services.measure_ports import Stretch

_CATEGORIES: Final = ("category", "topic")
_KEYS: Final = ("variant", "block")


@dataclass(slots=True)
class _Block:
    items: dict[str, int] = field(default_factory=dict)
    ranks: dict[int, tuple[int, int]] = field(default_factory=dict)
    fresh: int = 0
    dated: int = 0
    lists: int = 0
    unlike: float = 0.0


def shown_in(connection: sa.Connection, stretch: Stretch, blocks: int) -> Sequence[Shown]:
    """The counts by variant and block, in that order; three grouped queries over the impressions."""
    found: defaultdict[tuple[str, int], _Block] = defaultdict(_Block)
    for row in connection.execute(_items(stretch, blocks)):
        one = found[row.variant, row.block]
        one.items[row.item] = row.impressions
        one.fresh += int(row.fresh)
        one.dated += int(row.dated)
    for row in connection.execute(_ranks(stretch, blocks)):
        found[row.variant, row.block].ranks[row.rank] = (row.impressions, int(row.clicked))
    for row in connection.execute(_lists(stretch, blocks)):
        one = found[row.variant, row.block]
        one.lists, one.unlike = row.lists, float(row.unlike)
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


def _impressions(stretch: Stretch, blocks: int, *columns: Any) -> sa.Select[Any]:
    """The impressions that units of the phase were shown under their variant."""
    block = (unit_block(exposure.c.unit) % blocks).label("block")
    first = first_exposures(stretch, block).cte("exposed")
    member = sa.and_(
        arm_member.c.arm == impression.c.arm,
        arm_member.c.phase == stretch.phase,
        arm_member.c.variant == first.c.variant,
        arm_member.c.counted,
    )
    since = [impression.c.time >= stretch.since] if stretch.since is not None else []
    return (
        sa.select(first.c.variant, first.c.block, *columns)
        .select_from(first.join(impression, impression.c.unit == first.c.unit).join(arm_member, member))
        .where(impression.c.time < stretch.until, *since)
    )


def _items(stretch: Stretch, blocks: int) -> sa.Select[Any]:
    seen = _impressions(stretch, blocks, impression.c.item, impression.c.time).cte("seen")
    is_fresh = shifted(item.c.published_at, NEW_DAYS * 86_400) >= seen.c.time
    asked = (
        sa.func.count().label("impressions"),
        sa.func.sum(sa.case((is_fresh, 1), else_=0)).label("fresh"),
        sa.func.count(item.c.published_at).label("dated"),
    )
    joined = seen.outerjoin(item, item.c.key == seen.c.item)
    keys = (seen.c.variant, seen.c.block, seen.c.item)
    return sa.select(*keys, *asked).select_from(joined).group_by(*keys)


def _ranks(stretch: Stretch, blocks: int) -> sa.Select[Any]:
    seen = _impressions(stretch, blocks, impression.c.rank, impression.c.request_id, impression.c.item).cte("seen")
    since = [click.c.time >= stretch.since] if stretch.since is not None else []
    # A second click on the same impression adds nothing.
    clicked = (
        sa.select(click.c.request_id, click.c.item)
        .where(click.c.time < stretch.until, *since)
        .distinct()
        .cte("clicked")
    )
    same = sa.and_(clicked.c.request_id == seen.c.request_id, clicked.c.item == seen.c.item)
    keys = (seen.c.variant, seen.c.block, seen.c.rank)
    asked = (sa.func.count().label("impressions"), sa.func.count(clicked.c.item).label("clicked"))
    return sa.select(*keys, *asked).select_from(seen.outerjoin(clicked, same)).group_by(*keys)


def _lists(stretch: Stretch, blocks: int) -> sa.Select[Any]:
    category = sa.func.coalesce(*(attribute(item.c.attributes, name) for name in _CATEGORIES))
    seen = _impressions(stretch, blocks, impression.c.request_id, impression.c.item).cte("seen")
    kinds = sa.select(item.c.key, category.label("category")).cte("kinds")
    keys = (seen.c.variant, seen.c.block, seen.c.request_id)
    alike = (
        sa.select(*keys, kinds.c.category, sa.func.count().label("number"))
        .select_from(seen.join(kinds, kinds.c.key == seen.c.item))
        .where(kinds.c.category.is_not(None))
        .group_by(*keys, kinds.c.category)
        .cte("alike")
    )
    by_list = (
        sa.select(
            alike.c.variant,
            alike.c.block,
            sa.cast(sa.func.sum(alike.c.number), sa.Double).label("size"),
            sa.cast(sa.func.sum(alike.c.number * alike.c.number), sa.Double).label("squares"),
        )
        .group_by(alike.c.variant, alike.c.block, alike.c.request_id)
        .cte("by_list")
    )
    pairs = by_list.c.size * (by_list.c.size - 1.0)
    unlike = (by_list.c.size * by_list.c.size - by_list.c.squares) / pairs
    own = (by_list.c.variant, by_list.c.block)
    asked = (sa.func.count().label("lists"), sa.func.sum(unlike).label("unlike"))
    return sa.select(*own, *asked).where(by_list.c.size > 1.5).group_by(*own)
