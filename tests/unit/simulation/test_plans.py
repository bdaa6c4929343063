import pytest

from lamella.experiments.document import experiment_document, layer_document, parameter_document
from lamella.experiments.snapshot import compile_snapshot
from lamella.metrics.definitions import METRICS
from lamella.services.stage_values import DEFAULTS, parameter_fault
from lamella.simulation.plans import NOTHING, RANKING, RECALL, Models, configuration_of, make_plans

MODELS = Models(popularity="popularity@1", mf="mf@2", textcnn="textcnn@3")


@pytest.fixture
def plans():
    return make_plans(MODELS, days=14, past_days=42)


def test_one_experiment_runs_in_each_of_three_layers(plans):
    assert [each.layer for each in plans.experiments] == [each.key for each in plans.layers]
    assert len(plans.layers) == 3


def test_variants_set_only_parameters_that_their_own_layer_owns(plans):
    owners = {parameter.key: parameter.layer for parameter in plans.parameters}
    for experiment in plans.experiments:
        for variant in experiment.variants:
            assert {owners[key] for key in variant.values} == {experiment.layer}


def test_every_value_is_one_that_the_recommender_can_use(plans):
    values = [
        (key, value)
        for arms in plans.arms.values()
        for each in (arms.control, arms.treatment)
        for key, value in each.items()
    ]
    for key, value in [*plans.defaults.items(), *values]:
        assert parameter_fault(key, value) is None
    assert {key for key in plans.defaults if key != "slate.layout"} <= set(DEFAULTS)


def test_every_metric_of_the_plan_exists_and_is_asked_for_once(plans):
    for experiment in plans.experiments:
        plan = experiment.plan
        metrics = [plan.primary_metric, *(each.metric for each in plan.guardrails), *plan.secondary_metrics]
        assert len(set(metrics)) == len(metrics)
        assert set(metrics) <= set(METRICS)
        assert plan.guardrails


def test_only_the_a_a_experiment_serves_the_same_in_both_arms(plans):
    assert {key: arms.are_identical for key, arms in plans.arms.items()} == {
        RECALL: False,
        RANKING: False,
        NOTHING: True,
    }


def test_no_weight_at_all_makes_the_ranking_experiment_an_a_a_as_well():
    plans = make_plans(MODELS, days=14, past_days=42, rank_weight=None)
    assert plans.arms[RANKING].are_identical


def test_a_short_experiment_does_not_wait_for_more_days_than_it_has():
    assert {each.plan.minimum_days for each in make_plans(MODELS, days=3, past_days=42).experiments} == {3}


def test_a_configuration_gives_everybody_the_wanted_values_and_the_defaults_elsewhere(plans):
    snapshot = compile_snapshot(configuration_of(plans, {"rank.model": "textcnn@3"}))
    decision = snapshot.assign("anybody", {})
    assert decision.parameters["rank.model"] == "textcnn@3"
    assert decision.parameters["recall.model"] == "popularity@1"


def test_the_documents_are_those_that_the_api_reads(plans):
    assert {layer_document(each)["key"] for each in plans.layers} == {"recall", "ranking", "presentation"}
    assert all(parameter_document(each)["layer"] for each in plans.parameters)
    assert all(experiment_document(each)["status"] == "draft" for each in plans.experiments)
    assert NOTHING in {experiment_document(each)["key"] for each in plans.experiments}
