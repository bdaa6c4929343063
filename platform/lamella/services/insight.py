"""Looking inside a published model: biases, clusters and a map of its items, neighbours, the course of its training."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from lamella.errors import InvalidInput, NotFound
from lamella.services.model_ports import Catalogue, Item, ModelCatalogue, ModelVersion

MOST_CLUSTERS: Final = 8
MOST_POINTS: Final = 2_000
MOST_NEIGHBOURS: Final = 100

CATEGORIES: Final = ("category", "topic", "genres", "genre", "section")
"""The attributes of an item that may say its category; the first that is there does."""

_MOST_SHOWN_CATEGORIES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How to look: `clusters` 2..8, `points` on the map 10..2000, `ends` of each list 1..50, and the seed."""

    clusters: int = 6
    points: int = 500
    ends: int = 10
    seed: int = 0

    def check(self) -> None:
        """Nothing. Raises InvalidInput that lists what is out of bounds."""
        bounds = {"clusters": (2, MOST_CLUSTERS), "points": (10, MOST_POINTS), "ends": (1, 50), "seed": (0, 2**31 - 1)}
        faults = [
            f"{name}={getattr(self, name)} is not from {low} to {high}"
            for name, (low, high) in bounds.items()
            if not low <= getattr(self, name) <= high
        ]
        if faults:
            raise InvalidInput(*faults)


@dataclass(frozen=True, slots=True, kw_only=True)
class Biases:
    """The biases of `count` users or items, logits: their histogram, and the keys at both ends, outermost first.

    `edges` is one longer than `counts`. `mean`, `deviation` and `quantiles` are None and empty where there is none.
    """

    count: int
    mean: float | None
    deviation: float | None
    quantiles: Mapping[str, float]
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    top: tuple[tuple[str, float], ...]
    bottom: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Items that lie together: how many, and those nearest to their centre, with the distance."""

    size: int
    typical: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MapPoint:
    """An item on the map; `cluster` counts from 1."""

    item: str
    cluster: int
    x: float
    y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """The mean loss of each epoch, `validation` from the start (0) on, `training` from epoch 1 on."""

    best_epoch: int
    training: tuple[float, ...]
    validation: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a model looks like inside. `undefined` says for each part that is empty why it is.

    `length` is that of a latent vector, `placed` the number of items that have one; `space` says which vectors those
    are, `explained` the share of their variance that each axis of the map shows.
    """

    items: int
    users: int
    space: str | None
    length: int
    placed: int
    item_biases: Biases
    user_biases: Biases
    clusters: tuple[Cluster, ...]
    points: tuple[MapPoint, ...]
    explained: tuple[float, float]
    course: Course | None
    undefined: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """The items nearest to one, with their cosines, best first; `undefined` says why there is none, else is empty."""

    found: tuple[tuple[str, float], ...]
    undefined: str = ""


class Eyes(Protocol):
    """Looks at the files of a version."""

    def look(self, version: ModelVersion, wanted: Wanted) -> Look:
        """What is inside. The same version and wish give the same answer. Raises ModelCorrupt."""
        ...

    def neighbours(self, version: ModelVersion, item: str, count: int) -> Neighbours:
        """The items nearest to `item`. Raises NotFound for one that the model does not know, and ModelCorrupt."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Portrait:
    """A look with the version that it is of and the catalogue's `items` that it names, by key."""

    version: ModelVersion
    wanted: Wanted
    look: Look
    items: Mapping[str, Item]

    def title(self, key: str) -> str:
        """What the item is called; its key where the catalogue does not know it."""
        found = self.items.get(key)
        return found.title if found else key

    def categories(self, number: int) -> list[tuple[str, float]]:
        """The most frequent categories of cluster `number`, from 1, and their shares among its items on the map."""
        drawn = [self.items.get(each.item) for each in self.look.points if each.cluster == number]
        named = [name for name in (category_of(each) for each in drawn if each is not None) if name is not None]
        counts = sorted(Counter(named).items(), key=lambda pair: (-pair[1], pair[0]))
        return [(name, count / len(named)) for name, count in counts[:_MOST_SHOWN_CATEGORIES]]

    def document(self) -> dict[str, object]:
        """The portrait as JSON."""
        look, items = self.look, self.items
        return {
            "reference": self.version.reference,
            "kind": self.version.kind,
            "created_at": self.version.created_at,
            "items": look.items,
            "users": look.users,
            "space": look.space,
            "length": look.length,
            "biases": {
                "items": _biases(look.item_biases, lambda key: _named(key, items)),
                "users": _biases(look.user_biases, lambda key: {"user": key}),
            },
            "clusters": [self._cluster(number, one) for number, one in enumerate(look.clusters, start=1)],
            "map": {
                "method": "pca",
                "explained": list(look.explained),
                "placed": look.placed,
                "seed": self.wanted.seed,
                "points": [
                    {**_named(each.item, items), "cluster": each.cluster, "x": each.x, "y": each.y}
                    for each in look.points
                ],
            },
            "curve": _curve(look.course),
            "undefined": dict(look.undefined),
        }

    def _cluster(self, number: int, one: Cluster) -> dict[str, object]:
        return {
            "cluster": number,
            "size": one.size,
            "share": one.size / self.look.placed,
            "typical": [{**_named(key, self.items), "distance": distance} for key, distance in one.typical],
            "categories": [{"category": name, "share": share} for name, share in self.categories(number)],
        }


