"""Moments by group: n, sums and products of unit-level columns, shifted by each group's mean, in one query."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa

from lamella.stats.moments import Moments


def grouped(
    units: sa.CTE, families: Sequence[Sequence[str]], keys: Sequence[str], *extra: sa.ColumnElement[Any]
) -> sa.Select[Any]:
    """Rows of `keys`, `units`, `extra`, and for column i of family f pilot_f_i, sum_f_i, product_f_i_j.

    A family is what is multiplied with each other. `units` has one row a unit; its columns are floats, its keys never
    null. Sums are shifted by the group's mean, so that values near 1e9 with variance near 1 survive.
    """
    by = [units.c[key] for key in keys]
    names = list(dict.fromkeys(name for family in families for name in family))
    means = sa.select(*by, *(sa.func.avg(units.c[name]).label(name) for name in names)).group_by(*by).cte("pilot")
    asked: list[sa.ColumnElement[Any]] = [*by, sa.func.count().label("units"), *extra]
    for number, family in enumerate(families):
        shifted = [units.c[name] - means.c[name] for name in family]
        asked += [sa.func.max(means.c[name]).label(f"pilot_{number}_{i}") for i, name in enumerate(family)]
        asked += [sa.func.sum(each).label(f"sum_{number}_{i}") for i, each in enumerate(shifted)]
        asked += [
            sa.func.sum(one * other).label(f"product_{number}_{i}_{j}")
            for i, one in enumerate(shifted)
            for j, other in enumerate(shifted)
            if i <= j
        ]
    same = sa.and_(*(means.c[key] == units.c[key] for key in keys))
    return sa.select(*asked).select_from(units.join(means, same)).group_by(*by)


def moments_in(row: sa.Row[Any], columns: Sequence[str], number: int = 0, *, scale: Sequence[float] = ()) -> Moments:
    """The moments of family `number` in a row of `grouped`; `scale` multiplies each column."""
    values, k = row._mapping, len(columns)  # noqa: SLF001 - SQLAlchemy's public name for it
    pilot = np.array([values[f"pilot_{number}_{i}"] for i in range(k)], dtype=np.float64)
    sums = np.array([values[f"sum_{number}_{i}"] for i in range(k)], dtype=np.float64)
    products = np.zeros((k, k))
    for i in range(k):
        for j in range(i, k):
            products[i, j] = products[j, i] = values[f"product_{number}_{i}_{j}"]
    by = np.array(scale or [1.0] * k)
    return Moments.from_shifted_sums(columns, row.units, pilot * by, sums * by, products * np.outer(by, by))
