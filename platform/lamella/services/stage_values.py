"""The values that the recommender's stages can use: which parameters they read, their defaults and bounds."""

import math
from collections.abc import Mapping
from typing import Final

from lamella.errors import InvalidRule
from lamella.experiments.model import Configuration, Json
from lamella.experiments.targeting import compile_rule
from lamella.services.model_ports import MODEL_REFERENCE

DEFAULTS: Final[Mapping[str, Json]] = {
    "recall.model": "",
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
"""Each parameter that the stages read, with the value that holds where no layer owns it or its value is unusable.

An empty `recall.model` means the usual model. It cannot be saved as a value: another training would then change what a
running experiment compares.
"""

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
_MODELS: Final = frozenset(("recall.model", "rank.model"))
FILTER: Final = "recall.filter"
UNREAD: Final = "recall.unread"


def parameter_fault(key: str, value: Json) -> str | None:
    """A sentence that says why `value` cannot be that parameter of the stages; None where it can, or key is no such.

    >>> parameter_fault("rank.weight", 5)
    'rank.weight=5 is not a number from -1 to 1'
    """
    if key in _RANGES:
        low, high = _RANGES[key]
        kinds: tuple[type, ...] = (int,) if key in _INTEGERS else (int, float)
        if isinstance(value, kinds) and not isinstance(value, bool) and low <= number(value) <= high:
            return None
        return f"{key}={value!r} is not {'an integer' if key in _INTEGERS else 'a number'} from {low:g} to {high:g}"
    if key == UNREAD:
        return None if isinstance(value, bool) else f"{key}={value!r} is neither true nor false"
    if key == FILTER:
        return _rule_fault(value)
    if key in _MODELS and not _is_model(value) and not (key == "rank.model" and value == ""):
        return f"{key}={value!r} is not the name of a model, such as 'mf' or 'mf@3'"
    return None


def unusable_values(configuration: Configuration) -> list[str]:
    """Which values of parameters and variants the stages could not use, a sentence for each."""
    faults = [parameter_fault(each.key, each.default) for each in configuration.parameters]
    for experiment in configuration.experiments:
        for variant in experiment.variants:
            named = [parameter_fault(key, value) for key, value in variant.values.items()]
            faults += [f"experiment {experiment.key!r}, variant {variant.key!r}: {fault}" for fault in named if fault]
    return [fault for fault in faults if fault]


def number(value: Json) -> float:
    """The value as a float; NaN for what is no number, or none that a float can hold."""
    try:
        return float(value) if isinstance(value, (int, float)) else math.nan
    except OverflowError:
        return math.nan


def _is_model(value: Json) -> bool:
    return isinstance(value, str) and MODEL_REFERENCE.fullmatch(value) is not None


def _rule_fault(rule: Json) -> str | None:
    if rule == {}:
        return None
    try:
        compile_rule(rule)
    except InvalidRule as error:
        return f"{FILTER}: {error}"
    return None
