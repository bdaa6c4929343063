"""A fake of the recommender: models that answer by a hash."""

import hashlib
import math
from collections.abc import Mapping, Sequence

from lamella.errors import NotFound
from lamella.services.model_ports import NOBODY, Composition, ModelVersion, Reader, Recall, Scored
from lamella.testing.fakes import START


class FakeRecommender:
    """Models that score by a hash of model, unit and item: arbitrary, bounded to 0..1, and always the same.

    `models` are the references that exist; `failing` maps a reference to the error that it raises.
    `asked` keeps what recall was asked for.
    """

    def __init__(
        self, items: Sequence[str], models: Sequence[str], *, failing: Mapping[str, Exception] | None = None
    ) -> None:
        self._items = tuple(items)
        self._models = frozenset(models)
        self.failing = dict(failing or {})
        self.asked: list[tuple[Recall, Reader]] = []

    def recall(self, model: str, unit: str, wanted: Recall, reader: Reader = NOBODY) -> Scored:
        """The `count` items with the highest scores, whatever the rule. Raises NotFound for an unknown model."""
        self.asked.append((wanted, reader))
        known = self._items if wanted.candidates is None else wanted.candidates
        ranked = self.rank(model, unit, [item for item in known if item not in wanted.exclude], reader)
        return first(ranked, wanted.count, source=f"recall:{model}")

    def rank(self, model: str, unit: str, items: Sequence[str], reader: Reader = NOBODY) -> Scored:  # noqa: ARG002
        """`items`, best first. Raises NotFound for an unknown model."""
        if model in self.failing:
            raise self.failing[model]
        if model not in self._models:
            raise NotFound("model", model, next_step=f"there are {', '.join(sorted(self._models)) or 'none'}")
        scored = sorted(((_score(model, unit, item), item) for item in items), key=lambda pair: (-pair[0], pair[1]))
        return Scored(items=[item for _, item in scored], scores=[score for score, _ in scored], source=f"rank:{model}")

    def compose(self, model: str, scored: Scored, composition: Composition) -> Scored:
        """The first `count`: items without vectors are all unlike each other. Raises what the model raises."""
        self.rank(model, "", scored.items)
        return first(scored, composition.count, source=f"rerank:{model}")

    def reads_history(self, model: str) -> bool:
        """Whether the model's name begins with gru."""
        return model.startswith("gru")

    def resolve(self, model: str, unit: str) -> str:  # noqa: ARG002 - the port has it
        """The model itself, or the newest version of the name: none has a canary."""
        if model in self._models:
            return model
        return next((each.reference for each in self.versions() if each.name == model), model)

    def is_current(self) -> bool:
        """Always: nothing is published meanwhile."""
        return True

    def item_count(self, model: str) -> int:  # noqa: ARG002 - the port has it
        """All the items: every model knows them."""
        return len(self._items)

    def is_light(self, model: str) -> bool:  # noqa: ARG002 - the port has it
        """Always: there are few items."""
        return True

    def is_prompt(self, model: str) -> bool:
        """Whether the model exists: all are in memory."""
        return model in self._models

    def versions(self) -> Sequence[ModelVersion]:
        """A version for each reference such as `mf@3`; its kind is its name. Newest number first."""
        named = (reference.partition("@") for reference in self._models if "@" in reference)
        found = [_version(name, int(number)) for name, _, number in named]
        return sorted(found, key=lambda each: (-each.number, each.name))


def first(scored: Scored, count: int, *, source: str) -> Scored:
    """The first `count` of `scored`, as proposed by `source`."""
    return Scored(items=scored.items[:count], scores=scored.scores[:count], source=source)


def _version(name: str, number: int) -> ModelVersion:
    return ModelVersion(
        name=name,
        number=number,
        kind=name,
        created_at=START,
        digest="",
        size_bytes=0,
        hyperparameters={},
        metrics={},
        stamp={},
    )


def _score(model: str, unit: str, item: str) -> float:
    digest = hashlib.sha256(f"{model}\0{unit}\0{item}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / math.ldexp(1, 32)
