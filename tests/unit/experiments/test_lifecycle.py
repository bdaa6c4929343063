from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from configurations import AT, METRICS, draft, newsroom, running
from lamella.errors import BucketsTaken, ConfigurationInvalid, Conflict, IllegalTransition, InvalidInput, NotFound
from lamella.experiments import lifecycle
from lamella.experiments.model import (
    AnalysisPlan,
    BucketRange,
    Configuration,
    Experiment,
    Guardrail,
    Layer,
    Parameter,
    ParameterType,
    Status,
    Variant,
)
from lamella.experiments.promoting import promote
from lamella.experiments.selection import experiment_of

LATER = AT + timedelta(days=7)


def faults_of_start(experiment: Experiment, configuration: Configuration | None = None) -> tuple[str, ...]:
    base = configuration or newsroom()
    # Straight in, past the checks of saving: the check-list must stand on its own.
    stored = replace(base, experiments=(*base.experiments, experiment))
    with pytest.raises(ConfigurationInvalid) as refused:
        lifecycle.start(stored, experiment.key, at=AT, metrics=METRICS)
    return refused.value.faults


def at_status(status: Status) -> Configuration:
    configuration = lifecycle.add_experiment(newsroom(), draft())
    if status is Status.SCHEDULED:
        return lifecycle.schedule(configuration, "textcnn", metrics=METRICS)
    if status is Status.DRAFT:
        return configuration
    configuration = lifecycle.start(configuration, "textcnn", at=AT, metrics=METRICS)
    if status is Status.PAUSED:
        return lifecycle.pause(configuration, "textcnn")
    if status in (Status.STOPPED, Status.ARCHIVED):
        configuration = lifecycle.stop(configuration, "textcnn", at=LATER)
    return lifecycle.archive(configuration, "textcnn") if status is Status.ARCHIVED else configuration


def make(configuration: Configuration, move: str) -> Configuration:
    experiment = experiment_of(configuration, "textcnn")
    if move == "update":
        return lifecycle.update_experiment(configuration, replace(experiment, name="Another name"))
    if move == "new_phase":
        return lifecycle.new_phase(configuration, experiment, at=LATER, metrics=METRICS)
    if move == "start":
        return lifecycle.start(configuration, "textcnn", at=LATER, metrics=METRICS)
    if move == "stop":
        return lifecycle.stop(configuration, "textcnn", at=LATER)
    return {
        "schedule": partial(lifecycle.schedule, metrics=METRICS),
        "promote": partial(promote, variant="treatment", at=LATER),
        "unschedule": lifecycle.unschedule,
        "pause": lifecycle.pause,
        "resume": lifecycle.resume,
        "archive": lifecycle.archive,
    }[move](configuration, "textcnn")


MOVES = sorted({move for moves in lifecycle.LEGAL.values() for move in moves})


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("move", MOVES)
def test_legal_moves_are_made_and_illegal_ones_name_the_legal(status: Status, move: str) -> None:
    configuration = at_status(status)
    if move in lifecycle.LEGAL[status]:
        assert make(configuration, move) != configuration
        return
    with pytest.raises(IllegalTransition) as refused:
        make(configuration, move)
    assert refused.value.legal == lifecycle.LEGAL[status]
    assert all(legal in str(refused.value) for legal in lifecycle.LEGAL[status])


def test_starting_opens_the_first_phase_and_stopping_ends_it() -> None:
    experiment = at_status(Status.STOPPED).experiments[0]
    (phase,) = experiment.phases
    assert (phase.id, phase.number, phase.salt) == (1, 1, "textcnn:1")
    assert (phase.started_at, phase.ended_at) == (AT, LATER)
    assert phase.weights == {"control": 1, "treatment": 1}


def test_pausing_and_resuming_keep_the_phase() -> None:
    configuration = at_status(Status.RUNNING)
    assert lifecycle.resume(lifecycle.pause(configuration, "textcnn"), "textcnn") == configuration


def test_phase_ids_never_repeat_over_the_whole_configuration() -> None:
    configuration = running(newsroom(), draft("a", ranges=[(0, 10)]), draft("b", ranges=[(10, 20)]))
    configuration = lifecycle.stop(configuration, "b", at=LATER)
    configuration = lifecycle.new_phase(configuration, experiment_of(configuration, "a"), at=LATER, metrics=METRICS)
    configuration = running(configuration, draft("c", layer="recall"))
    assert [phase.id for one in configuration.experiments for phase in one.phases] == [1, 3, 2, 4]


