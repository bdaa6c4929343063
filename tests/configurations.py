"""Configurations for tests: a newsroom with two layers, made through the life cycle, and strategies for any other."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from hypothesis import strategies as st

from lamella.experiments import lifecycle
from lamella.experiments.model import (
    BUCKETS,
    AnalysisPlan,
    BucketRange,
    Configuration,
    Experiment,
    Guardrail,
    Json,
    Layer,
    Parameter,
    ParameterType,
    Phase,
    Status,
    UnitKind,
    Variant,
)

METRICS: Final = frozenset({"ctr", "reading_depth", "dwell_per_read"})
AT: Final = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


def newsroom() -> Configuration:
    """Two layers, three parameters, no experiment."""
    configuration = Configuration()
    for layer in ("recall", "ranking"):
        configuration = lifecycle.add_layer(configuration, Layer(key=layer, salt=layer))
    for key, kind, default, layer in (
        ("recall.model", ParameterType.STRING, "popularity", "recall"),
        ("rank.model", ParameterType.STRING, "mf", "ranking"),
        ("rank.weight", ParameterType.FLOAT, 1.0, "ranking"),
    ):
        parameter = Parameter(key=key, type=kind, default=default, layer=layer)
        configuration = lifecycle.add_parameter(configuration, parameter)
    return configuration


def draft(
    key: str = "textcnn",
    *,
    layer: str = "ranking",
    ranges: Sequence[tuple[int, int]] = ((0, 5000),),
    weights: Mapping[str, int] | None = None,
    values: Mapping[str, Mapping[str, Json]] | None = None,
    rule: Json = None,
    forced: Mapping[str, str] | None = None,
) -> Experiment:
    """A draft that may start; the first of `weights` is the control."""
    shares = weights or {"control": 1, "treatment": 1}
    given = values or ({"treatment": {"rank.model": "textcnn"}} if layer == "ranking" else {})
    return Experiment(
        key=key,
        layer=layer,
        name=f"The {key} experiment",
        hypothesis="Text features find articles that nobody has read yet",
        variants=tuple(
            Variant(key=one, weight=weight, values=given.get(one, {}), is_control=i == 0)
            for i, (one, weight) in enumerate(shares.items())
        ),
        plan=AnalysisPlan(primary_metric="ctr", guardrails=(Guardrail(metric="reading_depth", margin=0.02),)),
        ranges=tuple(BucketRange(start=start, stop=stop) for start, stop in ranges),
        rule=rule,
        forced=forced or {},
    )


def running(configuration: Configuration, *experiments: Experiment) -> Configuration:
    """The configuration with each experiment added and started."""
    for one in experiments:
        configuration = lifecycle.add_experiment(configuration, one)
        configuration = lifecycle.start(configuration, one.key, at=AT, metrics=METRICS)
    return configuration


def spread(units: int, prefix: str = "reader-") -> list[str]:
    """That many different units."""
    return [f"{prefix}{i}" for i in range(units)]


# --- strategies

keys = st.from_regex(r"[a-z][a-z0-9_.-]{0,20}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=20)
# Units as they may be sent: any text without control characters.
units = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=64)
scalars = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts
)
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=8
)
contexts = st.dictionaries(st.sampled_from(["country", "age", "device", "premium"]), json_values, max_size=4)
moments = st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
RULES: Final[tuple[Json, ...]] = (
    None,
    True,
    False,
    {"==": [{"var": "country"}, "CN"]},
    {"!=": [{"var": "country"}, "CN"]},
    {"or": [{"<": [{"var": "age"}, 30]}, {"==": [{"var": ["premium", False]}, True]}]},
    {"in": [{"var": "device"}, ["ios", "android"]]},
    {"ends_with": [{"var": "targetingKey"}, "1"]},
)


@st.composite
def bucket_ranges(draw: st.DrawFn, pieces: int = 3) -> tuple[BucketRange, ...]:
    """Up to `pieces` ranges of a layer that do not overlap."""
    edges = sorted(draw(st.sets(st.integers(0, BUCKETS), min_size=2, max_size=2 * pieces)))
    pairs = zip(edges[::2], edges[1::2], strict=False)
    return tuple(BucketRange(start=start, stop=stop) for start, stop in pairs)


@st.composite
def live_configurations(draw: st.DrawFn) -> Configuration:
    """A newsroom that runs, pauses and forces whatever its laws allow."""
    configuration = replace(newsroom(), version=draw(st.integers(1, 10**6)))
    for layer in ("recall", "ranking"):
        cuts = list(draw(bucket_ranges(pieces=4)))
        for i in range(draw(st.integers(0, min(3, len(cuts))))):
            configuration = running(configuration, _drawn(draw, f"{layer}-{i}", layer, cuts[i]))
            if draw(st.booleans()) and draw(st.booleans()):
                configuration = lifecycle.pause(configuration, f"{layer}-{i}")
    return lifecycle.kill(configuration) if draw(st.integers(0, 9)) == 0 else configuration


def _drawn(draw: st.DrawFn, key: str, layer: str, buckets: BucketRange) -> Experiment:
    weights = {"control": draw(st.integers(1, 100)), "b": draw(st.integers(1, 100)), "c": draw(st.integers(0, 3))}
    parameter = {"recall": "recall.model", "ranking": "rank.model"}[layer]
    # One letter an experiment, so that no unit is forced twice in a layer.
    forced = {f"{key}-{unit}": "b" for unit in draw(st.lists(st.sampled_from("xyz"), unique=True))}
    return draft(
        key,
        layer=layer,
        ranges=[(buckets.start, buckets.stop)],
        weights=weights,
        values={"b": {parameter: f"{key}-b"}, "c": {parameter: f"{key}-c"}},
        rule=draw(st.sampled_from(RULES)),
        forced=forced,
    )


layers = st.builds(Layer, key=keys, salt=texts, unit=st.sampled_from(UnitKind), description=texts)
parameters = st.builds(
    Parameter,
    key=keys,
    type=st.sampled_from(ParameterType),
    default=json_values,
    layer=keys,
    description=texts,
)
plans = st.builds(
    AnalysisPlan,
    primary_metric=texts,
    guardrails=st.lists(st.builds(Guardrail, metric=texts, margin=st.floats(0, 1, allow_nan=False)), max_size=2).map(
        tuple
    ),
    secondary_metrics=st.lists(texts, max_size=2).map(tuple),
    method=texts,
    alpha=st.floats(0, 1),
    power=st.floats(0, 1),
    minimum_effect=st.floats(0, 1),
    planned_days=st.none() | st.integers(0, 100),
    looks=st.integers(0, 10),
    minimum_days=st.integers(0, 10),
    correction=texts,
    covariate_days=st.integers(0, 10),
    on_verdict=texts,
)
phases = st.builds(
    Phase,
    id=st.integers(1, 10**6),
    number=st.integers(1, 100),
    salt=texts,
    started_at=moments,
    weights=st.dictionaries(texts, st.integers(0, 100), max_size=3),
    ended_at=st.none() | moments,
)
variants = st.builds(
    Variant,
    key=texts,
    weight=st.integers(-5, 2**31),
    values=st.dictionaries(texts, json_values, max_size=2),
    is_control=st.booleans(),
)
experiments = st.builds(
    Experiment,
    key=keys,
    layer=keys,
    name=texts,
    hypothesis=texts,
    variants=st.lists(variants, max_size=3).map(tuple),
    plan=plans,
    ranges=bucket_ranges(),
    rule=json_values,
    forced=st.dictionaries(texts, texts, max_size=2),
    status=st.sampled_from(Status),
    phases=st.lists(phases, max_size=2).map(tuple),
    owner=texts,
)
