import numpy as np
import pytest

from lamella.experiments.model import AnalysisPlan
from lamella.metrics.definitions import METRICS, Metric, MetricKind, MetricUnit, needed_columns
from lamella.services.comparing import compare, roles
from lamella.stats.moments import Moments
from lamella.stats.standard import Method, Standard
from lamella.stats.undefined import Undefined

FIXED = Standard(method=Method.FIXED_HORIZON)
COLUMNS = (*needed_columns(METRICS.values(), with_covariates=True), "slates")


def arm(seed, *, lift=0.0, n=2_000):
    """Readers whose clicks depend on their past clicks and, apart from that, on their past reading."""
    rng = np.random.default_rng(seed)
    rows = np.zeros((n, len(COLUMNS)))
    at = {name: place for place, name in enumerate(COLUMNS)}
    rows[:, at["pre_clicks"]] = rng.poisson(5, n)
    rows[:, at["pre_read_seconds"]] = rng.gamma(2, 50, n)
    rows[:, at["has_pre"]] = 1.0
    rows[:, at["impressions"]] = rows[:, at["pre_impressions"]] = 20.0
    rows[:, at["clicks"]] = rows[:, at["pre_clicks"]] + rows[:, at["pre_read_seconds"]] / 40 + rng.normal(lift, 1, n)
    return Moments.from_rows(COLUMNS, rows)


def reading(beside=(), **options):
    plan = AnalysisPlan(primary_metric="articles_per_user")
    found = compare(roles(plan), arm(1), {"b": arm(2, lift=0.1)}, FIXED, with_covariates=True, beside=beside, **options)
    return next(each for each in found if each.role.metric.key == "articles_per_user")


def by_metric():
    found = compare(roles(AnalysisPlan(primary_metric="ctr")), arm(1), {"b": arm(2)}, FIXED)
    return {each.role.metric.key: each for each in found}


def test_a_further_covariate_takes_away_what_the_own_past_leaves():
    alone, both = reading(), reading([METRICS["read_time_per_user"]])
    assert both.adjusted_pair.variance_reduction > alone.adjusted_pair.variance_reduction + 0.1
    assert both.adjusted.difference.value == pytest.approx(0.1, abs=0.15)
    within = arm(1).cross + arm(2, lift=0.1).cross
    names = [COLUMNS.index(each) for each in ("pre_clicks", "pre_read_seconds")]
    theta = np.linalg.solve(within[np.ix_(names, names)], within[names, COLUMNS.index("clicks")])
    gap = (arm(2, lift=0.1).mean - arm(1).mean)[[COLUMNS.index("clicks"), *names]]
    assert both.adjusted.difference.value == pytest.approx(gap[0] - theta @ gap[1:], rel=1e-9)


def test_a_covariate_that_is_named_twice_changes_nothing():
    assert reading([METRICS["articles_per_clicking_user"]]).adjusted.difference.value == pytest.approx(
        reading().adjusted.difference.value, rel=1e-9
    )


def test_a_metric_that_fails_is_undefined_and_the_others_are_not_touched(monkeypatch):
    from lamella.services import comparing

    def broken(*_args, **_options):
        raise np.linalg.LinAlgError("singular")

    whole = {
        each.role.metric.key: each
        for each in compare(roles(AnalysisPlan(primary_metric="ctr")), arm(1), {"b": arm(2)}, FIXED)
    }
    monkeypatch.setattr(comparing, "mean", broken)
    found = {
        each.role.metric.key: each
        for each in compare(roles(AnalysisPlan(primary_metric="ctr")), arm(1), {"b": arm(2)}, FIXED)
    }
    assert isinstance(found["articles_per_user"].raw, Undefined)
    assert found["articles_per_user"].raw.reason == "failed"
    assert found["ctr"].raw == whole["ctr"].raw


def test_a_declared_metric_is_compared_by_its_own_moments():
    declared = Metric(
        key="own",
        label="own",
        label_zh="自有",
        numerator=("numerator",),
        unit=MetricUnit.COUNT,
        declared_kind=MetricKind.MEAN,
    )
    held = {
        name: Moments.from_rows(("numerator",), [[value], [value + 1.0], [value + 2.0]])
        for name, value in (("a", 1), ("b", 3))
    }
    wanted = roles(AnalysisPlan(primary_metric="own"), {"own": declared})
    (found,) = compare(wanted, arm(1), {"b": arm(2)}, FIXED, own={"own": held}, control_key="a")
    assert found.raw.difference.value == 2.0
