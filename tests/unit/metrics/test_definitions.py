import pytest

from lamella.errors import NotFound
from lamella.metrics.definitions import METRICS, Direction, MetricKind, find_metric, needed_columns

TOTALS = {
    "slates", "impressions", "clicks", "reads", "read_seconds", "completion", "completion_reads", "comments", "shares",
    "interactions", "clicked",
}  # fmt: skip


def test_every_metric_reads_columns_that_the_totals_have():
    for metric in METRICS.values():
        assert set(metric.columns) <= TOTALS
        assert {column.removeprefix("pre_") for column in metric.covariate_columns} <= TOTALS


def test_a_ratio_has_a_denominator_and_a_mean_has_none():
    for metric in METRICS.values():
        assert (metric.kind is MetricKind.RATIO) == (metric.denominator is not None)
    assert find_metric("ctr").kind is MetricKind.RATIO
    assert find_metric("articles_per_user").kind is MetricKind.MEAN


def test_a_mean_has_a_covariate_per_unit():
    means = [metric for metric in METRICS.values() if metric.kind is MetricKind.MEAN]
    assert all(metric.covariate_denominator is None for metric in means)


def test_every_metric_has_labels_in_both_languages_and_a_direction():
    for key, metric in METRICS.items():
        assert metric.key == key
        assert metric.label
        assert not metric.label_zh.isascii()
        assert metric.direction in Direction


def test_whether_a_reader_clicked_has_its_clicks_before_as_covariate():
    assert find_metric("clicking_users").covariate_columns == ("pre_clicks",)
    assert find_metric("clicking_users").is_bernoulli


def test_an_interaction_is_a_comment_or_a_share():
    assert find_metric("interaction_rate").columns == ("comments", "shares", "impressions")


def test_an_unknown_metric_is_not_found_and_the_known_ones_are_listed():
    with pytest.raises(NotFound, match="no metric 'ctrr'; use one of ctr, reading_depth"):
        find_metric("ctrr")


def test_needed_columns_are_each_named_once():
    columns = needed_columns(METRICS.values(), with_covariates=True)
    assert len(columns) == len(set(columns))
    assert columns[-1] == "has_pre"
    assert needed_columns([]) == ()
