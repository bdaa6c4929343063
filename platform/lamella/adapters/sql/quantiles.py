"""A quantile of the events' property by variant, with its variance clustered by unit; no event leaves the database."""

from typing import Any

import sqlalchemy as sa

from lamella.adapters.sql.events import TABLES, events_of, filter_of, first_exposures, value_of
from lamella.adapters.sql.expressions import shifted
from lamella.adapters.sql.grouping import grouped, moments_in
from lamella.experiments.model import DeclaredMetric
from lamella.services.measure_ports import Measured, Stretch
from lamella.stats.estimates import Estimate
from lamella.stats.quantiles import quantile_from_counts, quantile_ranks
from lamella.stats.undefined import Undefined

_COLUMNS = ("events", "below")


def quantiles_in(connection: sa.Connection, stretch: Stretch, metric: DeclaredMetric) -> Measured:
    """The quantile of each variant that has events: their number, three order statistics, and counts by unit."""
    quantile = metric.quantile or 0.5
    values = _values(stretch, metric)
    counted = sa.select(values.c.variant, sa.func.count().label("events")).group_by(values.c.variant)
    ranks = {
        row.variant: quantile_ranks(row.events, quantile)
        for row in connection.execute(counted)
        if row.events is not None
    }
    if not ranks:
        return Measured()
    place = sa.func.row_number().over(partition_by=values.c.variant, order_by=values.c.value).label("place")
    ordered = sa.select(values.c.variant, values.c.value, place).cte("ordered")
    wanted = sa.or_(
        *(sa.and_(ordered.c.variant == variant, ordered.c.place.in_(places)) for variant, places in ranks.items())
    )
    rows = connection.execute(sa.select(ordered.c.variant, ordered.c.place, ordered.c.value).where(wanted))
    held = {(row.variant, row.place): float(row.value) for row in rows}
    statistics = {
        variant: (held[variant, low], held[variant, own], held[variant, high])
        for variant, (low, own, high) in ranks.items()
    }
    limit = sa.case(
        *((values.c.variant == variant, sa.literal(found[1], sa.Double)) for variant, found in statistics.items())
    )
    is_below = sa.case((values.c.value <= limit, sa.literal_column("1.0")), else_=sa.literal_column("0.0"))
    units = (
        sa.select(
            values.c.variant,
            values.c.unit,
            sa.cast(sa.func.count(), sa.Double).label("events"),
            sa.func.sum(is_below).label("below"),
        )
        .group_by(values.c.variant, values.c.unit)
        .cte("units")
    )
    found: dict[str, Estimate | Undefined] = {}
    counts = {}
    for row in connection.execute(grouped(units, [_COLUMNS], ("variant",))):
        counts[row.variant] = moments_in(row, _COLUMNS)
        found[row.variant] = quantile_from_counts(counts[row.variant], statistics[row.variant], quantile=quantile)
    return Measured(quantiles=found, moments=counts)


def _values(stretch: Stretch, metric: DeclaredMetric) -> sa.CTE:
    """The events that count, each with its unit, variant and value."""
    first = first_exposures(stretch).cte("exposed").prefix_with("NOT MATERIALIZED", dialect="sqlite")
    fact = TABLES[metric.measure.event]
    conditions: list[Any] = [fact.c.time < stretch.until, filter_of(metric.measure)]
    start, end = round(metric.window.start_hours * 3600.0), metric.window.end_hours
    conditions.append(fact.c.time >= (shifted(first.c.first_at, start) if start else first.c.first_at))
    if end is not None:
        conditions.append(fact.c.time < shifted(first.c.first_at, round(end * 3600.0)))
    if stretch.since is not None:
        conditions.append(fact.c.time >= stretch.since)
    asked = sa.select(first.c.variant, first.c.unit, value_of(metric.measure).label("value"))
    return asked.select_from(events_of(fact, first)).where(*conditions).cte("happened")
