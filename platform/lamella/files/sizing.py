"""The baseline of a metric from a file of units or events, for planning."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from lamella.errors import InvalidInput
from lamella.files.arms import arms_of
from lamella.files.questions import ROWS, Declared, Form, check_columns, guess_unit, parse_metric
from lamella.files.reading import look_into
from lamella.files.units import EVERYBODY, Layout, read_units
from lamella.metrics.definitions import Metric
from lamella.services.planning import measured_baseline
from lamella.stats.moments import Moments
from lamella.stats.power import Baseline
from lamella.stats.undefined import Undefined


class FileBaseline(NamedTuple):
    """What the file says of the metric: its baseline, that before CUPED (None without covariates), units, notes."""

    known: Baseline
    raw: Baseline | None
    units: int
    notes: tuple[str, ...]


def file_baseline(
    path: Path, metric: str, *, unit: str | None = None, covariates: tuple[str, ...] = (), each_row: bool = False
) -> FileBaseline:
    """The baseline of `metric` (as for `lamella analyze`) over all units of the file; variants play no part.

    Raises InvalidInput for a file or column that cannot be used, a quantile, and a metric that has no baseline.
    """
    source, declared = look_into(path), parse_metric(metric)
    if declared.form is Form.QUANTILE:
        raise InvalidInput("sizes are planned for means, proportions and ratios; plan a quantile by simulation")
    owner = None if each_row else unit or guess_unit(source)
    wanted = {name: f"metric {declared.name}" for name in declared.columns if name != ROWS}
    wanted |= dict.fromkeys(covariates, "a covariate")
    check_columns(source, wanted | ({owner: "the unit"} if owner else {}), numeric=tuple(wanted))
    sums = tuple(name for name in declared.columns if name in source.kinds)
    table = read_units(source, Layout(unit=owner, variant=None, sums=sums, means=covariates))
    notes: list[str] = []
    arms = arms_of(table, [declared], EVERYBODY, notes, covariates=covariates, decrease=())
    if not arms.totals:
        raise InvalidInput(f"{path}: no row has a unit")
    moments, units = arms.totals[0].moments, arms.totals[0].moments.n
    return _found(moments, arms.metrics, declared, units, notes, with_covariates=bool(covariates))


def _found(
    moments: Moments,
    metrics: Mapping[str, Metric],
    declared: Declared,
    units: int,
    notes: list[str],
    *,
    with_covariates: bool,
) -> FileBaseline:
    raw, adjusted = measured_baseline(moments, metrics[declared.name], with_covariates=with_covariates)
    if isinstance(raw, Undefined):
        raise InvalidInput(f"metric {declared.name!r} has no baseline ({raw.reason}): {raw.detail}")
    if isinstance(adjusted, Undefined):
        notes.append(f"The covariates were not used: {adjusted.detail}.")
        adjusted = None
    return FileBaseline(adjusted or raw, raw if adjusted else None, units, tuple(notes))
