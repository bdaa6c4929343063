"""What a look inside a model answers, as models."""

from collections.abc import Mapping
from typing import Final, Literal

from pydantic import BaseModel


class NamedItem(BaseModel):
    """An item with its name; both are null where the catalogue does not know them."""

    item: str
    title: str | None
    category: str | None


class ItemBias(NamedItem):
    """An item's bias, a logit."""

    bias: float


class UserBias(BaseModel):
    """A user's bias, a logit."""

    user: str
    bias: float


class BiasesAnswer(BaseModel):
    """How biases spread: a histogram of equal bins, whose edges are one more than its counts."""

    count: int
    mean: float | None
    deviation: float | None
    quantiles: dict[str, float]
    edges: list[float]
    counts: list[int]


class ItemBiasesAnswer(BiasesAnswer):
    """The biases of the items, and the items at both ends, outermost first."""

    top: list[ItemBias]
    bottom: list[ItemBias]


class UserBiasesAnswer(BiasesAnswer):
    """The biases of the users, and the users at both ends, outermost first."""

    top: list[UserBias]
    bottom: list[UserBias]


class BothBiasesAnswer(BaseModel):
    """The biases of both sides."""

    items: ItemBiasesAnswer
    users: UserBiasesAnswer


class TypicalItem(NamedItem):
    """An item and its distance from the centre of its cluster."""

    distance: float


class CategoryShare(BaseModel):
    """The share of a category among those items of a cluster that are on the map and have one."""

    category: str
    share: float


class ClusterAnswer(BaseModel):
    """A cluster of items, the largest is 1."""

    cluster: int
    size: int
    share: float
    typical: list[TypicalItem]
    categories: list[CategoryShare]


class MapPointAnswer(NamedItem):
    """An item on the map."""

    cluster: int
    x: float
    y: float


class MapAnswer(BaseModel):
    """Items on the two principal axes of their vectors; `placed` items have a vector, `points` may be a sample."""

    method: Literal["pca"]
    explained: list[float]
    placed: int
    seed: int
    points: list[MapPointAnswer]


class EpochAnswer(BaseModel):
    """The mean losses of an epoch; 0 is before any training."""

    epoch: int
    training: float | None
    validation: float


class CurveAnswer(BaseModel):
    """The learning curve; the weights of `best_epoch` are those that serve."""

    best_epoch: int
    epochs: list[EpochAnswer]


class InsightAnswer(BaseModel):
    """What a model version looks like inside; `undefined` says why a part is empty."""

    reference: str
    kind: str
    created_at: str
    items: int
    users: int
    space: Literal["item_vectors", "first_layer"] | None
    length: int
    biases: BothBiasesAnswer
    clusters: list[ClusterAnswer]
    map: MapAnswer
    curve: CurveAnswer | None
    undefined: dict[str, str]


class NearItem(NamedItem):
    """An item and the cosine of its vector with that of the item asked for, -1..1."""

    similarity: float


class NearestAnswer(NamedItem):
    """The items nearest to one, best first; `undefined` says why there is none."""

    reference: str
    nearest: list[NearItem]
    undefined: str | None


INSIGHT_ANSWERS: Final[Mapping[str, type[BaseModel]]] = {
    "insight.show_insight": InsightAnswer,
    "insight.show_nearest": NearestAnswer,
}
