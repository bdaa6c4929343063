"""What the newsroom configures: three layers, their parameters, and one experiment in each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

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
    Variant,
)
from lamella.simulation.truth import Arms

RECALL: Final = "recall-mf"
RANKING: Final = "rank-textcnn"
NOTHING: Final = "layout-aa"
CONTROL: Final = "control"
TREATMENT: Final = "treatment"
CANDIDATES: Final = 80

LOOKS: Final = 5
MINIMUM_DAYS: Final = 7
MINIMUM_EFFECT: Final = 0.05
# Relative margins. Reading time is so unequal between readers that a narrower one could not be shown to be kept.
_GUARDRAILS: Final = (
    Guardrail(metric="reading_depth", margin=0.05),
    Guardrail(metric="read_time_per_user", margin=0.20),
)
_SECONDARY: Final = (
    "clicking_users",
    "articles_per_user",
    "articles_per_clicking_user",
    "dwell_per_read",
    "interaction_rate",
)

_STORIES: Final = {
    RECALL: (
        "recall",
        "Personal candidates",
        "Candidates from a matrix factorisation of each reader's clicks beat the most popular headlines in click rate",
    ),
    RANKING: (
        "ranking",
        "Ranking by what a headline says",
        "Candidates ordered by a network over headline words and the reader's taste get more clicks than by popularity",
    ),
    NOTHING: (
        "presentation",
        "The same page twice (A/A)",
        "Both arms get the same layout: whatever differs between them is chance.",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """The references of the three published models, such as `mf@1`."""

    popularity: str
    mf: str
    textcnn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plans:
    """The layers, parameters and draft experiments, in the order in which they are created."""

    layers: tuple[Layer, ...]
    parameters: tuple[Parameter, ...]
    experiments: tuple[Experiment, ...]

    @property
    def defaults(self) -> Mapping[str, Json]:
        """What each parameter is without an experiment."""
        return {parameter.key: parameter.default for parameter in self.parameters}

    @property
    def arms(self) -> Mapping[str, Arms]:
        """The parameter values of each experiment's variants."""
        return {each.key: _arms(each.variants) for each in self.experiments}


def make_plans(models: Models, *, days: int, past_days: int, rank_weight: float | None = 1.0) -> Plans:
    """The plans for `days` days of traffic after `past_days` days of past, which serve as covariate.

    `rank_weight`, -1..1, is how much the ranking layer's treatment follows its model rather than the order of recall;
    its control follows popularity alone. None gives that treatment the same parameters as its control.
    """
    plan = AnalysisPlan(
        primary_metric="ctr",
        guardrails=_GUARDRAILS,
        secondary_metrics=_SECONDARY,
        method="group_sequential",
        minimum_effect=MINIMUM_EFFECT,
        planned_days=days,
        looks=LOOKS,
        minimum_days=min(MINIMUM_DAYS, days),
        covariate_days=past_days,
    )
    return Plans(layers=_layers(), parameters=_parameters(models), experiments=_experiments(models, plan, rank_weight))


def configuration_of(plans: Plans, values: Mapping[str, Json]) -> Configuration:
    """A configuration without experiments that gives everybody `values`, and elsewhere the defaults."""
    parameters = [replace(each, default=values.get(each.key, each.default)) for each in plans.parameters]
    return Configuration(version=1, layers=plans.layers, parameters=tuple(parameters))


def _layers() -> tuple[Layer, ...]:
    return (
        Layer(key="recall", salt="newsroom-recall", description="Which headlines are candidates for a page"),
        Layer(key="ranking", salt="newsroom-ranking", description="In which order the candidates come"),
        Layer(key="presentation", salt="newsroom-presentation", description="How a page looks"),
    )


def _parameters(models: Models) -> tuple[Parameter, ...]:
    text, number, integer = ParameterType.STRING, ParameterType.FLOAT, ParameterType.INTEGER
    rows: Sequence[tuple[str, ParameterType, Json, str, str]] = (
        ("recall.model", text, models.popularity, "recall", "The model that proposes candidates"),
        ("recall.count", integer, CANDIDATES, "recall", "How many candidates it proposes"),
        ("rank.model", text, models.popularity, "ranking", "The model that orders the candidates"),
        ("rank.weight", number, 1.0, "ranking", "0: the order of recall; 1: that of the ranking model"),
        ("slate.size", integer, 10, "presentation", "Headlines on a page"),
        ("slate.layout", text, "list", "presentation", "How the page is laid out"),
    )
    return tuple(
        Parameter(key=key, type=kind, default=default, layer=layer, description=description)
        for key, kind, default, layer, description in rows
    )


def _experiments(models: Models, plan: AnalysisPlan, rank_weight: float | None) -> tuple[Experiment, ...]:
    recall = _experiment(
        RECALL, Arms(control={"recall.model": models.popularity}, treatment={"recall.model": models.mf}), plan
    )
    by_popularity: dict[str, Json] = {"rank.model": models.popularity, "rank.weight": 1.0}
    by_words: dict[str, Json] = {"rank.model": models.textcnn, "rank.weight": rank_weight}
    ranking = _experiment(
        RANKING,
        Arms(control=by_popularity, treatment=by_popularity if rank_weight is None else by_words),
        plan,
    )
    nothing = _experiment(NOTHING, Arms(control={"slate.layout": "list"}, treatment={"slate.layout": "list"}), plan)
    return recall, ranking, nothing


def _experiment(key: str, arms: Arms, plan: AnalysisPlan) -> Experiment:
    layer, name, hypothesis = _STORIES[key]
    return Experiment(
        key=key,
        layer=layer,
        name=name,
        hypothesis=hypothesis,
        owner="newsroom",
        variants=(
            Variant(key=CONTROL, weight=1, values=arms.control, is_control=True),
            Variant(key=TREATMENT, weight=1, values=arms.treatment),
        ),
        plan=plan,
        ranges=(BucketRange(start=0, stop=BUCKETS),),
        # A newsroom of any size is shown; what too few readers cannot find, its reports say.
        accept_underpowered=True,
    )


def _arms(variants: Sequence[Variant]) -> Arms:
    control, treatment = variants
    return Arms(control=control.values, treatment=treatment.values)
