"""The report as the use cases make and keep it, over a store."""

from dataclasses import replace
from datetime import timedelta

import pytest

from lamella.errors import Conflict, NotFound
from lamella.experiments.model import AnalysisPlan, Configuration, Status
from lamella.services.analysing import analyse, analyse_and_keep
from lamella.services.record_ports import RecordCounts
from reports_made import PLAN, START, experiment, report, totals

SAME = [totals("control", seed=1), totals("treatment", seed=2)]
BETTER = [totals("control", seed=1), totals("treatment", seed=2, lift=0.15)]


class Store:
    """A configuration and its arms; remembers what was asked and kept."""

    def __init__(self, made, arms):
        self.made, self.arms, self.asked, self.kept = made, arms, [], []

    def load(self):
        return Configuration(version=12, experiments=(self.made,))

    def arm_totals(self, phase, columns, *, until=None, covariate_since=None):
        self.asked.append((phase, tuple(columns), until, covariate_since))
        return self.arms

    def record_counts(self, _phase):
        return RecordCounts(late=3, quarantined=2, flagged={"bot": 4})

    def latest_report(self, _experiment):
        return self.kept[-1] if self.kept else None

    def save_report(self, *kept):
        self.kept.append(kept[-1])
        return len(self.kept)


class Now:
    def __init__(self, day):
        self.day = day

    def now(self):
        return START + timedelta(days=self.day)


def test_the_store_is_asked_for_the_columns_of_the_plan_up_to_the_planned_end():
    store = Store(experiment(replace(PLAN, covariate_days=10)), BETTER)
    document = analyse("mf_against_cnn", store, store, Now(20))
    phase, columns, until, since = store.asked[0]
    assert (phase, until, since) == (7, START + timedelta(days=14), START - timedelta(days=10))
    assert {"clicks", "clicked", "slates", "pre_clicks", "has_pre"} <= set(columns)
    assert document["snapshot"] == 12
    assert store.kept == []


def test_a_kept_report_is_what_the_next_one_goes_on_from():
    store = Store(experiment(), SAME)
    analyse_and_keep("mf_against_cnn", store, store, Now(3))
    second = analyse_and_keep("mf_against_cnn", store, store, Now(6))
    assert [each["number"] for each in second["looks"]["history"]] == [1, 2]
    assert len(store.kept) == 2


def test_reports_of_another_phase_are_left_out():
    store = Store(experiment(), SAME)
    store.kept.append(report(experiment(), SAME, day=3) | {"experiment": {"phase": 6}})
    assert len(analyse("mf_against_cnn", store, store, Now(6))["looks"]["history"]) == 1


def test_an_unknown_experiment_metric_or_one_that_never_ran_is_a_clear_error():
    store = Store(experiment(), SAME)
    with pytest.raises(NotFound, match="no experiment 'other'"):
        analyse("other", store, store, Now(3))
    store.made = experiment(AnalysisPlan(primary_metric="ctrr"))
    with pytest.raises(NotFound, match="no metric 'ctrr'"):
        analyse("mf_against_cnn", store, store, Now(3))
    store.made = experiment(phases=(), status=Status.DRAFT)
    with pytest.raises(Conflict, match="start it before it is analysed"):
        analyse("mf_against_cnn", store, store, Now(3))


def test_a_report_says_what_came_late_was_refused_or_is_left_out():
    store = Store(experiment(), [replace(each, crossed=2) for each in SAME])
    document = analyse(store.made.key, store, store, Now(3))
    assert document["record"] == {"late": 3, "quarantined": 2, "bots": 4, "internal": 0, "crossed": 4}
