from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, chi2, chi2_contingency

from configurations import (
    AT,
    METRICS,
    bucket_ranges,
    contexts,
    draft,
    live_configurations,
    newsroom,
    running,
    spread,
    units,
)
from lamella.experiments import lifecycle
from lamella.experiments.allocation import grow, size
from lamella.experiments.explain import explain
from lamella.experiments.hashing import HASHES, hash32, scale
from lamella.experiments.model import BUCKETS, BucketRange, Configuration, Json, Status
from lamella.experiments.snapshot import Snapshot, compile_snapshot

REASONS = {"STATIC", "SPLIT", "TARGETING_MATCH", "DISABLED", "DEFAULT", "ERROR"}
# Frequency tests use fixed units: they cannot flicker. When written, each was given this false-alarm rate.
ALARM = 1e-4


def variants_of(snapshot: Snapshot, units: list[str], layer: int = 1) -> dict[str, str | None]:
    return {unit: snapshot.assign(unit).assignments[layer].variant for unit in units}


@given(configuration=live_configurations(), unit=units, context=contexts)
def test_a_unit_gets_one_variant_or_none_in_each_layer(
    configuration: Configuration, unit: str, context: dict[str, Json]
) -> None:
    decision = compile_snapshot(configuration).assign(unit, context)
    assert [one.layer for one in decision.assignments] == [layer.key for layer in configuration.layers]
    by_key = {one.key: one for one in configuration.experiments}
    for one in decision.assignments:
        assert one.reason in REASONS
        assert one.reason != "ERROR"
        assert (one.variant is None) == (one.phase is None)
        if one.variant is not None:
            experiment = by_key[one.experiment or ""]
            assert experiment.status is Status.RUNNING
            assert experiment.layer == one.layer
            assert one.phase == experiment.phases[-1].id
            assert one.counted == (experiment.forced.get(unit) is None)
            assert experiment.phases[-1].weights[one.variant] > 0 or not one.counted


@given(configuration=live_configurations(), unit=units, context=contexts)
def test_parameters_are_the_defaults_but_for_the_values_of_the_variants(
    configuration: Configuration, unit: str, context: dict[str, Json]
) -> None:
    decision = compile_snapshot(configuration).assign(unit, context)
    expected = {one.key: one.default for one in configuration.parameters}
    for one in decision.assignments:
        for experiment in configuration.experiments:
            if experiment.key == one.experiment and one.variant is not None:
                expected.update(next(each for each in experiment.variants if each.key == one.variant).values)
    assert decision.parameters == expected


@given(
    configuration=live_configurations(), unit=units | st.sampled_from(["ranking-0-x", "recall-1-y"]), context=contexts
)
def test_explain_agrees_with_assign(configuration: Configuration, unit: str, context: dict[str, Json]) -> None:
    snapshot = compile_snapshot(configuration)
    for each in (unit, *spread(20, unit)):
        decision, explained = snapshot.assign(each, context), explain(snapshot, each, context)
        assert explained["parameters"] == decision.parameters
        assert explained["snapshot"] == decision.version
        layers = explained["layers"]
        assert isinstance(layers, list)
        for told, assignment in zip(layers, decision.assignments, strict=True):
            assert {key: told[key] for key in assignment._asdict()} == assignment._asdict()
            assert all(step["outcome"] for step in told["steps"])


@given(configuration=live_configurations(), unit=units, context=contexts)
def test_the_same_question_gets_the_same_answer_from_a_snapshot_compiled_again(
    configuration: Configuration, unit: str, context: dict[str, Json]
) -> None:
    first, second = compile_snapshot(configuration), compile_snapshot(configuration)
    assert first.assign(unit, context) == second.assign(unit, context) == first.assign(unit, context)


@given(unit=units, ranges=bucket_ranges(), weights=st.lists(st.integers(0, 9), min_size=2, max_size=4))
def test_a_counted_unit_is_in_the_buckets_and_in_the_place_of_its_variant(
    unit: str, ranges: tuple[BucketRange, ...], weights: list[int]
) -> None:
    named = {"control": weights[0] + 1, **{f"v{i}": weight for i, weight in enumerate([*weights[1:], 1])}}
    configuration = running(
        newsroom(), draft(ranges=[(one.start, one.stop) for one in ranges], weights=named, values={})
    )
    given_ = compile_snapshot(configuration).assign(unit).assignments[1]
    bucket = scale(hash32("ranking", unit), BUCKETS)
    place = scale(hash32("textcnn:1", unit), sum(named.values()))
    if any(one.start <= bucket < one.stop for one in ranges):
        before = 0
        for key, weight in named.items():
            if before <= place < before + weight:
                assert given_.variant == key
            before += weight
    else:
        assert given_.variant is None


@given(configuration=live_configurations(), share=st.floats(0.0001, 1), many=st.integers(0, 2**32))
def test_a_ramp_moves_nobody_who_was_in(configuration: Configuration, share: float, many: int) -> None:
    for one in configuration.experiments:
        if share * BUCKETS <= size(one.ranges):
            continue
        others = sum(size(each.ranges) for each in configuration.experiments if each.layer == one.layer)
        if others - size(one.ranges) + round(share * BUCKETS) > BUCKETS:
            continue
        grown = lifecycle.update_experiment(configuration, replace(one, ranges=grow(configuration, one, share)))
        before, after = compile_snapshot(configuration), compile_snapshot(grown)
        for unit in spread(50, f"{many}-"):
            was, now = before.assign(unit), after.assign(unit)
            for old, new in zip(was.assignments, now.assignments, strict=True):
                if old.variant is not None:
                    assert new == old


