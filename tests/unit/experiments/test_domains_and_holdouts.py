from dataclasses import replace
from datetime import timedelta

import pytest

from configurations import AT, draft, newsroom, running, spaces
from lamella.errors import ConfigurationInvalid, Conflict, NotFound
from lamella.experiments import lifecycle, traffic
from lamella.experiments.model import BUCKETS, BucketRange, Domain, Holdout, Layer, Parameter, ParameterType, UnitKind


def ranges(*pairs: tuple[int, int]) -> tuple[BucketRange, ...]:
    return tuple(BucketRange(start=start, stop=stop) for start, stop in pairs)


@pytest.mark.parametrize(
    ("domain", "fault"),
    [
        (Domain(key="Bad", ranges=ranges((5_000, 6_000))), "domain key 'Bad' is not usable"),
        (Domain(key="late", ranges=()), "it has no buckets"),
        (Domain(key="late", ranges=ranges((5_000, 5_000))), "are no range"),
        (Domain(key="late", ranges=ranges((5_000, 5_600), (5_500, 5_700))), "overlap"),
        (Domain(key="late", ranges=ranges((900, 1_100))), "buckets 900..999 belong to domain 'solo'"),
        (Domain(key="late", ranges=ranges((6_000, 7_000)), unit=UnitKind.DEVICE), "split by user, not by device"),
        (Domain(key="late", ranges=ranges((0, 10)), layer="rankin"), "did you mean 'ranking'?"),
        (Domain(key="late", ranges=ranges((0, 10)), layer="launch"), "is a launch layer"),
        (Domain(key="late", ranges=ranges((0, 10)), layer="device"), "splits by device, not by user"),
        (Domain(key="late", ranges=ranges((0, 10)), layer="ranking"), "belong to experiment 'textcnn'"),
        (Domain(key="late", ranges=ranges((6_000, 6_001)), is_overlapping=False), "would take units out of textcnn"),
    ],
)
def test_a_domain_that_breaks_a_law_is_refused_with_the_reason(domain: Domain, fault: str) -> None:
    configuration = running(spaces(), draft(ranges=[(0, 100)]))
    with pytest.raises(ConfigurationInvalid, match=fault.replace("?", r"\?")):
        traffic.add_domain(configuration, domain)


def test_a_domain_that_exists_or_is_not_there_is_a_conflict_or_not_found() -> None:
    with pytest.raises(Conflict, match="exists already"):
        traffic.add_domain(spaces(), spaces().domains[0])
    with pytest.raises(NotFound):
        traffic.update_domain(newsroom(), spaces().domains[0])


def test_while_something_runs_inside_a_domain_only_grows() -> None:
    configuration = running(spaces(), draft("home-x", layer="home", ranges=[(0, BUCKETS)]))
    half = next(one for one in configuration.domains if one.key == "half")
    with pytest.raises(ConfigurationInvalid, match="cannot lose buckets while home-x"):
        traffic.update_domain(configuration, replace(half, ranges=ranges((1_000, 4_000))))
    grown = traffic.update_domain(configuration, replace(half, ranges=ranges((1_000, 5_500), (9_000, 9_500))))
    assert grown.domains[1].ranges == ranges((1_000, 5_500), (9_000, 9_500))
    stopped = lifecycle.stop(configuration, "home-x", at=AT)
    assert traffic.update_domain(stopped, replace(half, ranges=ranges((1_000, 4_000))))


def test_where_a_domain_lies_does_not_change() -> None:
    half = spaces().domains[1]
    with pytest.raises(ConfigurationInvalid, match="is_overlapping of a domain cannot change"):
        traffic.update_domain(spaces(), replace(half, is_overlapping=False))


def test_only_an_empty_domain_can_be_removed() -> None:
    with pytest.raises(Conflict, match="holds layer 'home'"):
        traffic.remove_domain(spaces(), "half")
    more = traffic.add_domain(spaces(), Domain(key="late", ranges=ranges((6_000, 7_000))))
    assert traffic.remove_domain(more, "late") == spaces()


