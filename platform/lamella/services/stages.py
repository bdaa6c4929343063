"""What the layers' parameters ask of the recommender's stages, how two orders are blended, who stands in for whom."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lamella.errors import InvalidRule
from lamella.experiments.model import Json
from lamella.experiments.targeting import compile_rule
from lamella.services.model_ports import ModelVersion, Scored
from lamella.services.staging import STAND_INS, Stage

FALLBACK_KIND: Final = "popularity"

DEFAULTS: Final[Mapping[str, Json]] = {
    "recall.model": "popularity",
    "recall.count": 300,
    "recall.damping": 0.0,
    "recall.filter": None,
    "recall.unread": False,
    "rank.model": "",
    "rank.weight": 1.0,
    "rerank.diversity": 0.0,
    "rerank.freshness": 0.0,
    "rerank.half_life_hours": 24.0,
    "explore.epsilon": 0.0,
    "explore.temperature": 0.0,
    "slate.size": 10,
}
"""Each parameter that the stages read, with the value that holds where no layer owns it or its value is unusable."""

_RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "recall.count": (1, 10_000),
    "recall.damping": (0, 10),
    "rank.weight": (-1, 1),
    "rerank.diversity": (0, 1),
    "rerank.freshness": (0, 100),
    "rerank.half_life_hours": (0.01, 1_000_000),
    "explore.epsilon": (0, 1),
    "explore.temperature": (0, 100),
    "slate.size": (1, 100),
}
_INTEGERS: Final = frozenset(("recall.count", "slate.size"))
_FILTER: Final = "recall.filter"
_UNREAD: Final = "recall.unread"
_ABSENT: Final = object()
_MOST_READ: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """What one request asks of the stages; `unusable` names the parameters whose value was replaced by its default.

    `rank_model` is empty where nothing ranks: the order of recall then stands. `rule` is JsonLogic over an item's
    attributes and `item`, its key; None lets every item in. `is_unread` leaves out what the unit has read or clicked.
    """

    recall_model: str
    recall_count: int
    damping: float
    rule: Json
    is_unread: bool
    rank_model: str
    rank_weight: float
    diversity: float
    freshness: float
    half_life_hours: float
    epsilon: float
    temperature: float
    slate_size: int
    unusable: tuple[str, ...] = ()


def read_stages(parameters: Mapping[str, Json], *, k: int | None) -> Stages:
    """The stages that `parameters` ask for.

    The slate has `slate.size` items, at most `k` where the caller gave one; where no layer owns `slate.size`, it has
    `k`.
    """
    unusable = tuple(key for key in DEFAULTS if key in parameters and parameter_fault(key, parameters[key]))
    usable = {key: parameters[key] for key in DEFAULTS if key in parameters and key not in unusable}
    chosen = {**DEFAULTS, **usable}
    size = int(_number(chosen["slate.size"]))
    if k is not None:
        size = min(k, size) if "slate.size" in usable else k
    ranks = bool(chosen["rank.model"]) and chosen["rank.weight"] != 0
    return Stages(
        recall_model=str(chosen["recall.model"]),
        recall_count=max(int(_number(chosen["recall.count"])), size),
        damping=_number(chosen["recall.damping"]),
        rule=chosen[_FILTER],
        is_unread=chosen[_UNREAD] is True,
        rank_model=str(chosen["rank.model"]) if ranks else "",
        rank_weight=_number(chosen["rank.weight"]),
        diversity=_number(chosen["rerank.diversity"]),
        freshness=_number(chosen["rerank.freshness"]),
        half_life_hours=_number(chosen["rerank.half_life_hours"]),
        epsilon=_number(chosen["explore.epsilon"]),
        temperature=_number(chosen["explore.temperature"]),
        slate_size=size,
        unusable=unusable,
    )


class StageReader:
    """Reads stages, each combination of values once.

    Values that are the same objects as before are the same question: a snapshot gives all units of a variant the same
    ones. Safe from any thread.
    """

    def __init__(self) -> None:
        # With the stages stay the values, so that no other object can take the place of one of them.
        self._known: dict[tuple[int | None, ...], tuple[list[object], Stages]] = {}

    def read(self, parameters: Mapping[str, Json], *, k: int | None) -> Stages:
        """What `read_stages` makes of them."""
        values = [parameters.get(key, _ABSENT) for key in DEFAULTS]
        named = (k, *map(id, values))
        known = self._known.get(named)
        if known is not None:
            return known[1]
        stages = read_stages(parameters, k=k)
        if len(self._known) >= _MOST_READ:
            self._known.clear()
        self._known[named] = values, stages
        return stages


def parameter_fault(key: str, value: Json) -> str | None:
    """A sentence that says why `value` cannot be that parameter of the stages; None where it can, or key is no such.

    >>> parameter_fault("rank.weight", 5)
    'rank.weight=5 is not a number from -1 to 1'
    """
    if key in _RANGES:
        low, high = _RANGES[key]
        kinds: tuple[type, ...] = (int,) if key in _INTEGERS else (int, float)
        if isinstance(value, kinds) and not isinstance(value, bool) and low <= _number(value) <= high:
            return None
        return f"{key}={value!r} is not {'an integer' if key in _INTEGERS else 'a number'} from {low:g} to {high:g}"
    if key == _UNREAD:
        return None if isinstance(value, bool) else f"{key}={value!r} is neither true nor false"
    if key == _FILTER:
        return _rule_fault(value)
    if key in DEFAULTS and not (isinstance(value, str) and (value or key == "rank.model")):
        return f"{key}={value!r} is not the name of a model, such as 'mf' or 'mf@3'"
    return None


def blend(recalled: Scored, ranked: Scored, weight: float) -> Scored:
    """The candidates ordered by (1 - |weight|) · z(recall) + weight · z(rank), best first; `weight` is -1..1.

    z is the logit of a score less the candidates' mean logit, over their standard deviation (0 where they are all
    equal). 1 is the order of the ranker, 0 that of recall, -1 the ranker's reversed. At 1 the ranker's own scores
    stay; else a score is the sigmoid of the blend. Equal blends stay in the order of recall.
    """
    if weight == 1:
        return ranked
    first = dict(zip(recalled.items, _standardised(recalled.scores), strict=True))
    second = dict(zip(ranked.items, _standardised(ranked.scores), strict=True))
    blended = {item: (1 - abs(weight)) * z + weight * second[item] for item, z in first.items()}
    order = sorted(blended, key=lambda item: -blended[item])
    return Scored(items=order, scores=[1 / (1 + math.exp(-blended[item])) for item in order], source=ranked.source)


def stand_ins(wanted: str, versions: Sequence[ModelVersion]) -> list[str]:
    """Who answers, in this order, where `wanted` does not: references, without `wanted` itself.

    The live or else the newest other version of the same name, the newest version of the kind popularity, the newest
    version of any other name; only versions that are live or were. `versions` come newest first.
    """
    versions = [each for each in versions if each.stage in STAND_INS]
    name = wanted.partition("@")[0]
    same = [each for each in versions if each.name == name]
    same.sort(key=lambda each: (each.stage != Stage.LIVE, -each.number))
    itself = wanted if "@" in wanted else (same[0].reference if same else wanted)
    groups = (
        [each.reference for each in same],
        [each.reference for each in versions if each.kind == FALLBACK_KIND],
        [each.reference for each in versions if each.name != name],
    )
    chosen: list[str] = []
    for group in groups:
        chosen += [reference for reference in group if reference != itself and reference not in chosen][:1]
    return chosen


def _rule_fault(rule: Json) -> str | None:
    try:
        compile_rule(rule)
    except InvalidRule as error:
        return f"{_FILTER}: {error}"
    return None


def _standardised(scores: Sequence[float]) -> list[float]:
    logits = [_logit(score) for score in scores]
    mean = math.fsum(logits) / max(len(logits), 1)
    deviation = math.sqrt(math.fsum((each - mean) ** 2 for each in logits) / max(len(logits), 1))
    return [(each - mean) / deviation if deviation > 0 else 0.0 for each in logits]


def _logit(share: float) -> float:
    bounded = min(max(share, 1e-9), 1 - 1e-9)
    return math.log(bounded / (1 - bounded))


def _number(value: Json) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan
