"""The metrics, as declarations over the unit-level columns of the record."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from lamella.errors import NotFound


class MetricKind(StrEnum):
    """What a metric is of its units: a mean, a share, a ratio of sums, a quantile of events, a share that returns."""

    MEAN = "mean"
    PROPORTION = "proportion"
    RATIO = "ratio"
    QUANTILE = "quantile"
    RETENTION = "retention"


class Direction(StrEnum):
    """Which way is better."""

    INCREASE = "increase"
    DECREASE = "decrease"


class MetricUnit(StrEnum):
    """What the value counts."""

    SHARE = "share"
    SECONDS = "seconds"
    COUNT = "count"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric: the sum of the `numerator` columns over the `denominator` column, or per exposed unit where None.

    `counted_before` is the column whose `pre_` twin, per unit, stands for the metric before the experiment; None
    takes the metric's own columns. `is_bernoulli` says that a unit's value is 0 or 1. `covariates` are columns that
    adjust it as they are, instead of the `pre_` twins and `has_pre`. A declared metric says its kind itself; its
    columns are its own, and not those of the per-unit totals.
    """

    key: str
    label: str
    label_zh: str
    numerator: tuple[str, ...]
    unit: MetricUnit
    denominator: str | None = None
    direction: Direction = Direction.INCREASE
    counted_before: str | None = None
    is_bernoulli: bool = False
    covariates: tuple[str, ...] = ()
    declared_kind: MetricKind | None = None
    minimum_effect: float | None = None

    @property
    def kind(self) -> MetricKind:
        """What was declared; else ratio where there is a denominator, and mean where there is none."""
        if self.declared_kind is not None:
            return self.declared_kind
        return MetricKind.MEAN if self.denominator is None else MetricKind.RATIO

    @property
    def columns_are_own(self) -> bool:
        """Whether its columns come from its own declaration or file, not from the per-unit totals."""
        return self.declared_kind is not None or bool(self.covariates)

    @property
    def columns(self) -> tuple[str, ...]:
        """The unit-level columns that its value needs."""
        return self.numerator if self.denominator is None else (*self.numerator, self.denominator)

    @property
    def covariate_numerator(self) -> tuple[str, ...]:
        """The `pre_` columns whose sum is the metric's numerator before the experiment."""
        return tuple(f"pre_{name}" for name in ((self.counted_before,) if self.counted_before else self.numerator))

    @property
    def covariate_denominator(self) -> str | None:
        """The `pre_` column of the denominator; None where the covariate is counted per unit."""
        return None if self.counted_before or self.denominator is None else f"pre_{self.denominator}"

    @property
    def covariate_columns(self) -> tuple[str, ...]:
        """All columns that its adjustment needs besides `has_pre`."""
        if self.covariates:
            return self.covariates
        below = self.covariate_denominator
        return self.covariate_numerator if below is None else (*self.covariate_numerator, below)


_DECLARED: Final = (
    Metric(
        key="ctr",
        label="Click-through rate",
        label_zh="点击率",
        numerator=("clicks",),
        denominator="impressions",
        unit=MetricUnit.SHARE,
    ),
    Metric(
        key="reading_depth",
        label="Reading depth",
        label_zh="平均阅读完成率",
        numerator=("completion",),
        denominator="completion_reads",
        unit=MetricUnit.SHARE,
    ),
    Metric(
        key="dwell_per_read",
        label="Dwell per read",
        label_zh="篇均阅读时长",
        numerator=("read_seconds",),
        denominator="reads",
        unit=MetricUnit.SECONDS,
    ),
    Metric(
        key="interaction_rate",
        label="Interaction rate",
        label_zh="互动率",
        numerator=("comments", "shares"),
        denominator="impressions",
        unit=MetricUnit.SHARE,
    ),
    Metric(
        key="articles_per_user",
        label="Articles per user",
        label_zh="人均点击文章数",
        numerator=("clicks",),
        unit=MetricUnit.COUNT,
    ),
    Metric(
        key="articles_per_clicking_user",
        label="Articles per clicking user",
        label_zh="点击用户人均点击文章数",
        numerator=("clicks",),
        denominator="clicked",
        counted_before="clicks",
        unit=MetricUnit.COUNT,
    ),
    Metric(
        key="read_time_per_user",
        label="Read time per user",
        label_zh="人均阅读时长",
        numerator=("read_seconds",),
        unit=MetricUnit.SECONDS,
    ),
    Metric(
        key="clicking_users",
        label="Share of users who click",
        label_zh="点击用户占比",
        numerator=("clicked",),
        counted_before="clicks",
        unit=MetricUnit.SHARE,
        is_bernoulli=True,
    ),
)

METRICS: Final[Mapping[str, Metric]] = MappingProxyType({metric.key: metric for metric in _DECLARED})


def find_metric(key: str, metrics: Mapping[str, Metric] = METRICS) -> Metric:
    """The metric with this key, among `metrics`. Raises NotFound that lists the keys there are.

    >>> find_metric("ctr").columns
    ('clicks', 'impressions')
    """
    try:
        return metrics[key]
    except KeyError:
        raise NotFound("metric", key, next_step=f"use one of {', '.join(metrics)}") from None


def needed_columns(metrics: Iterable[Metric], *, with_covariates: bool = False) -> tuple[str, ...]:
    """The unit-level columns that these metrics need, each once, in a stable order.

    `with_covariates` adds the `pre_` columns and `has_pre`.

    >>> needed_columns([find_metric("ctr")], with_covariates=True)
    ('clicks', 'impressions', 'pre_clicks', 'pre_impressions', 'has_pre')
    """
    chosen = tuple(metrics)
    columns = [column for metric in chosen for column in metric.columns]
    if with_covariates:
        columns += [column for metric in chosen for column in metric.covariate_columns]
        columns.append("has_pre")
    return tuple(dict.fromkeys(columns))
