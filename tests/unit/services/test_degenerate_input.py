"""Input at the edges, through the whole engine: the right number, or null with a reason; never an exception."""

import json
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from scipy.stats import ttest_ind

from lamella.reporting import csv, html
from lamella.reporting.document import read_report
from lamella.services.analysing import columns_of
from lamella.services.ports import ArmTotals
from lamella.stats.moments import Moments
from reports_made import PLAN, comparison, experiment, metric, report

COVARIATES = replace(PLAN, covariate_days=14, minimum_days=2)
COLUMNS = columns_of(COVARIATES)
NUMBERS = ("difference", "relative_lift", "p", "p_adjusted")


def arm(variant, rows=None, *, units=500, seed=1, **columns):
    """An arm of ordinary readers, some columns replaced."""
    rng = np.random.default_rng(seed)
    shown = 10.0 * rng.poisson(3.0, units) + 10.0
    table = {name: np.zeros(units) for name in COLUMNS}
    clicks = rng.binomial(shown.astype(int), 0.05).astype(float)
    table |= {"slates": shown / 10, "impressions": shown, "clicks": clicks, "reads": clicks, "has_pre": np.ones(units)}
    table |= {"read_seconds": 30.0 * clicks * rng.gamma(2.0, 0.5, units), "completion": 0.5 * clicks}
    table |= {"completion_reads": clicks, "clicked": (clicks > 0).astype(float)}
    table |= {"pre_clicks": rng.poisson(1.0, units).astype(float), "pre_impressions": shown}
    table |= {name: np.broadcast_to(np.asarray(value, dtype=float), (units,)) for name, value in columns.items()}
    moments = Moments.from_rows(COLUMNS, np.column_stack([table[name] for name in COLUMNS]))
    return ArmTotals(variant=variant, moments=moments, crossed=0, slates=units, fallback_slates=0)


def made(control, treatment, plan=COVARIATES):
    """The report, which JSON can hold, every reader can read, and in which null always has its reason."""
    document = report(experiment(plan), [control, treatment], day=14)
    json.dumps(document, allow_nan=False)
    read_report(document)
    assert html.render_page([(document, ())])
    assert csv.render(document)
    for each in document["metrics"]:
        for row in each["comparisons"]:
            for part in filter(None, (row, row["adjusted"])):
                if part["p"] is None:
                    assert part["undefined"]
                    assert all(part[name] is None for name in NUMBERS)
                else:
                    assert 0.0 <= part["p"] <= 1.0
                    excludes = part["difference_ci"][0] > 0 or part["difference_ci"][1] < 0
                    assert part["significant"] == excludes
    return document


def undefined(document, key):
    return comparison(document, key)["undefined"]


def test_one_unit_in_an_arm_is_too_few_and_the_other_arm_keeps_its_value():
    document = made(arm("control"), arm("treatment", units=1))
    assert {undefined(document, each["metric"]) for each in document["metrics"]} <= {"too_few_units", "no_denominator"}
    assert metric(document, "ctr")["arms"][0]["value"] is not None
    made(arm("control", units=1), arm("treatment", units=1))
    made(arm("control", units=0), arm("treatment", units=0))


def test_no_variance_has_no_p_value():
    shown, clicks = np.full(500, 10.0), np.full(500, 2.0)
    document = made(*(arm(each, impressions=shown, clicks=clicks) for each in ("control", "treatment")))
    assert undefined(document, "ctr") == "zero_variance"
    assert undefined(document, "read_time_per_user") is None


def test_no_clicks_in_control_leave_a_difference_and_no_lift():
    nothing = {"clicks": 0.0, "clicked": 0.0, "reads": 0.0, "completion_reads": 0.0}
    document = made(arm("control", **nothing), arm("treatment"))
    found = comparison(document, "ctr")
    assert found["undefined"] == "zero_baseline"
    assert found["difference"] > 0
    assert found["p"] < 1e-6
    assert found["relative_lift"] is None
    assert undefined(document, "articles_per_clicking_user") == "no_denominator"
    both = made(arm("control", **nothing), arm("treatment", **nothing))
    assert undefined(both, "ctr") == "zero_variance"
    assert undefined(both, "reading_depth") == "no_denominator"


def test_a_covariate_that_is_not_a_number_costs_the_adjustment_and_nothing_else():
    broken = np.where(np.arange(500) == 3, np.nan, 1.0)
    document = made(arm("control", pre_clicks=broken), arm("treatment", seed=2))
    found = comparison(document, "ctr")
    assert found["p"] is not None
    assert found["adjusted"]["undefined"] == "missing_covariate"
    assert comparison(document, "read_time_per_user")["p"] is not None


def test_one_broken_metric_does_not_lose_the_others():
    broken = np.where(np.arange(500) == 3, np.inf, 1.0)
    document = made(arm("control", read_seconds=broken), arm("treatment", seed=2))
    assert undefined(document, "read_time_per_user") == "not_finite"
    assert comparison(document, "ctr")["p"] is not None
    assert document["verdict"]["decision"] != "invalid"


def test_values_near_a_billion_keep_their_variance_of_one():
    rng = np.random.default_rng(7)
    values = [1e9 + rng.normal(shift, 1.0, 500) for shift in (0.0, 0.5)]
    document = made(*(arm(key, read_seconds=own) for key, own in zip(("control", "treatment"), values, strict=True)))
    exact = ttest_ind(*[[float(Decimal(x) - 10**9) for x in own] for own in reversed(values)], equal_var=False)
    found = comparison(document, "read_time_per_user")
    assert found["p"] == pytest.approx(exact.pvalue, rel=1e-4)
    assert found["difference"] == pytest.approx(0.5, abs=0.2)


def test_a_click_rate_of_two_in_a_hundred_thousand_is_a_rate():
    rng = np.random.default_rng(3)
    shown = np.full(5000, 100.0)
    arms = [
        arm(key, units=5000, impressions=shown, clicks=rng.binomial(100, rate, 5000).astype(float))
        for key, rate in (("control", 2e-5), ("treatment", 6e-5))
    ]
    found = comparison(made(*arms), "ctr")
    clicks = [each.moments.sum_of("clicks") for each in arms]
    assert found["difference"] == pytest.approx((clicks[1] - clicks[0]) / 500_000)
    assert 0.0 < found["p"] < 1.0


def test_a_small_arm_is_judged_in_the_score_form():
    document = made(arm("control", units=1900), arm("treatment", units=100, seed=2))
    assert comparison(document, "ctr")["method"] == "score"


def test_a_negative_mean_has_an_interval_around_its_lift():
    rng = np.random.default_rng(5)
    values = [rng.normal(mean, 1.0, 500) for mean in (-3.0, -2.4)]
    document = made(*(arm(key, read_seconds=own) for key, own in zip(("control", "treatment"), values, strict=True)))
    found = comparison(document, "read_time_per_user")
    assert found["difference"] > 0
    assert found["relative_lift"] == pytest.approx(values[1].mean() / values[0].mean() - 1)
    assert found["ci"][0] < found["relative_lift"] < found["ci"][1] < 0
    chance = found["bayes"]["chance_to_win"]
    assert chance > 0.99