class Insight:
    """Looks inside model versions, and says what the items are called."""

    def __init__(self, models: ModelCatalogue, catalogue: Catalogue, eyes: Eyes) -> None:
        self._models, self._catalogue, self._eyes = models, catalogue, eyes

    def show(self, reference: str, wanted: Wanted) -> Portrait:
        """The portrait of the version, or of the name's live one.

        Raises NotFound, InvalidInput for a wish out of bounds, and ModelCorrupt.
        """
        wanted.check()
        version = self._version(reference)
        look = self._eyes.look(version, wanted)
        return Portrait(version=version, wanted=wanted, look=look, items=self._items(_shown(look)))

    def nearest(self, reference: str, item: str, count: int) -> dict[str, object]:
        """The `count` nearest items of `item` with their names, as JSON.

        Raises NotFound for an unknown version or item, InvalidInput for a count out of bounds, and ModelCorrupt.
        """
        if not 1 <= count <= MOST_NEIGHBOURS:
            raise InvalidInput(f"k={count} is not from 1 to {MOST_NEIGHBOURS}")
        version = self._version(reference)
        near = self._eyes.neighbours(version, item, count)
        items = self._items([item, *(key for key, _ in near.found)])
        return {
            "reference": version.reference,
            **_named(item, items),
            "nearest": [{**_named(key, items), "similarity": cosine} for key, cosine in near.found],
            "undefined": near.undefined or None,
        }

    def _version(self, reference: str) -> ModelVersion:
        version = self._models.find(reference)
        if version is None:
            raise NotFound("model", reference, next_step="`lamella models list` shows the versions")
        return version

    def _items(self, keys: Sequence[str]) -> Mapping[str, Item]:
        return {each.key: each for each in self._catalogue.find(keys)}


def category_of(item: Item) -> str | None:
    """What the item's attributes say its category is, the first where they name several; None where they say nothing.

    >>> from datetime import UTC, datetime
    >>> category_of(Item(key="a", title="A", published_at=datetime.now(UTC), attributes={"topic": "sport"}))
    'sport'
    """
    for name in CATEGORIES:
        value = item.attributes.get(name)
        if isinstance(value, Sequence) and not isinstance(value, str) and value:
            value = value[0]
        if isinstance(value, str) and value:
            return value
    return None


def _shown(look: Look) -> list[str]:
    keys = [each.item for each in look.points]
    keys += [key for one in look.clusters for key, _ in one.typical]
    keys += [key for end in (look.item_biases.top, look.item_biases.bottom) for key, _ in end]
    return sorted(set(keys))


def _named(key: str, items: Mapping[str, Item]) -> dict[str, object]:
    found = items.get(key)
    return {"item": key, "title": found.title if found else None, "category": category_of(found) if found else None}


def _biases(biases: Biases, named: Callable[[str], dict[str, object]]) -> dict[str, object]:
    return {
        "count": biases.count,
        "mean": biases.mean,
        "deviation": biases.deviation,
        "quantiles": dict(biases.quantiles),
        "edges": list(biases.edges),
        "counts": list(biases.counts),
        "top": [{**named(key), "bias": bias} for key, bias in biases.top],
        "bottom": [{**named(key), "bias": bias} for key, bias in biases.bottom],
    }


def _curve(course: Course | None) -> dict[str, object] | None:
    if course is None:
        return None
    return {
        "best_epoch": course.best_epoch,
        "epochs": [
            {"epoch": epoch, "training": course.training[epoch - 1] if epoch else None, "validation": loss}
            for epoch, loss in enumerate(course.validation)
        ],
    }
