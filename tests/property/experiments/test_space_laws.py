"""The laws of assignment over configurations with domains, other units, launch layers, holdouts and prerequisites."""

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from configurations import (
    EXCLUSIVE,
    RULES,
    SPACED,
    contexts,
    draft,
    newsroom,
    running,
    spaced_configurations,
    spaces,
    spread,
    units,
)
from lamella.errors import ConfigurationInvalid
from lamella.experiments import lifecycle, traffic
from lamella.experiments.explain import explain
from lamella.experiments.hashing import hash32, scale
from lamella.experiments.model import (
    BUCKETS,
    ROOT_SALT,
    BucketRange,
    Configuration,
    Domain,
    Eligibility,
    Holdout,
    Json,
    Layer,
    Status,
    UnitKind,
)
from lamella.experiments.quick_rules import shortcut
from lamella.experiments.snapshot import Decision, Units, compile_snapshot
from lamella.experiments.targeting import compile_rule
from lamella.services.bulk import assign_many

FRIENDS = [f"{layer}-friend" for layer in SPACED]
given_units = (units | st.sampled_from(FRIENDS)) | st.dictionaries(
    st.sampled_from(UnitKind), units | st.sampled_from(FRIENDS), min_size=1
)


def bucket(salt: str, unit: str) -> int:
    return scale(hash32(salt, unit), BUCKETS)


def by_layer(decision: Decision) -> dict[str, str | None]:
    return {one.layer: one.variant for one in decision.assignments}


@given(configuration=spaced_configurations(), unit=given_units, context=contexts)
def test_a_unit_gets_one_variant_or_none_of_what_runs_in_each_layer(
    configuration: Configuration, unit: Units, context: dict[str, Json]
) -> None:
    decision = compile_snapshot(configuration).assign(unit, context)
    assert [one.layer for one in decision.assignments] == [layer.key for layer in configuration.layers]
    by_key = {one.key: one for one in configuration.experiments}
    for one in decision.assignments:
        assert (one.variant is None) == (one.phase is None)
        assert one.variant is not None or not one.counted
        if one.variant is not None and one.counted:
            phase = by_key[one.experiment or ""].phases[-1]
            assert by_key[one.experiment or ""].status is Status.RUNNING
            assert (one.phase, phase.weights[one.variant] > 0) == (phase.id, True)


@given(configuration=spaced_configurations(), unit=given_units, context=contexts, data=st.data())
def test_explain_agrees_with_assign_with_what_is_remembered_and_previewed(
    configuration: Configuration, unit: Units, context: dict[str, Json], data: st.DataObject
) -> None:
    snapshot = compile_snapshot(configuration)
    phases = [one.phases[-1].id for one in configuration.experiments]
    remembered = dict.fromkeys(data.draw(st.lists(st.sampled_from(phases))) if phases else [], "b")
    keys = [one.key for one in configuration.experiments]
    forced = dict.fromkeys(data.draw(st.lists(st.sampled_from(keys), max_size=2)) if keys else [], "c")
    decision = snapshot.assign(unit, context, remembered=remembered, forced=forced)
    told = explain(snapshot, unit, context, remembered=remembered, forced=forced)
    assert told["parameters"] == decision.parameters
    layers = told["layers"]
    assert isinstance(layers, list)
    for layer, assignment in zip(layers, decision.assignments, strict=True):
        assert {key: layer[key] for key in assignment._asdict()} == assignment._asdict()


@given(configuration=spaced_configurations(), context=contexts, prefix=units, many=st.integers(1, 60))
def test_many_at_once_get_what_each_gets_alone(
    configuration: Configuration, context: dict[str, Json], prefix: str, many: int
) -> None:
    snapshot = compile_snapshot(configuration)
    asked = [*spread(many, prefix), *FRIENDS, prefix, "a", "读者", ""]
    found = assign_many(snapshot, asked, context)
    assert found.codes.shape == (len(asked), len(configuration.layers))
    for row, unit in enumerate(asked):
        assert found.decision(row) == snapshot.assign(unit, context)


@given(configuration=spaced_configurations(), unit=units, context=contexts)
def test_no_two_layers_that_own_set_the_same_parameter_for_a_unit_that_is_not_forced(
    configuration: Configuration, unit: str, context: dict[str, Json]
) -> None:
    launch = {layer.key for layer in configuration.layers if layer.is_launch}
    by_key = {one.key: one for one in configuration.experiments}
    decision = compile_snapshot(configuration).assign({UnitKind.USER: unit, UnitKind.DEVICE: unit}, context)
    set_by: Counter[str] = Counter()
    for one in decision.assignments:
        if one.counted and one.layer not in launch:
            variant = next(each for each in by_key[one.experiment or ""].variants if each.key == one.variant)
            set_by.update(variant.values.keys())
    assert all(times == 1 for times in set_by.values())


