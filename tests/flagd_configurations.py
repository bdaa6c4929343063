"""A configuration with everything that the flagd export must say: domains, layers, rules, holdouts, forced variants."""

from dataclasses import replace
from typing import Final

from configurations import AT, draft
from lamella.experiments.model import (
    BucketRange,
    Configuration,
    Domain,
    Experiment,
    Holdout,
    Json,
    Layer,
    Parameter,
    ParameterType,
    Phase,
    Prerequisite,
    Status,
    UnitKind,
)

TYPES: Final = ParameterType
PARAMETERS: Final = (
    Parameter(key="recall.model", type=TYPES.STRING, default="popularity", layer="recall"),
    Parameter(key="rank.model", type=TYPES.STRING, default="mf", layer="ranking"),
    Parameter(key="rank.weight", type=TYPES.FLOAT, default=1.0, layer="ranking"),
    Parameter(key="slate.size", type=TYPES.INTEGER, default=10, layer="slates"),
    Parameter(key="slate.dense", type=TYPES.BOOLEAN, default=False, layer="slates"),
    Parameter(key="push.plan", type=TYPES.OBJECT, default={"hours": [8]}, layer="push"),
)
LAYERS: Final = (
    Layer(key="recall", salt="recall"),
    Layer(key="ranking", salt="ranking-é"),
    Layer(key="slates", salt="slates", domain="homepage"),
    Layer(key="inner", salt="inner", domain="corner"),
    Layer(key="alone", salt="alone", domain="apart"),
    Layer(key="push", salt="push", unit=UnitKind.DEVICE),
    Layer(key="launch", salt="launch", is_launch=True),
)
DOMAINS: Final = (
    Domain(key="apart", ranges=(BucketRange(start=9000, stop=10_000),), is_overlapping=False),
    Domain(key="homepage", ranges=(BucketRange(start=0, stop=6000),)),
    Domain(key="corner", ranges=(BucketRange(start=7000, stop=9000),), layer="ranking", is_overlapping=False),
)
HOLDOUTS: Final = (
    Holdout(key="global", salt="holdout:global", ranges=(BucketRange(start=0, stop=500),)),
    Holdout(key="home", salt="holdout:home", ranges=(BucketRange(start=100, stop=1500),), domain="homepage"),
)
CONTEXTS: Final[tuple[dict[str, Json], ...]] = (
    {},
    {"country": "CN"},
    {"country": "DE", "age": 20, "deviceKey": "phone-1"},
    {"country": "SG", "age": 40, "app": {"version": "2.3.1"}, "deviceKey": "设备-7"},
    {"age": 29.5, "premium": True, "deviceKey": "tablet-9", "tags": ["a"]},
    {"country": None, "tags": []},
)


def live(number: int, experiment: Experiment, *, status: Status = Status.RUNNING) -> Experiment:
    """The experiment in its first phase, running."""
    weights = {one.key: one.weight for one in experiment.variants}
    phase = Phase(id=number, number=1, salt=f"{experiment.key}:{number}", started_at=AT, weights=weights)
    return replace(experiment, status=status, phases=(phase,))


def everything() -> Configuration:
    """Every kind of thing at once; compiles, and each of its experiments reaches somebody."""
    drafts = (
        draft("models", layer="recall", ranges=[(0, 6000)], values={"treatment": {"recall.model": "towers"}}),
        draft(
            "fresh",
            layer="recall",
            ranges=[(6000, 9000)],
            values={"treatment": {"recall.model": "fresh"}},
            rule={"!=": [{"var": "country"}, "CN"]},
            forced={"editor-1": "treatment", "编辑-2": "control"},
        ),
        draft(
            "ranker",
            ranges=[(0, 3000), (3500, 4000)],
            weights={"control": 3, "cnn": 2, "gru": 1, "off": 0},
            values={"cnn": {"rank.model": "cnn", "rank.weight": 0.5}, "gru": {"rank.model": "gru"}},
            rule={"or": [{"<": [{"var": "age"}, 30]}, {"==": [{"var": ["premium", False]}, True]}]},
            forced={"editor-1": "off"},
        ),
        draft("sizes", layer="slates", ranges=[(0, 8000)], values={"treatment": {"slate.size": 20}}),
        draft(
            "dense",
            layer="slates",
            ranges=[(8000, 10_000)],
            values={"treatment": {"slate.dense": True, "slate.size": 15}},
        ),
        draft("nested", layer="inner", ranges=[(0, 10_000)], values={"treatment": {"rank.model": "nested"}}),
        draft(
            "apart",
            layer="alone",
            ranges=[(0, 9000)],
            values={"control": {"recall.model": "alone"}, "treatment": {"recall.model": "alone-b", "slate.size": 5}},
        ),
        draft(
            "pushes",
            layer="push",
            ranges=[(0, 10_000)],
            values={"treatment": {"push.plan": {"hours": [8, 20]}}},
            rule={
                "or": [{"ends_with": [{"var": "targetingKey"}, "7"]}, {"sem_ver": [{"var": "app.version"}, "^", "2"]}]
            },
        ),
        draft("launched", layer="launch", ranges=[(0, 2000)], values={"treatment": {"rank.weight": 0.25}}),
    )
    experiments = tuple(live(number, one) for number, one in enumerate(drafts, 1))
    bound = draft("bound", ranges=[(4000, 6500)], values={"treatment": {"rank.weight": 2.0}})
    bound = replace(bound, requires=(Prerequisite(experiment="models", variants=("treatment",)),))
    paused = draft("paused", ranges=[(6500, 7000)], values={"treatment": {"rank.model": "paused"}})
    return Configuration(
        version=7,
        layers=LAYERS,
        parameters=PARAMETERS,
        experiments=(*experiments, live(20, bound), live(21, paused, status=Status.PAUSED)),
        domains=DOMAINS,
        holdouts=HOLDOUTS,
    )
