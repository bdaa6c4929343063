"""Metrics within segments of units, by attributes that the first slate recorded, and whether the segments differ."""

from collections.abc import Mapping, Sequence
from typing import Final

from lamella.errors import InvalidInput
from lamella.experiments.model import DeclaredMetric, Json, MeasuredKind
from lamella.metrics.definitions import METRICS, Metric, needed_columns
from lamella.services.figures import corrected, estimates_of, metric_figures, numbers, ratio_figures
from lamella.services.measure_ports import Cell, FactStore, Stretch
from lamella.services.measuring import metric_from
from lamella.services.tabulating import finite
from lamella.stats.estimates import Difference, difference
from lamella.stats.heterogeneity import heterogeneity
from lamella.stats.moments import Moments
from lamella.stats.multiplicity import Correction, adjusted_p
from lamella.stats.undefined import Undefined

MOST_ATTRIBUTES: Final = 2
MOST_SEGMENTS: Final = 50
OTHER: Final = "(other)"
Values = tuple[str | None, ...]


def segments_document(
    facts: FactStore,
    stretch: Stretch,
    by: Sequence[str],
    metrics: Sequence[Metric],
    declared: Sequence[DeclaredMetric],
    *,
    arms: Sequence[str],
    control: str,
    weights: Mapping[str, int],
    most: int = MOST_SEGMENTS,
) -> dict[str, Json]:
    """The segments by one or two attributes, largest first, at most `most` and one of all others.

    Each has its sample ratio, corrected over the segments by Holm, and every metric; `heterogeneity` tests whether the
    difference is the same in all of them. Raises InvalidInput for no attribute or more than two.
    """
    names = list(dict.fromkeys(by))
    if not 1 <= len(names) <= MOST_ATTRIBUTES:
        raise InvalidInput(f"segments by {len(names)} attributes; name one or two")
    own = {each.key: each for each in declared}
    wanted = [own[each.key] for each in metrics if each.key in own and own[each.key].kind is not MeasuredKind.QUANTILE]
    columns = needed_columns([each for each in metrics if each.key in METRICS]) or ("slates",)
    found = facts.cells(stretch, columns, names, wanted)
    kept = _largest(found[""], most)
    held = {key: _by_segment(cells, kept) for key, cells in found.items()}
    usable = [*(each for each in metrics if each.key in METRICS), *(metric_from(each) for each in wanted)]
    rows: list[dict[str, Json]] = []
    for values in kept:
        moments = {variant: held[""].get((variant, values), Moments.empty(columns)) for variant in arms}
        rows.append(
            {
                "values": dict(zip(names, values, strict=True)),
                **_sizes(moments, weights),
                "metrics": [
                    metric_figures(metric, _arms(held, metric, values, arms, moments), control) for metric in usable
                ],
            }
        )
    ratios = [{"p": each["p"]} for each in rows]
    corrected(ratios, adjusted_p(numbers(ratios), Correction.HOLM) if numbers(ratios) else ())
    for row, ratio in zip(rows, ratios, strict=True):
        row["sample_ratio"] = {"p": row.pop("p"), "undefined": row.pop("undefined"), **_without_p(ratio)}
    return {
        "by": list(names),
        "segments": list(rows),
        "heterogeneity": _heterogeneity(usable, held, kept, (control, *(each for each in arms if each != control))),
    }


def _sizes(moments: Mapping[str, Moments], weights: Mapping[str, int]) -> dict[str, Json]:
    return ratio_figures({variant: each.n for variant, each in moments.items()}, weights)


def _without_p(ratio: Mapping[str, Json]) -> dict[str, Json]:
    return {key: value for key, value in ratio.items() if key != "p"}


def _largest(cells: Sequence[Cell], most: int) -> list[Values]:
    """The segments by size; those beyond the limit are one, at the end."""
    sizes: dict[Values, int] = {}
    for each in cells:
        sizes[each.values] = sizes.get(each.values, 0) + each.moments.n
    ordered = sorted(sizes, key=lambda values: (-sizes[values], tuple(value or "" for value in values)))
    kept = ordered[:most]
    return [*kept, (OTHER,) * len(ordered[0])] if len(ordered) > most else kept


def _by_segment(cells: Sequence[Cell], kept: Sequence[Values]) -> dict[tuple[str, Values], Moments]:
    known, found = set(kept), dict[tuple[str, Values], Moments]()
    for each in cells:
        values = each.values if each.values in known else (OTHER,) * len(each.values)
        before = found.get((each.variant, values))
        found[each.variant, values] = each.moments if before is None else before + each.moments
    return found


def _arms(
    held: Mapping[str, Mapping[tuple[str, Values], Moments]],
    metric: Metric,
    values: Values,
    arms: Sequence[str],
    moments: Mapping[str, Moments],
) -> dict[str, Moments]:
    own = held.get(metric.key)
    if own is None:
        return dict(moments)
    return {variant: own.get((variant, values), Moments.empty(metric.columns)) for variant in arms}


def _heterogeneity(
    metrics: Sequence[Metric],
    held: Mapping[str, Mapping[tuple[str, Values], Moments]],
    kept: Sequence[Values],
    arms: Sequence[str],
) -> list[Json]:
    """Whether the difference is the same in all segments: one test for each metric and variant, Holm over them.

    The first of `arms` is control.
    """
    rows: list[dict[str, Json]] = []
    columns = next((each.columns for each in held[""].values()), ())
    control, *others = arms
    for metric in metrics:
        for variant in others:
            pairs: list[Difference | Undefined] = []
            for values in kept:
                plain = {each: held[""].get((each, values), Moments.empty(columns)) for each in (control, variant)}
                moments = _arms(held, metric, values, (control, variant), plain)
                pairs.append(difference(estimates_of(metric, moments[control]), estimates_of(metric, moments[variant])))
            found = heterogeneity([each for each in pairs if isinstance(each, Difference)])
            is_undefined = isinstance(found, Undefined)
            rows.append(
                {
                    "metric": metric.key,
                    "variant": variant,
                    "statistic": None if isinstance(found, Undefined) else finite(found.statistic),
                    "df": None if isinstance(found, Undefined) else found.df,
                    "p": None if isinstance(found, Undefined) else finite(found.p),
                    "undefined": found.reason.value if is_undefined and isinstance(found, Undefined) else None,
                }
            )
    p = numbers(rows)
    adjusted = iter(adjusted_p(p, Correction.HOLM) if p else ())
    return [{**row, "p_adjusted": None if row["p"] is None else next(adjusted)} for row in rows]