@given(configuration=spaced_configurations(), unit=units, context=contexts)
def test_only_units_of_its_domain_are_in_a_layer_and_those_of_a_separate_one_in_no_other(
    configuration: Configuration, unit: str, context: dict[str, Json]
) -> None:
    decision = compile_snapshot(configuration).assign(unit, context)
    given_ = {one.layer for one in decision.assignments if one.counted}
    root, ranking = bucket(ROOT_SALT, unit), bucket("ranking", unit)
    inside = {
        "solo": root < 1_000,
        "half": 1_000 <= root < 5_000 or 9_000 <= root < 9_500,
        "corner": 8_000 <= ranking < 9_000,
        "shelf": ranking >= 9_000,
    }
    for layer in configuration.layers:
        if layer.domain is not None and not inside[layer.domain]:
            assert layer.key not in given_
    if inside["solo"]:
        assert given_ <= {EXCLUSIVE["solo"], "home", "launch"}
        assert "home" not in given_


@given(configuration=spaced_configurations(), unit=units, context=contexts)
def test_a_unit_that_is_held_out_gets_no_variant_where_the_holdout_reaches(
    configuration: Configuration, unit: str, context: dict[str, Json]
) -> None:
    reach = {"global": set(SPACED), "home": {"home"}, "corner": {"inside"}}
    decision = compile_snapshot(configuration).assign(unit, context)
    for holdout in configuration.holdouts:
        if holdout.unit is UnitKind.USER and bucket(holdout.salt, unit) < 700:
            assert {one.layer for one in decision.assignments if one.variant is not None}.isdisjoint(reach[holdout.key])


@given(configuration=spaced_configurations(), unit=units, context=contexts)
def test_a_prerequisite_lets_in_only_units_of_the_variants_that_it_names(
    configuration: Configuration, unit: str, context: dict[str, Json]
) -> None:
    decision = compile_snapshot(configuration).assign(unit, context)
    got = {one.experiment: one.variant for one in decision.assignments if one.variant is not None}
    counted = {one.experiment for one in decision.assignments if one.counted}
    for one in configuration.experiments:
        if one.key in counted:
            assert all(got.get(needed.experiment) in needed.variants for needed in one.requires)


@given(configuration=spaced_configurations(), start=st.integers(0, 9_999), many=st.integers(0, 2**32), exclusive=...)
def test_a_domain_that_is_accepted_moves_nobody(
    configuration: Configuration, start: int, many: int, exclusive: bool
) -> None:
    domain = Domain(
        key="late",
        ranges=(BucketRange(start=start, stop=min(start + 500, BUCKETS)),),
        layer="recall" if many % 2 else None,
        is_overlapping=not exclusive,
    )
    try:
        after = traffic.add_domain(configuration, domain)
    except ConfigurationInvalid:
        return
    before, now = compile_snapshot(configuration), compile_snapshot(after)
    for unit in spread(30, f"{many}-"):
        assert {key: one for key, one in by_layer(now.assign(unit)).items() if one} == {
            key: one for key, one in by_layer(before.assign(unit)).items() if one
        }


@given(rule=st.sampled_from(RULES), context=contexts)
def test_a_shortcut_says_what_the_rule_says_or_nothing(rule: Json, context: dict[str, Json]) -> None:
    quick = shortcut(rule)
    if quick is not None and (found := quick(context)) is not None:
        match = compile_rule(rule).match(context)
        assert (match.matched, match.failed) == (found, False)


@given(
    rule=st.recursive(
        st.tuples(
            st.sampled_from(["==", "!=", "===", "!==", "<", "<=", ">", ">=", "in"]),
            st.sampled_from(["country", "age", "device"]),
            st.sampled_from(["CN", "5", "", 5, 0, -1.5, ["CN", "ios"], [], True, None]),
        ).map(lambda one: {one[0]: [{"var": one[1]}, one[2]]}),
        lambda inner: st.tuples(st.sampled_from(["and", "or"]), st.lists(inner, min_size=1, max_size=3)).map(
            lambda one: {one[0]: one[1]}
        ),
        max_leaves=4,
    ),
    context=st.dictionaries(
        st.sampled_from(["country", "age", "device"]),
        st.sampled_from(["CN", "5", "ios", "", 5, 0, 7.5, True, None, ["CN"]]),
    ),
)
def test_a_shortcut_of_any_rule_that_has_one_agrees_with_the_rule(rule: Json, context: dict[str, Json]) -> None:
    quick = shortcut(rule)
    if quick is not None and (found := quick(context)) is not None:
        match = compile_rule(rule).match(context)
        assert (match.matched, match.failed) == (found, False)