def test_a_new_phase_takes_new_weights_and_a_new_salt_and_ends_the_old() -> None:
    configuration = at_status(Status.RUNNING)
    changed = replace(
        configuration.experiments[0], variants=draft(weights={"control": 1, "treatment": 9}).variants, rule=True
    )
    first, second = lifecycle.new_phase(configuration, changed, at=LATER, metrics=METRICS).experiments[0].phases
    assert first.ended_at == second.started_at == LATER
    assert (second.number, second.salt, second.weights) == (2, "textcnn:2", {"control": 1, "treatment": 9})


def test_a_new_phase_keeps_hypothesis_and_plan_and_goes_forward_in_time() -> None:
    configuration = at_status(Status.RUNNING)
    changed = replace(
        configuration.experiments[0], hypothesis="Another", plan=AnalysisPlan(primary_metric="ctr", looks=2)
    )
    with pytest.raises(ConfigurationInvalid) as refused:
        lifecycle.new_phase(configuration, changed, at=AT - timedelta(days=1), metrics=METRICS)
    assert len(refused.value.faults) == 3


@pytest.mark.parametrize("status", [Status.RUNNING, Status.PAUSED])
def test_a_live_experiment_changes_only_in_what_moves_nobody(status: Status) -> None:
    configuration = at_status(status)
    before = configuration.experiments[0]
    harmless = replace(
        before, name="N", owner="desk", forced={"editor": "treatment"}, ranges=(BucketRange(start=0, stop=6000),)
    )
    after = lifecycle.update_experiment(configuration, harmless).experiments[0]
    assert after == harmless
    moving = replace(
        harmless,
        rule={"==": [{"var": "country"}, "CN"]},
        variants=draft(weights={"control": 1, "treatment": 2}).variants,
        hypothesis="Another",
        ranges=(BucketRange(start=10, stop=6000),),
    )
    with pytest.raises(ConfigurationInvalid) as refused:
        lifecycle.update_experiment(configuration, moving)
    assert len(refused.value.faults) == 4
    assert any("open a new phase" in fault for fault in refused.value.faults)


def test_a_draft_changes_in_everything_but_status_and_phases() -> None:
    configuration = at_status(Status.DRAFT)
    wanted = replace(
        draft(layer="recall"), status=Status.RUNNING, phases=at_status(Status.RUNNING).experiments[0].phases
    )
    after = lifecycle.update_experiment(configuration, wanted).experiments[0]
    assert (after.layer, after.status, after.phases) == ("recall", Status.DRAFT, ())


def test_the_check_list_names_every_fault_before_it_refuses() -> None:
    holder = running(newsroom(), draft("holder", ranges=[(4000, 6000)]))
    hopeless = replace(
        draft(ranges=[(5000, 7000), (6500, 8000), (9999, 10_001)], rule={"nope": 1}, forced={"": "x"}),
        hypothesis="  ",
        variants=(
            Variant(key="A", weight=-1),
            Variant(key="b", weight=0, values={"recall.model": "mf", "rank.model": 3, "rank.depth": 1}),
            Variant(key="b", weight=3),
        ),
        plan=AnalysisPlan(
            primary_metric="crt",
            guardrails=(Guardrail(metric="ctr", margin=0),),
            secondary_metrics=("ctr",),
            method="guess",
            alpha=0,
            power=1,
            minimum_effect=0,
            planned_days=3,
            looks=0,
            minimum_days=7,
            correction="hope",
            covariate_days=-1,
            on_verdict="cheer",
        ),
    )
    faults = faults_of_start(hopeless, holder)
    for words in (
        "variant key 'A' is not usable",
        "variant 'b' is listed twice",
        "variant 'A' has weight -1",
        "parameter 'recall.model' belongs to layer 'recall', not 'ranking'",
        "parameter 'rank.model' is of type string, not an integer (3)",
        "no parameter 'rank.depth'; did you mean",
        "buckets 9999..10001 are no range",
        "overlap; list every bucket once",
        "rule.nope is no operator",
        "the unit is empty",
        "'x', which is no variant",
        "the hypothesis is empty",
        "1 of 3 variants have a weight above 0",
        "exactly one variant must be the control, not none",
        "unknown metric 'crt'; did you mean 'ctr'?",
        "metric 'ctr' more than once",
        "guardrail 'ctr' has margin 0",
        "method 'guess'",
        "correction 'hope'",
        "on_verdict 'cheer'",
        "alpha is 0",
        "power is 1",
        "minimum_effect is 0",
        "takes 0 looks",
        "minimum_days 7 is more than planned_days 3",
        "covariate_days is -1",
        "overlap experiment 'holder'; stop it or choose free buckets",
    ):
        assert any(words in fault for fault in faults), words
    assert len(faults) == 27


