from dataclasses import replace

import pytest

from configurations import AT, draft, newsroom, running, spread
from lamella.errors import ConfigurationInvalid, InvalidInput
from lamella.experiments import lifecycle
from lamella.experiments.model import BUCKETS, BucketRange, Configuration, Json
from lamella.experiments.snapshot import Assignment, compile_snapshot

EVERYBODY = [(0, BUCKETS)]


def ranking(configuration: Configuration, unit: str = "reader-1", context: dict[str, Json] | None = None) -> Assignment:
    return compile_snapshot(configuration).assign(unit, context or {}).assignments[1]


def test_the_empty_configuration_gives_nothing() -> None:
    decision = compile_snapshot(Configuration()).assign("reader-1")
    assert (decision.parameters, decision.assignments, decision.version) == ({}, (), 0)


def test_a_layer_without_experiments_gives_its_defaults_statically() -> None:
    decision = compile_snapshot(newsroom()).assign("reader-1")
    assert decision.parameters == {"recall.model": "popularity", "rank.model": "mf", "rank.weight": 1.0}
    assert [one.reason for one in decision.assignments] == ["STATIC", "STATIC"]


def test_the_hash_chooses_and_the_variant_overrides_the_defaults() -> None:
    snapshot = compile_snapshot(running(newsroom(), draft(ranges=EVERYBODY)))
    by_variant = {snapshot.assign(unit).assignments[1].variant: snapshot.assign(unit) for unit in spread(50)}
    assert by_variant["control"].parameters["rank.model"] == "mf"
    assert by_variant["treatment"].parameters["rank.model"] == "textcnn"
    assert by_variant["treatment"].assignments[1] == Assignment(
        "ranking", "textcnn", "treatment", 1, "SPLIT", counted=True
    )


def test_outside_the_buckets_the_defaults_hold() -> None:
    assert ranking(running(newsroom(), draft(ranges=[(0, 1)]))).reason == "DEFAULT"


@pytest.mark.parametrize(
    ("context", "reason", "detail"),
    [
        ({"country": "CN"}, "TARGETING_MATCH", ""),
        ({"country": "US"}, "DEFAULT", "the rule is false"),
        ({}, "DEFAULT", "attribute 'country' is unknown"),
    ],
)
def test_the_rule_decides_and_the_reason_says_so(context: dict[str, Json], reason: str, detail: str) -> None:
    configuration = running(newsroom(), draft(ranges=EVERYBODY, rule={"==": [{"var": "country"}, "CN"]}))
    given = ranking(configuration, context=context)
    assert (given.reason, given.detail, given.experiment) == (reason, detail, "textcnn")
    assert given.counted == (reason == "TARGETING_MATCH")


def test_a_rule_that_fails_is_an_error_and_gives_the_defaults() -> None:
    deep: Json = []
    for _ in range(100_000):
        deep = [deep]
    configuration = running(newsroom(), draft(ranges=EVERYBODY, rule={"==": [{"var": "country"}, "CN"]}))
    given = ranking(configuration, context={"country": deep})
    assert (given.reason, given.variant) == ("ERROR", None)


def test_a_rule_sees_the_unit_as_targeting_key_whatever_the_context_claims() -> None:
    configuration = running(newsroom(), draft(ranges=EVERYBODY, rule={"==": [{"var": "targetingKey"}, "reader-1"]}))
    assert ranking(configuration, context={"targetingKey": "reader-2"}).reason == "TARGETING_MATCH"
    assert ranking(configuration, "reader-2", {"targetingKey": "reader-1"}).reason == "DEFAULT"


def test_the_allow_list_goes_before_rule_and_bucket_and_stays_out_of_the_analysis() -> None:
    forced = draft(ranges=[(0, 1)], rule=False, forced={"editor": "treatment"})
    given = ranking(running(newsroom(), forced), "editor")
    assert (given.variant, given.reason, given.counted) == ("treatment", "TARGETING_MATCH", False)


def test_a_variant_of_weight_0_can_be_previewed_on_the_allow_list() -> None:
    weights = {"control": 1, "treatment": 1, "next": 0}
    configuration = running(newsroom(), draft(ranges=EVERYBODY, weights=weights, forced={"editor": "next"}))
    assert ranking(configuration, "editor").variant == "next"


def test_a_paused_experiment_gives_the_defaults_and_forces_nobody() -> None:
    configuration = running(newsroom(), draft(ranges=EVERYBODY, forced={"editor": "treatment"}))
    given = ranking(lifecycle.pause(configuration, "textcnn"), "editor")
    assert (given.reason, given.variant, given.experiment) == ("DISABLED", None, "textcnn")


@pytest.mark.parametrize("move", ["draft", "scheduled", "stopped"])
def test_only_running_experiments_assign(move: str) -> None:
    configuration = lifecycle.add_experiment(newsroom(), draft(ranges=EVERYBODY))
    if move == "scheduled":
        configuration = lifecycle.schedule(configuration, "textcnn", metrics={"ctr", "reading_depth"})
    if move == "stopped":
        configuration = lifecycle.stop(running(newsroom(), draft(ranges=EVERYBODY)), "textcnn", at=AT)
    assert ranking(configuration).reason == "STATIC"


def test_the_kill_switch_goes_before_everything() -> None:
    killed = lifecycle.kill(running(newsroom(), draft(ranges=EVERYBODY, forced={"editor": "treatment"})))
    decision = compile_snapshot(killed).assign("editor")
    assert [one.reason for one in decision.assignments] == ["DISABLED", "DISABLED"]
    assert decision.parameters["rank.model"] == "mf"


def test_changing_a_decision_changes_no_other() -> None:
    snapshot = compile_snapshot(newsroom())
    snapshot.assign("a").parameters["rank.model"] = "broken"  # type: ignore[index]  # a mapping to its readers
    assert snapshot.assign("a").parameters["rank.model"] == "mf"


def test_half_a_surrogate_pair_is_bad_input() -> None:
    with pytest.raises(InvalidInput, match="not valid Unicode"):
        compile_snapshot(newsroom()).assign("\ud800")


def test_a_configuration_that_cannot_assign_is_not_compiled_and_every_fault_is_named() -> None:
    sound = running(newsroom(), draft(ranges=[(0, 10)]), draft("other", ranges=[(10, 20)]))
    first, second = sound.experiments
    broken = replace(
        sound,
        experiments=(
            replace(first, ranges=(BucketRange(start=0, stop=11),), rule={"nope": 1}, forced={"u": "x"}),
            replace(second, phases=()),
        ),
    )
    with pytest.raises(ConfigurationInvalid) as refused:
        compile_snapshot(broken)
    assert len(refused.value.faults) == 5
    weightless = replace(first, phases=(replace(first.phases[0], weights={}),))
    with pytest.raises(ConfigurationInvalid, match="weights of 0 or more with a sum above 0"):
        compile_snapshot(replace(sound, experiments=(weightless,)))