@pytest.mark.parametrize(
    ("layer", "fault"),
    [
        (Layer(key="new", salt="new", domain="nowhere"), "no domain 'nowhere'"),
        (Layer(key="new", salt="new", domain="solo"), "holds layer 'alone' already"),
        (Layer(key="new", salt="new", domain="half", is_launch=True), "a launch layer spans all traffic"),
    ],
)
def test_a_layer_that_cannot_lie_in_its_domain_is_refused(layer: Layer, fault: str) -> None:
    with pytest.raises(ConfigurationInvalid, match=fault):
        lifecycle.add_layer(spaces(), layer)


def test_a_launch_layer_owns_no_parameter() -> None:
    with pytest.raises(ConfigurationInvalid, match="owns no parameter"):
        lifecycle.add_parameter(spaces(), Parameter(key="new", type=ParameterType.STRING, default="", layer="launch"))


@pytest.mark.parametrize("layer", ["alone", "inside", "launch"])
def test_layers_that_may_set_what_others_own_are_let(layer: str) -> None:
    values = {"treatment": {"rank.model": "textcnn"}}
    assert running(spaces(), draft("bold", layer=layer, values=values)).experiments


@pytest.mark.parametrize("layer", ["home", "shelved", "recall"])
def test_a_parameter_that_is_owned_elsewhere_is_refused(layer: str) -> None:
    with pytest.raises(ConfigurationInvalid, match="belongs to layer 'ranking'"):
        lifecycle.add_experiment(spaces(), draft("bold", layer=layer, values={"treatment": {"rank.model": "textcnn"}}))


def test_two_launch_layers_do_not_set_one_parameter_at_once() -> None:
    now = lifecycle.add_layer(spaces(), Layer(key="second", salt="second", is_launch=True))
    values = {"treatment": {"rank.model": "textcnn"}}
    now = running(now, draft("first-launch", layer="launch", values=values))
    with pytest.raises(ConfigurationInvalid, match="is set by 'first-launch' in launch layer 'launch'"):
        running(now, draft("second-launch", layer="second", values=values))


def test_an_experiment_cannot_have_buckets_of_a_nested_domain() -> None:
    with pytest.raises(ConfigurationInvalid, match=r"8500\.\.8999 of layer 'ranking' belong to domain 'corner'"):
        lifecycle.add_experiment(spaces(), draft(ranges=[(8_500, 9_000)]))


@pytest.mark.parametrize(
    ("holdout", "fault"),
    [
        (Holdout(key="q", salt="ranking", ranges=ranges((0, 1))), "salt 'ranking' is in use"),
        (Holdout(key="q", salt="q", ranges=ranges((0, 1)), domain="nowhere"), "no domain 'nowhere'"),
        (Holdout(key="q", salt="q", ranges=()), "it has no buckets"),
        (Holdout(key="q", salt="q", ranges=ranges((0, 1)), starts_at=AT, ends_at=AT), "not after its start"),
    ],
)
def test_a_holdout_that_breaks_a_law_is_refused_with_the_reason(holdout: Holdout, fault: str) -> None:
    with pytest.raises(ConfigurationInvalid, match=fault):
        traffic.add_holdout(spaces(), holdout)


def test_a_holdout_changes_its_period_and_buckets_and_never_its_salt() -> None:
    first = Holdout(key="q", salt="q", ranges=ranges((0, 500)))
    now = traffic.add_holdout(spaces(), first)
    later = replace(first, ends_at=AT + timedelta(days=90), ranges=ranges((0, 900)))
    assert traffic.update_holdout(now, later).holdouts == (later,)
    with pytest.raises(ConfigurationInvalid, match="salt of a holdout cannot change"):
        traffic.update_holdout(now, replace(first, salt="r"))
    assert traffic.remove_holdout(now, "q").holdouts == ()
    with pytest.raises(Conflict):
        traffic.add_holdout(now, first)
