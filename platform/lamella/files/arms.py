"""The arms of a file: the moments of every column that its metrics need, and the quantiles, which no moments tell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from lamella.files.questions import BEFORE, ROWS, Declared, Form
from lamella.files.units import UnitTable, Values
from lamella.metrics.definitions import Direction, Metric, MetricUnit
from lamella.services.ports import ArmTotals
from lamella.stats.estimates import Estimate
from lamella.stats.moments import Moments
from lamella.stats.quantiles import clustered_quantile
from lamella.stats.undefined import Reason, Undefined
from lamella.stats.winsorising import pooled_cap

_ABSENT = ("slates", "fallback_slates")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arms:
    """The metrics in the order asked, the totals of every variant, and estimates by metric and variant."""

    metrics: Mapping[str, Metric]
    totals: tuple[ArmTotals, ...]
    estimates: Mapping[tuple[str, str], Estimate | Undefined]
    has_covariates: bool
    columns: Mapping[str, Values]
    declared: tuple[Declared, ...]
    table: UnitTable

    def within(self, column: str, value: str) -> "Arms":
        """The same of the units of one segment alone; crossed units belong to none."""
        chosen = self.table.segments[column].are(value)
        totals, estimates = _measured(self.table, self.declared, self.columns, chosen)
        return replace(self, totals=tuple(replace(each, crossed=0) for each in totals), estimates=estimates)


def arms_of(
    table: UnitTable,
    declared: Sequence[Declared],
    control: str,
    notes: list[str],
    *,
    covariates: Sequence[str],
    decrease: Sequence[str],
) -> Arms:
    """The arms of the table. Adds to `notes` which values were missing, and what was done about it."""
    filled = _filled(table, declared, notes)
    past, indicators = _past(table, covariates, notes)
    columns: dict[str, Values] = {**filled, **past}
    metrics: dict[str, Metric] = {}
    for each in declared:
        columns |= _derived(each, table, filled)
        own = _own_past(each, covariates, indicators)
        metrics[each.name] = _metric(each, columns, own, is_good_down=each.name in decrease)
    columns |= {name: np.zeros(len(table.rows)) for name in _ABSENT} | {"has_pre": np.ones(len(table.rows))}
    everybody = np.ones(len(table.rows), dtype=np.bool_)
    totals, estimates = _measured(table, declared, columns, everybody)
    if control not in {each.variant for each in totals}:
        notes.append(f"The control {control!r} has no unit that saw it alone.")
    return Arms(
        metrics=MappingProxyType(metrics),
        totals=totals,
        estimates=estimates,
        has_covariates=bool(covariates),
        columns=columns,
        declared=tuple(declared),
        table=table,
    )


def _measured(
    table: UnitTable, declared: Sequence[Declared], columns: Mapping[str, Values], chosen: NDArray[np.bool_]
) -> tuple[tuple[ArmTotals, ...], dict[tuple[str, str], Estimate | Undefined]]:
    totals, estimates = [], {}
    for variant in table.names:
        own = table.variants.are(variant) & chosen
        rows = np.column_stack([values[own] for values in columns.values()])
        totals.append(
            ArmTotals(
                variant=variant,
                moments=Moments.from_rows(tuple(columns), rows),
                crossed=table.crossed.get(variant, 0),
                slates=0,
                fallback_slates=0,
            )
        )
        for each in declared:
            if each.form is Form.QUANTILE:
                estimates[each.name, variant] = _quantile(table, each, own)
    return tuple(totals), estimates


def _quantile(table: UnitTable, declared: Declared, own: NDArray[np.bool_]) -> Estimate | Undefined:
    events = table.events[declared.columns[0]]
    chosen = own[events.owners]
    if not chosen.any():
        return Undefined(Reason.TOO_FEW_UNITS, f"no unit has a value of {declared.columns[0]}")
    return clustered_quantile(events.values[chosen], events.owners[chosen], quantile=declared.level or 0.5)


def _filled(table: UnitTable, declared: Sequence[Declared], notes: list[str]) -> dict[str, Values]:
    """The sums, with 0 for what a unit's events do not carry; in a file of units a missing value stays missing."""
    wanted = {name for each in declared if each.form is not Form.QUANTILE for name in each.columns}
    filled = {}
    for name, values in table.sums.items():
        missing = int(np.isnan(values).sum())
        if missing and name in wanted:
            notes.append(
                f"{name} has no value for {missing} units; "
                + (
                    "they count as 0."
                    if table.has_events
                    else "its metrics have no answer until the file says what it is."
                )
            )
        filled[name] = np.nan_to_num(values, nan=0.0) if table.has_events else values
    if ROWS in wanted and ROWS not in filled:
        filled[ROWS] = table.rows
    return filled