def test_a_control_that_nobody_gets_is_refused() -> None:
    assert any(
        "control 'control' has weight 0" in fault
        for fault in faults_of_start(draft(weights={"control": 0, "a": 1, "b": 1}, values={}))
    )


def test_a_group_sequential_plan_needs_its_days() -> None:
    plan = AnalysisPlan(primary_metric="ctr", planned_days=None)
    (fault,) = faults_of_start(replace(draft(), plan=plan))
    assert "needs planned_days" in fault
    always = replace(draft(), plan=replace(plan, method="always_valid"))
    assert running(newsroom(), always).experiments[0].status is Status.RUNNING


def test_days_and_metrics_of_a_plan_have_bounds() -> None:
    plan = AnalysisPlan(primary_metric="", planned_days=0, minimum_days=-1)
    faults = faults_of_start(replace(draft(), plan=plan, ranges=()))
    for words in ("no primary metric; choose one of ctr, ", "takes 0 days", "minimum_days is -1", "has no buckets"):
        assert any(words in fault for fault in faults), words


def test_texts_and_allow_lists_have_bounds() -> None:
    wordy = replace(draft(forced={f"u{i}": "control" for i in range(10_001)}), hypothesis="h" * 10_001, owner="a\0")
    faults = faults_of_start(wordy)
    for words in ("the allow-list has 10001 units", "the hypothesis has 10001 characters", "the owner holds a NUL"):
        assert any(words in fault for fault in faults), words


def test_a_parameter_needs_its_layer() -> None:
    parameter = Parameter(key="fresh", type=ParameterType.STRING, default="", layer="rankin")
    with pytest.raises(ConfigurationInvalid, match="no layer 'rankin'; did you mean 'ranking'"):
        lifecycle.add_parameter(newsroom(), parameter)


def test_a_phase_cannot_take_the_salt_of_another_experiment() -> None:
    configuration = running(newsroom(), draft(), draft("other", layer="recall"))
    with pytest.raises(ConfigurationInvalid, match="salt 'other:1' is in use"):
        lifecycle.new_phase(configuration, configuration.experiments[0], at=LATER, metrics=METRICS, salt="other:1")


def test_buckets_that_are_taken_are_an_error_of_their_own() -> None:
    configuration = running(newsroom(), draft("holder", ranges=[(0, 10), (20, 30)]))
    configuration = lifecycle.add_experiment(configuration, draft("late", ranges=[(5, 25)]))
    with pytest.raises(BucketsTaken) as refused:
        lifecycle.start(configuration, "late", at=AT, metrics=METRICS)
    assert (refused.value.layer, refused.value.wanted, refused.value.holder) == ("ranking", range(5, 10), "holder")
    assert len(refused.value.faults) == 2


def test_a_scheduled_experiment_holds_its_buckets_already() -> None:
    configuration = lifecycle.add_experiment(at_status(Status.SCHEDULED), draft("late", ranges=[(4999, 5001)]))
    with pytest.raises(BucketsTaken, match=r"buckets 4999\.\.4999 overlap experiment 'textcnn'"):
        lifecycle.start(configuration, "late", at=AT, metrics=METRICS)


def test_a_stopped_experiment_gives_its_buckets_back() -> None:
    configuration = lifecycle.stop(at_status(Status.RUNNING), "textcnn", at=LATER)
    assert running(configuration, draft("next")).experiments[1].status is Status.RUNNING


def test_weights_that_sum_to_0_are_refused_when_they_are_saved() -> None:
    with pytest.raises(ConfigurationInvalid, match="the weights sum to 0"):
        lifecycle.add_experiment(newsroom(), draft(weights={"control": 0, "treatment": 0}))


def test_a_unit_is_forced_by_one_experiment_of_a_layer() -> None:
    configuration = running(newsroom(), draft(forced={"editor": "treatment"}))
    with pytest.raises(ConfigurationInvalid, match="'editor' is on that of experiment 'textcnn' too"):
        lifecycle.add_experiment(configuration, draft("other", ranges=[(6000, 7000)], forced={"editor": "control"}))


