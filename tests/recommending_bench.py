"""A Recommending over fakes, and what it did."""

import itertools
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from lamella.events.codec import decode
from lamella.events.contract import Slate
from lamella.experiments.model import Configuration, Json, Layer, Parameter, ParameterType
from lamella.experiments.snapshot import Snapshot, compile_snapshot
from lamella.services.cascade import Cascade
from lamella.services.histories import Histories
from lamella.services.recommending import Answer, Recommending, Wish
from lamella.testing.fakes import FakeClock
from lamella.testing.recommender import FakeRecommender
from lamella.testing.record import MemoryRecord

ITEMS = [f"i{each:02d}" for each in range(40)]
MODELS = ["mf@1", "mf@2", "popularity@1", "cnn@1"]
AMPLE = 30.0
"""The deadline of a stage where nothing is to be late, on whatever machine."""
DAY = datetime(2026, 3, 1, tzinfo=UTC)
TYPES = {bool: ParameterType.BOOLEAN, str: ParameterType.STRING, int: ParameterType.INTEGER, float: ParameterType.FLOAT}


class Held:
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def current(self) -> Snapshot:
        return self._snapshot


def configuration(parameters: Mapping[str, Json]) -> Configuration:
    return Configuration(
        version=7,
        layers=(Layer(key="recall", salt="a"), Layer(key="ranking", salt="b")),
        parameters=tuple(
            Parameter(key=key, type=TYPES[type(value)], default=value, layer="recall")  # type: ignore[index]
            for key, value in parameters.items()
        ),
    )


class Bench:
    """A Recommending over fakes, and what it did."""

    def __init__(
        self, parameters: Mapping[str, Json] | None = None, recommender: FakeRecommender | None = None
    ) -> None:
        self.record = MemoryRecord()
        self.models = recommender or FakeRecommender(ITEMS, MODELS)
        self.reads: dict[str, list[str]] = {}
        self.use(configuration(parameters or {"recall.model": "mf@2"}))

    def use(self, wanted: Configuration, *, deadline_seconds: float = AMPLE) -> None:
        ids = (f"request-{number}" for number in itertools.count(1))
        self.recommending = Recommending(
            snapshots=Held(compile_snapshot(wanted)),
            cascade=Cascade(self.models, deadline_seconds=deadline_seconds),
            journal=self.record,
            clock=FakeClock(),
            new_id=lambda: next(ids),
            histories=Histories(self),
        )
        self.guard = self.recommending._cascade._guard

    def __call__(self, unit: str = "ann", **wanted: object) -> Answer:
        return self.recommending.recommend(Wish(unit=unit, context={}, **wanted))  # type: ignore[arg-type]

    def last_reads(self, unit: str, *, limit: int) -> Sequence[str]:
        return self.reads.get(unit, [])[-limit:]

    def slates(self) -> list[Slate]:
        return [slate for batch in self.record.inbox for slate in decode(batch)[0] if isinstance(slate, Slate)]