def _past(
    table: UnitTable, covariates: Sequence[str], notes: list[str]
) -> tuple[dict[str, Values], dict[str, tuple[str, ...]]]:
    """The covariates, filled where unknown, with an indicator of what was known."""
    columns: dict[str, Values] = {}
    indicators: dict[str, tuple[str, ...]] = {}
    for name in covariates:
        values = table.means[name]
        known = np.isfinite(values)
        fill = float(values[known].mean()) if known.any() else 0.0
        columns[name] = np.where(known, values, fill)
        indicators[name] = (name,)
        if not known.all():
            columns[f"has {name}"] = known.astype(np.float64)
            indicators[name] = (name, f"has {name}")
            notes.append(f"{name} is missing for {int((~known).sum())} units; they stay in, with an indicator.")
    return columns, indicators


def _own_past(
    declared: Declared, covariates: Sequence[str], indicators: Mapping[str, tuple[str, ...]]
) -> tuple[str, ...]:
    """The covariates of one metric: its columns' own twins where there are such, else all that were named."""
    twins = [f"{prefix}{name}" for name in declared.columns for prefix in BEFORE]
    own = [name for name in covariates if name in twins] or list(covariates)
    return tuple(column for name in own for column in indicators[name])


def _derived(declared: Declared, table: UnitTable, filled: Mapping[str, Values]) -> dict[str, Values]:
    """The column that a proportion or a capped mean is the mean of."""
    if declared.form is Form.PROPORTION:
        values = filled[declared.columns[0]]
        return {declared.text: np.where(np.isnan(values), np.nan, values > 0.0)}
    if declared.form is Form.WINSORISED:
        values = filled[declared.columns[0]]
        return {declared.text: np.minimum(values, pooled_cap([values], quantile=declared.level or 0.99))}
    return {declared.text: np.zeros(len(table.rows))} if declared.form is Form.QUANTILE else {}


def _metric(declared: Declared, columns: Mapping[str, Values], past: tuple[str, ...], *, is_good_down: bool) -> Metric:
    is_own = declared.form in (Form.PROPORTION, Form.WINSORISED, Form.QUANTILE)
    numerator = declared.text if is_own else declared.columns[0]
    denominator = declared.columns[1] if declared.form is Form.RATIO else None
    is_share = declared.form is Form.PROPORTION
    if denominator is not None:
        with np.errstate(invalid="ignore"):
            above, below = columns[numerator], columns[denominator]
            is_share = bool(((above >= 0.0) & (above <= below)).all())
    return Metric(
        key=declared.name,
        label=_label(declared),
        label_zh=_label(declared),
        numerator=(numerator,),
        denominator=denominator,
        unit=MetricUnit.SHARE if is_share else MetricUnit.COUNT,
        direction=Direction.DECREASE if is_good_down else Direction.INCREASE,
        is_bernoulli=declared.form is Form.PROPORTION,
        covariates=past,
    )


def _label(declared: Declared) -> str:
    if declared.form is Form.QUANTILE and declared.level is not None:
        return f"{declared.name} ({100.0 * declared.level:g}% quantile)"
    return declared.name