@pytest.mark.parametrize("key", ["", "Ranking", "1a", "a b", "a" * 65, "ä", "a\n"])
def test_a_key_begins_with_a_letter_and_stays_plain(key: str) -> None:
    with pytest.raises(ConfigurationInvalid, match="is not usable; begin with a-z"):
        lifecycle.add_layer(newsroom(), Layer(key=key, salt="fresh"))
    with pytest.raises(ConfigurationInvalid, match="is not usable; begin with a-z"):
        lifecycle.add_experiment(newsroom(), draft(key))


def test_a_key_is_taken_once() -> None:
    base = running(newsroom(), draft())
    with pytest.raises(Conflict, match="layer 'ranking' exists already"):
        lifecycle.add_layer(base, Layer(key="ranking", salt="other"))
    with pytest.raises(Conflict, match=r"parameter 'rank\.model' exists already"):
        lifecycle.add_parameter(base, base.parameters[1])
    with pytest.raises(Conflict, match="experiment 'textcnn' exists already"):
        lifecycle.add_experiment(base, draft())


@pytest.mark.parametrize("salt", ["ranking", "textcnn:1"])
def test_a_salt_is_used_once(salt: str) -> None:
    with pytest.raises(ConfigurationInvalid, match="two equal salts split alike"):
        lifecycle.add_layer(running(newsroom(), draft()), Layer(key="fresh", salt=salt))


def test_a_phase_never_gets_the_salt_of_a_layer() -> None:
    configuration = lifecycle.add_layer(newsroom(), Layer(key="odd", salt="textcnn:1"))
    assert running(configuration, draft()).experiments[0].phases[0].salt == "textcnn:1.2"


@pytest.mark.parametrize("salt", ["", "a\n", "s" * 129])
def test_an_unusable_salt_is_refused(salt: str) -> None:
    with pytest.raises(ConfigurationInvalid, match="is not usable; take 1 to 128"):
        lifecycle.add_layer(newsroom(), Layer(key="fresh", salt=salt))


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (ParameterType.STRING, "mf", 1),
        (ParameterType.INTEGER, 3, 3.0),
        (ParameterType.INTEGER, 3, True),
        (ParameterType.FLOAT, 0.5, "0.5"),
        (ParameterType.FLOAT, 1, True),
        (ParameterType.BOOLEAN, False, 0),
        (ParameterType.OBJECT, {"a": [1]}, "a"),
        (ParameterType.OBJECT, [1], None),
    ],
)
def test_a_default_has_the_type_of_its_parameter(kind: ParameterType, good: object, bad: object) -> None:
    parameter = Parameter(key="fresh", type=kind, default=good, layer="ranking")  # type: ignore[arg-type]
    assert lifecycle.add_parameter(newsroom(), parameter).parameters[-1].default == good
    with pytest.raises(ConfigurationInvalid, match="parameter 'fresh' is of type"):
        lifecycle.add_parameter(newsroom(), replace(parameter, default=bad))  # type: ignore[arg-type]


def test_an_integer_given_for_a_float_is_stored_as_a_float() -> None:
    configuration = running(newsroom(), draft(values={"treatment": {"rank.weight": 2}}))
    value = configuration.experiments[0].variants[1].values["rank.weight"]
    assert isinstance(value, float)
    with pytest.raises(ConfigurationInvalid, match="not a boolean"):
        lifecycle.add_experiment(newsroom(), draft(values={"treatment": {"rank.weight": True}}))
    with pytest.raises(ConfigurationInvalid, match="64 bits"):
        lifecycle.add_experiment(newsroom(), draft(values={"treatment": {"rank.weight": 10**400}}))


def test_an_unknown_layer_or_experiment_names_what_is_near() -> None:
    with pytest.raises(ConfigurationInvalid, match="no layer 'rankin'; did you mean 'ranking'"):
        lifecycle.add_experiment(newsroom(), replace(draft(), layer="rankin"))
    with pytest.raises(NotFound, match="no experiment 'textcn'; did you mean 'textcnn'"):
        lifecycle.pause(running(newsroom(), draft()), "textcn")


def test_every_refusal_is_bad_input_or_a_conflict() -> None:
    assert issubclass(BucketsTaken, InvalidInput)
    assert issubclass(IllegalTransition, Conflict)


def test_the_kill_switch_goes_on_and_off() -> None:
    killed = lifecycle.kill(newsroom())
    assert killed.killed
    assert lifecycle.unkill(killed) == newsroom()
