"""Flagd's own evaluator, from PyPI, must give what we give: bucket and variant, nested."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext

from configurations import draft, newsroom, running, spread
from lamella.experiments.hashing import hash32, scale
from lamella.experiments.model import BUCKETS, Experiment, Json, Layer
from lamella.experiments.snapshot import compile_snapshot

ALPHABETS = ("reader-", "读者-", "lecteur-é-", "👩🏽‍💻", "קורא-", "x" * 200)
EXPERIMENTS = (
    draft("steady", ranges=[(0, 2500), (9000, 9500)], weights={"a": 1, "b": 1}),
    draft("skewed", ranges=[(2500, 2600)], weights={"a": 95, "b": 5}),
    draft("many", ranges=[(4000, 8999)], weights={"a": 3, "none": 0, "b": 333, "c": 1_000_000}),
)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def fraction(salt: str, shares: Sequence[Json]) -> dict[str, Json]:
    return {"fractional": [{"cat": [f"{salt}:", {"var": "targetingKey"}]}, *shares]}


def flag(layer: Layer, experiments: Sequence[Experiment]) -> dict[str, Any]:
    """The layer as a flag whose variants are `experiment/variant`: the layer's salt outside, the phase's inside."""
    shares: list[Json] = []
    names: list[str] = []
    edge = 0
    pieces = sorted((one.start, one.stop, experiment) for experiment in experiments for one in experiment.ranges)  # type: ignore[type-var]
    for start, stop, experiment in pieces:
        if start > edge:
            shares.append([None, start - edge])
        phase = experiment.phases[-1]
        inner = [[f"{experiment.key}/{one.key}", phase.weights[one.key]] for one in experiment.variants]
        shares.append([fraction(phase.salt, inner), stop - start])
        names += [f"{experiment.key}/{one.key}" for one in experiment.variants]
        edge = stop
    if edge < BUCKETS:
        shares.append([None, BUCKETS - edge])
    variants = {name: name for name in ["out", *names]}
    return {
        "state": "ENABLED",
        "defaultVariant": "out",
        "variants": variants,
        "targeting": fraction(layer.salt, shares),
    }


def disagreements(units: Sequence[str]) -> list[str]:
    configuration = running(newsroom(), *EXPERIMENTS)
    snapshot = compile_snapshot(configuration)
    layer = next(one for one in configuration.layers if one.key == "ranking")
    flagd = FlagdCore()
    flagd.set_flags({"flags": {"ranking": flag(layer, configuration.experiments)}})
    found: list[str] = []
    for unit in units:
        theirs = flagd.resolve_string_value("ranking", "?", EvaluationContext(targeting_key=unit)).value
        ours = snapshot.assign(unit).assignments[1]
        if theirs != (f"{ours.experiment}/{ours.variant}" if ours.variant else "out"):
            found.append(unit)
    return found


@pytest.mark.parametrize("alphabet", ALPHABETS)
def test_flagd_gives_the_same_bucket_and_variant(alphabet: str) -> None:
    assert disagreements(spread(2_000, alphabet)) == []


@pytest.mark.long
def test_flagd_gives_the_same_bucket_and_variant_to_100_000_units() -> None:
    assert disagreements([unit for alphabet in ALPHABETS for unit in spread(17_000, f"{alphabet}long-")]) == []


@given(
    unit=st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=80),
    weights=st.lists(st.integers(0, 10_000), min_size=1, max_size=6).filter(any),
)
def test_flagd_gives_the_same_place_for_any_unit_and_weights(unit: str, weights: list[int]) -> None:
    place = scale(hash32("s", unit), sum(weights))
    ours = next(i for i in range(len(weights)) if place < sum(weights[: i + 1]))
    flagd = FlagdCore()
    shares: list[Json] = [[str(i), weight] for i, weight in enumerate(weights)]
    one = {"state": "ENABLED", "variants": {str(i): str(i) for i in range(len(weights))}, "defaultVariant": "0"}
    flagd.set_flags({"flags": {"f": {**one, "targeting": fraction("s", shares)}}})
    assert flagd.resolve_string_value("f", "?", EvaluationContext(targeting_key=unit)).value == str(ours)