def test_a_unit_that_was_exposed_stays_where_the_policy_is_to_stick_and_leaves_where_it_is_not() -> None:
    rule: Json = {"==": [{"var": "country"}, "CN"]}
    base = draft(ranges=[(0, BUCKETS)], rule=rule)
    for policy, stays in ((Eligibility.STICK, True), (Eligibility.LEAVE, False)):
        configuration = running(newsroom(), replace(base, eligibility=policy))
        snapshot = compile_snapshot(configuration)
        for unit in spread(50):
            was = snapshot.assign(unit, {"country": "CN"}).assignments[1]
            now = snapshot.assign(unit, {"country": "US"}, remembered={1: was.variant or ""}).assignments[1]
            assert now.variant == (was.variant if stays else None)
            assert ("keeps" in now.detail, now.counted) == (stays, stays)


def test_a_launch_layer_gives_the_default_and_the_owner_goes_before_it() -> None:
    new: dict[str, Json] = {"rank.model": "new", "recall.model": "new"}
    both = {"control": new, "treatment": new}
    launched = draft("rollout", layer="launch", ranges=[(0, BUCKETS)], values=both)
    own = draft(ranges=[(0, 8_000)], values={"control": {"rank.model": "mine"}, "treatment": {"rank.model": "mine"}})
    snapshot = compile_snapshot(running(spaces(), own, launched))
    for unit in spread(200):
        decision = snapshot.assign(unit)
        in_own = by_layer(decision)["ranking"] is not None
        assert decision.parameters["rank.model"] == ("mine" if in_own else "new")
        assert decision.parameters["recall.model"] == "new"


def test_a_layer_of_another_unit_splits_by_that_unit_and_gives_its_defaults_without() -> None:
    push = draft("push", layer="device", ranges=[(0, BUCKETS)])
    snapshot = compile_snapshot(running(spaces(), push))
    alone = snapshot.assign("reader-1").assignments
    missing = next(one for one in alone if one.layer == "device")
    assert (missing.reason, missing.detail) == ("DEFAULT", "the request names no device")
    for phone in spread(50, "phone-"):
        told = {
            by_layer(snapshot.assign({UnitKind.USER: user, UnitKind.DEVICE: phone}))["device"] for user in spread(3)
        }
        assert len(told) == 1


def test_holdouts_of_all_units_of_a_salt_hold_out_their_share() -> None:
    configuration = traffic.add_holdout(
        running(newsroom(), draft(ranges=[(0, BUCKETS)])),
        Holdout(key="quarter", salt="quarter", ranges=(BucketRange(start=0, stop=500),)),
    )
    snapshot = compile_snapshot(configuration)
    out = sum(snapshot.assign(unit).assignments[1].variant is None for unit in spread(20_000))
    # Binomial with p = 0.05: 3.89 standard deviations are a false alarm in 10,000.
    assert abs(out - 1_000) < 3.89 * (20_000 * 0.05 * 0.95) ** 0.5


def test_two_domains_over_different_layers_and_a_holdout_split_independently() -> None:
    salts = [ROOT_SALT, "ranking", "quarter", "textcnn:1"]
    crossed = Counter(tuple(scale(hash32(salt, unit), 2) for salt in salts) for unit in spread(32_000))
    statistic = sum((crossed[cell] - 2_000) ** 2 / 2_000 for cell in crossed)
    # Chi square with 15 degrees of freedom: 44.3 is a false alarm in 10,000.
    assert len(crossed) == 16
    assert statistic < 44.3


def test_a_salt_is_never_used_twice() -> None:
    now = spaces()
    for taken in (ROOT_SALT, "ranking"):
        for change in (
            lambda salt=taken: lifecycle.add_layer(now, Layer(key="new", salt=salt)),
            lambda salt=taken: traffic.add_holdout(
                now, Holdout(key="new", salt=salt, ranges=(BucketRange(start=0, stop=1),))
            ),
        ):
            try:
                change()
            except ConfigurationInvalid as refused:
                assert "in use" in str(refused)  # noqa: PT017
            else:
                raise AssertionError(taken)
