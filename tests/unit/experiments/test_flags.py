"""Every parameter as a flag: names, deciding experiment, units."""

from dataclasses import replace

import pytest

from configurations import draft, newsroom, spread
from flagd_configurations import everything, live
from lamella.errors import InvalidInput, NotFound
from lamella.experiments.flags import DEFAULT_VARIANT, Flags, units_of
from lamella.experiments.model import UnitKind
from lamella.experiments.snapshot import compile_snapshot


def flags_of(*experiments):
    return Flags(compile_snapshot(replace(newsroom(), experiments=experiments)))


def test_a_variant_goes_by_its_own_key_where_it_is_alone():
    flags = flags_of(live(1, draft("one", ranges=[(0, 5000)])))
    assert set(flags.flag("rank.model").names.values()) == {"control", "treatment"}
    assert flags.flag("rank.model").named("treatment") == ("one", "treatment")
    assert flags.flag("rank.model").named("one/treatment") == ("one", "treatment")


def test_a_variant_whose_key_another_has_goes_by_both_keys():
    flags = flags_of(
        live(1, draft("one", ranges=[(0, 5000)])),
        live(2, draft("two", ranges=[(5000, 9000)], weights={"control": 1, "b": 1})),
    )
    flag = flags.flag("rank.model")
    assert set(flag.names.values()) == {"one/control", "treatment", "two/control", "b"}
    assert flag.named("control") is None


def test_no_variant_is_called_default():
    flags = flags_of(live(1, draft("one", weights={"default": 1, "b": 1}, values={"b": {"rank.model": "x"}})))
    assert set(flags.flag("rank.model").names.values()) == {"one/default", "b"}


def test_an_experiment_that_leaves_a_flag_of_another_layer_alone_is_none_of_its_names():
    flags = flags_of(live(1, draft("one")))
    assert flags.flag("recall.model").names == {}
    decision = flags.snapshot.assign("reader-1")
    (found,) = flags.evaluate(decision, ["recall.model"])
    assert (found.variant, found.reason) == (DEFAULT_VARIANT, "STATIC")


def test_every_value_is_the_decisions_and_every_variant_has_one_value():
    flags = Flags(compile_snapshot(everything()))
    values = {}
    for unit in spread(3_000):
        decision = flags.snapshot.assign(unit, {"country": "SG", "age": 20})
        for found in flags.evaluate(decision):
            assert found.value == decision.parameters[found.key]
            assert values.setdefault((found.key, found.variant), found.value) == found.value


def test_an_unknown_flag_is_named_with_what_is_close():
    with pytest.raises(NotFound, match=r"did you mean 'rank\.model'"):
        flags_of().flag("rank.modle")


def test_units_come_from_the_context_by_their_keys():
    assert units_of("reader", {"deviceKey": None}) == "reader"
    context = {"deviceKey": "phone", "sessionKey": "s"}
    wanted = {UnitKind.USER: "reader", UnitKind.DEVICE: "phone", UnitKind.SESSION: "s"}
    assert units_of("reader", context) == wanted


@pytest.mark.parametrize(
    ("user", "context", "named"),
    [
        ("", {}, "targetingKey"),
        (7, {}, "targetingKey"),
        ("x" * 257, {}, "targetingKey"),
        ("a\n", {}, "targetingKey"),
        ("reader", {"deviceKey": ""}, "deviceKey"),
        ("reader", {"sessionKey": 7}, "sessionKey"),
    ],
)
def test_a_unit_that_cannot_be_randomised_is_named(user, context, named):
    with pytest.raises(InvalidInput, match=named):
        units_of(user, context)