def test_a_full_ramp_keeps_every_unit_of_every_step_in_its_variant() -> None:
    readers = spread(2_000)
    configuration = running(newsroom(), draft(ranges=[(9_000, 9_100)]))
    held: dict[str, str | None] = {}
    for share in (0.01, 0.05, 0.2, 0.5, 1.0):
        experiment = configuration.experiments[0]
        ranges = grow(configuration, experiment, share)
        configuration = lifecycle.update_experiment(configuration, replace(experiment, ranges=ranges))
        now = variants_of(compile_snapshot(configuration), readers)
        assert {unit: now[unit] for unit in held} == held
        held = {unit: variant for unit, variant in now.items() if variant is not None}
    assert len(held) == len(readers)


@given(unit=units)
def test_a_weight_of_0_means_nobody(unit: str) -> None:
    weights = {"control": 1, "off": 0, "treatment": 1, "last": 0}
    configuration = running(newsroom(), draft(ranges=[(0, BUCKETS)], weights=weights))
    assert compile_snapshot(configuration).assign(unit).assignments[1].variant in ("control", "treatment")


@given(weights=st.lists(st.integers(0, 50), min_size=1, max_size=5).filter(any))
def test_weights_are_honoured_exactly_as_integers(weights: list[int]) -> None:
    total = sum(weights)
    edges = [-(-i * HASHES // total) for i in range(total + 1)]
    counts = [scale(edges[i], total) for i in range(total)]
    assert counts == list(range(total))
    assert all(scale(edge - 1, total) == i - 1 for i, edge in enumerate(edges) if i)


@given(unit=units, pause=st.booleans())
def test_experiments_of_a_layer_exclude_each_other(unit: str, *, pause: bool) -> None:
    first, second = draft("first", ranges=[(0, 5000)]), draft("second", ranges=[(5000, BUCKETS)])
    configuration = running(newsroom(), first, second)
    if pause:
        configuration = lifecycle.pause(configuration, "first")
    (given_,) = [one for one in compile_snapshot(configuration).assign(unit).assignments if one.layer == "ranking"]
    wanted = "first" if scale(hash32("ranking", unit), BUCKETS) < 5000 else "second"
    assert given_.experiment == wanted
    assert given_.reason == ("DISABLED" if pause and wanted == "first" else "SPLIT")


def test_two_layers_split_the_same_units_independently() -> None:
    recall = draft("recall-ab", layer="recall", ranges=[(0, BUCKETS)])
    configuration = running(newsroom(), recall, draft("ranking-ab", ranges=[(0, BUCKETS)]))
    snapshot = compile_snapshot(configuration)
    crossed = Counter(tuple(one.variant for one in snapshot.assign(unit).assignments) for unit in spread(20_000))
    table = [[crossed[left, right] for right in ("control", "treatment")] for left in ("control", "treatment")]
    assert chi2_contingency(table).pvalue > ALARM


def test_the_next_experiment_on_the_same_buckets_splits_them_afresh() -> None:
    first = running(newsroom(), draft("first", ranges=[(0, 2_000)]))
    second = running(lifecycle.stop(first, "first", at=AT), draft("second", ranges=[(0, 2_000)]))
    readers = spread(60_000)
    before = variants_of(compile_snapshot(first), readers)
    after = variants_of(compile_snapshot(second), readers)
    assert [unit for unit in readers if before[unit]] == [unit for unit in readers if after[unit]]
    crossed = Counter((before[unit], after[unit]) for unit in readers if before[unit])
    table = [[crossed[left, right] for right in ("control", "treatment")] for left in ("control", "treatment")]
    assert chi2_contingency(table).pvalue > ALARM


def test_a_variant_does_not_depend_on_the_bucket_inside_the_experiment() -> None:
    snapshot = compile_snapshot(running(newsroom(), draft(ranges=[(0, BUCKETS)])))
    crossed = Counter(
        (scale(hash32("ranking", unit), 10), snapshot.assign(unit).assignments[1].variant) for unit in spread(20_000)
    )
    table = [[crossed[tenth, variant] for variant in ("control", "treatment")] for tenth in range(10)]
    assert chi2_contingency(table).pvalue > ALARM


def test_a_new_phase_splits_again_and_the_old_salt_keeps_everybody() -> None:
    readers = spread(4_000)
    before = running(newsroom(), draft(ranges=[(0, BUCKETS)]))
    experiment = before.experiments[0]
    fresh = lifecycle.new_phase(before, experiment, at=AT, metrics=METRICS)
    kept = lifecycle.new_phase(before, experiment, at=AT, metrics=METRICS, salt=experiment.phases[0].salt)
    was = variants_of(compile_snapshot(before), readers)
    now = variants_of(compile_snapshot(fresh), readers)
    assert variants_of(compile_snapshot(kept), readers) == was
    moved = sum(was[unit] != now[unit] for unit in readers)
    assert binom.sf(abs(moved - 2_000) + 1_999, 4_000, 0.5) > ALARM / 2


def test_buckets_are_equally_full() -> None:
    counts = Counter(scale(hash32("ranking", unit), 100) for unit in spread(50_000))
    statistic = sum((counts[bucket] - 500) ** 2 / 500 for bucket in range(100))
    assert chi2.sf(statistic, 99) > ALARM
    assert chi2.cdf(statistic, 99) > ALARM


@given(unit=units, context=contexts)
def test_an_unrelated_change_moves_nobody(unit: str, context: dict[str, Json]) -> None:
    before = running(newsroom(), draft(ranges=[(0, 5000)]))
    after = running(before, draft("late", ranges=[(5000, 5001)]), draft("other", layer="recall"))
    after = lifecycle.resume(lifecycle.pause(after, "textcnn"), "textcnn")
    was = compile_snapshot(before).assign(unit, context).assignments[1]
    now = compile_snapshot(after).assign(unit, context).assignments[1]
    assert now == was or now.experiment == "late"
