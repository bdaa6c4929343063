"""Configurations for tests: a newsroom with two layers, made through the life cycle, and strategies for any other."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from hypothesis import strategies as st

from lamella.experiments import lifecycle, traffic
from lamella.experiments.model import (
    BUCKETS,
    AnalysisPlan,
    BucketRange,
    Configuration,
    Domain,
    Eligibility,
    Experiment,
    Guardrail,
    Holdout,
    Json,
    Layer,
    Parameter,
    ParameterType,
    Phase,
    Prerequisite,
    Ramp,
    RampStep,
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


EXCLUSIVE: Final = {"solo": "alone", "corner": "inside"}
"""The domains of `spaces` that are not overlapping, with their only layer."""


def spaces() -> Configuration:
    """The newsroom with domains of each kind, layers in them, other units and a launch layer; nothing runs."""
    now = newsroom()
    for domain in (
        Domain(key="solo", ranges=_ranges((0, 1_000)), is_overlapping=False),
        Domain(key="half", ranges=_ranges((1_000, 5_000), (9_000, 9_500))),
        Domain(key="corner", ranges=_ranges((8_000, 9_000)), layer="ranking", is_overlapping=False),
        Domain(key="shelf", ranges=_ranges((9_000, 10_000)), layer="ranking"),
    ):
        now = traffic.add_domain(now, domain)
    for layer in (
        Layer(key="alone", salt="alone", domain="solo"),
        Layer(key="home", salt="home", domain="half"),
        Layer(key="inside", salt="inside", domain="corner"),
        Layer(key="shelved", salt="shelved", domain="shelf"),
        Layer(key="device", salt="device", unit=UnitKind.DEVICE),
        Layer(key="launch", salt="launch", is_launch=True),
    ):
        now = lifecycle.add_layer(now, layer)
    for key, layer in (("home.size", "home"), ("shelf.size", "shelved"), ("push.size", "device")):
        now = lifecycle.add_parameter(now, Parameter(key=key, type=ParameterType.STRING, default="-", layer=layer))
    return now


SPACED: Final = {
    "recall": "recall.model",
    "ranking": "rank.model",
    "alone": "rank.model",
    "home": "home.size",
    "inside": "rank.model",
    "shelved": "shelf.size",
    "device": "push.size",
    "launch": "rank.model",
}
"""The layers of `spaces`, with a parameter that each may set."""


@st.composite
def spaced_configurations(draw: st.DrawFn) -> Configuration:
    """What may run in `spaces`: rules, prerequisites, allow-lists, both policies, holdouts."""
    now = replace(spaces(), version=draw(st.integers(1, 10**6)))
    ran: list[str] = []
    for layer, parameter in SPACED.items():
        if draw(st.integers(0, 4)) == 0:
            continue
        required = draw(st.sampled_from(ran)) if ran and layer != "launch" and draw(st.booleans()) else None
        one = draft(
            f"{layer}-x",
            layer=layer,
            ranges=draw(st.sampled_from([((0, 8_000),), ((0, 3_000), (5_000, 8_000)), ((0, 1),)]))
            if layer == "ranking"
            else draw(st.sampled_from([((0, BUCKETS),), ((100, 6_000),), ((0, 10), (5_000, BUCKETS))])),
            weights={"control": draw(st.integers(1, 5)), "b": draw(st.integers(0, 5)), "c": draw(st.integers(1, 2))},
            values={"b": {parameter: f"{layer}-b"}, "c": {parameter: f"{layer}-c"}},
            rule=draw(st.sampled_from(RULES)),
            forced={f"{layer}-friend": "b"} if draw(st.booleans()) else {},
        )
        needs = () if required is None else (Prerequisite(experiment=required, variants=("control", "b")),)
        policy = draw(st.sampled_from(Eligibility))
        now = running(now, replace(one, requires=needs, eligibility=policy))
        if draw(st.integers(0, 5)) == 0:
            now = lifecycle.pause(now, one.key)
        ran.append(one.key)
    for key, domain in (("global", None), ("home", "half"), ("corner", "corner")):
        if draw(st.booleans()):
            unit = draw(st.sampled_from([UnitKind.USER, UnitKind.DEVICE]))
            holdout = Holdout(key=key, salt=f"out:{key}", ranges=_ranges((0, 700)), domain=domain, unit=unit)
            now = traffic.add_holdout(now, holdout)
    return lifecycle.kill(now) if draw(st.integers(0, 19)) == 0 else now


def _ranges(*pairs: tuple[int, int]) -> tuple[BucketRange, ...]:
    return tuple(BucketRange(start=start, stop=stop) for start, stop in pairs)


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


layers = st.builds(
    Layer,
    key=keys,
    salt=texts,
    unit=st.sampled_from(UnitKind),
    description=texts,
    domain=st.none() | keys,
    is_launch=st.booleans(),
)
parameters = st.builds(
    Parameter,
    key=keys,
    type=st.sampled_from(ParameterType),
    default=json_values,
    layer=keys,
    description=texts,
)
domains = st.builds(
    Domain,
    key=keys,
    ranges=bucket_ranges(),
    layer=st.none() | keys,
    is_overlapping=st.booleans(),
    unit=st.sampled_from(UnitKind),
    description=texts,
)
holdouts = st.builds(
    Holdout,
    key=keys,
    salt=texts,
    ranges=bucket_ranges(),
    domain=st.none() | keys,
    unit=st.sampled_from(UnitKind),
    starts_at=st.none() | moments,
    ends_at=st.none() | moments,
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
    requires=st.lists(
        st.builds(Prerequisite, experiment=keys, variants=st.lists(keys, max_size=2).map(tuple)), max_size=2
    ).map(tuple),
    eligibility=st.sampled_from(Eligibility),
    ramp=st.none()
    | st.builds(
        Ramp,
        steps=st.lists(st.builds(RampStep, share=st.floats(0, 1), hold_hours=st.floats(0, 99)), max_size=3).map(tuple),
        is_gated=st.booleans(),
    ),
    starts_at=st.none() | moments,
    ends_at=st.none() | moments,
    ramped_at=st.none() | moments,
    start_faults=st.lists(texts, max_size=2).map(tuple),
)
