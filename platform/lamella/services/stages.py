"""What the layers' parameters ask of the recommender's stages, how two orders are blended, who stands in for whom."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lamella.experiments.model import Json
from lamella.services.model_ports import Composition, ModelVersion, Recall, Scored
from lamella.services.stage_values import DEFAULTS, FILTER, UNREAD, number, parameter_fault
from lamella.services.staging import STAND_INS, Stage

FALLBACK_KIND: Final = "popularity"

_ABSENT: Final[Any] = object()
_ALL_ABSENT: Final = (_ABSENT,) * len(DEFAULTS)
_MOST_READ: Final = 1_000
_LIGHT_COUNT: Final = 1_000
_LIGHT_CHOICES: Final = 20_000
"""Places of the slate times candidates: re-ranking looks at each pair, some 35 ns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """What one request asks of the stages; `unusable` names the parameters whose value was replaced by its default.

    `recall` leaves nothing out yet; its `rule` is over an item's attributes and `item`, its key, and an empty one is
    read as None, which lets every item in. `is_unread` leaves out what the unit has read or clicked. `recall_model` is
    empty where no parameter names one, `rank_model` where nothing ranks: the order of recall then stands.
    `composition` has no moment and no seed yet, and is None where the slate is the head of that order. `is_light`:
    there is little to rank and to re-rank, and neither a rule nor freshness looks at what the catalogue says of the
    items.
    """

    recall_model: str
    recall: Recall
    is_unread: bool
    rank_model: str
    rank_weight: float
    composition: Composition | None
    slate_size: int
    is_light: bool = True
    unusable: tuple[str, ...] = ()


def read_stages(parameters: Mapping[str, Json], *, k: int | None) -> Stages:
    """The stages that `parameters` ask for.

    The slate has `slate.size` items, at most `k` where the caller gave one; where no layer owns `slate.size`, it has
    `k`.
    """
    unusable = tuple(key for key in DEFAULTS if key in parameters and parameter_fault(key, parameters[key]))
    usable = {key: parameters[key] for key in DEFAULTS if key in parameters and key not in unusable}
    chosen = {**DEFAULTS, **usable}
    size = int(number(chosen["slate.size"]))
    if k is not None:
        size = min(k, size) if "slate.size" in usable else k
    rule = None if chosen[FILTER] == {} else chosen[FILTER]
    ranks = bool(chosen["rank.model"]) and chosen["rank.weight"] != 0
    composition = Composition(
        count=size,
        diversity=number(chosen["rerank.diversity"]),
        freshness=number(chosen["rerank.freshness"]),
        half_life_hours=number(chosen["rerank.half_life_hours"]),
        epsilon=number(chosen["explore.epsilon"]),
        temperature=number(chosen["explore.temperature"]),
    )
    count = max(int(number(chosen["recall.count"])), size)
    is_light_composition = composition.freshness == 0 and size * count <= _LIGHT_CHOICES
    return Stages(
        recall_model=str(chosen["recall.model"]),
        recall=Recall(
            count=count,
            rule=rule,
            damping=number(chosen["recall.damping"]),
        ),
        is_unread=chosen[UNREAD] is True,
        rank_model=str(chosen["rank.model"]) if ranks else "",
        rank_weight=number(chosen["rank.weight"]),
        composition=None if composition.is_head else composition,
        slate_size=size,
        is_light=rule is None and count <= _LIGHT_COUNT and (composition.is_head or is_light_composition),
        unusable=unusable,
    )


class StageReader:
    """Reads stages, each combination of values once.

    Values that are the same objects as before are the same question: a snapshot gives all units of a variant the same
    ones. Safe from any thread.
    """

    def __init__(self) -> None:
        # With the stages stay the values, so that no other object can take the place of one of them.
        self._known: dict[tuple[int | None, ...], tuple[tuple[object, ...], Stages]] = {}

    def read(self, parameters: Mapping[str, Json], *, k: int | None) -> Stages:
        """What `read_stages` makes of them."""
        values = tuple(map(parameters.get, DEFAULTS, _ALL_ABSENT))
        named = (k, *map(id, values))
        known = self._known.get(named)
        if known is not None:
            return known[1]
        stages = read_stages(parameters, k=k)
        if len(self._known) >= _MOST_READ:
            self._known.clear()
        self._known[named] = values, stages
        return stages


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


def usual_model(versions: Sequence[ModelVersion]) -> str:
    """The name that recalls where no parameter names a model.

    The live `popularity`, else the newest live version of that kind, else of any; `popularity` where nothing is live.
    `versions` come newest first.
    """
    live = [each for each in versions if each.stage == Stage.LIVE]
    live.sort(key=lambda each: (each.name != FALLBACK_KIND, each.kind != FALLBACK_KIND))
    return live[0].name if live else FALLBACK_KIND


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


def _standardised(scores: Sequence[float]) -> list[float]:
    logits = [_logit(score) for score in scores]
    mean = math.fsum(logits) / max(len(logits), 1)
    deviation = math.sqrt(math.fsum((each - mean) ** 2 for each in logits) / max(len(logits), 1))
    return [(each - mean) / deviation if deviation > 0 else 0.0 for each in logits]


def _logit(share: float) -> float:
    bounded = min(max(share, 1e-9), 1 - 1e-9)
    return math.log(bounded / (1 - bounded))
