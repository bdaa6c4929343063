"""The service's own recommending pipeline in this process: the same code and models, with nothing recorded."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from lamella.bootstrap.registry import registry_of
from lamella.bootstrap.stores import stores
from lamella.config import Settings
from lamella.experiments.model import Configuration
from lamella.experiments.snapshot import Snapshot, compile_snapshot
from lamella.recommenders.host import ModelHost
from lamella.services.cascade import Cascade
from lamella.services.model_ports import Recommender
from lamella.services.ports import Clock
from lamella.services.recommending import Recommending, Wish
from lamella.simulation.truth import Kitchen, Values

_PATIENCE_SECONDS: Final = 30.0


class _Forgetful:
    """A journal that keeps nothing."""

    def append(self, batch: bytes) -> None:
        """Forgets the batch."""


class _Fixed:
    """Holds one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def current(self) -> Snapshot:
        """That snapshot."""
        return self._snapshot


class PipelineKitchen:
    """Makes pages with `Recommending` under any parameter values; one compiled snapshot for each set of values.

    `configure` gives the configuration in which everybody has the values.
    """

    def __init__(self, recommender: Recommender, clock: Clock, configure: Callable[[Values], Configuration]) -> None:
        self._recommender, self._clock, self._configure = recommender, clock, configure
        self._pipelines: dict[str, Recommending] = {}

    def __call__(self, unit: str, values: Values, *, exclude: frozenset[str]) -> Sequence[str]:
        """The page of `unit` under `values`, item keys in rank order. Raises what the pipeline raises."""
        name = repr(sorted(values.items()))
        if name not in self._pipelines:
            self._pipelines[name] = self._pipeline(values)
        answer = self._pipelines[name].recommend(Wish(unit=unit, context={}, exclude=exclude))
        return [impression.item for impression in answer.items]

    def close(self) -> None:
        """Lets go of the pipelines' threads."""
        for pipeline in self._pipelines.values():
            pipeline.close()

    def _pipeline(self, values: Values) -> Recommending:
        return Recommending(
            snapshots=_Fixed(compile_snapshot(self._configure(values))),
            cascade=Cascade(self._recommender, deadline_seconds=_PATIENCE_SECONDS),
            journal=_Forgetful(),
            clock=self._clock,
            new_id=lambda: "preview",
        )


@contextmanager
def open_kitchen(settings: Settings, configure: Callable[[Values], Configuration]) -> Iterator[Kitchen]:
    """A kitchen over the published models of the settings' store, disconnected at the end of the block."""
    found = stores(settings, pool_size=1)
    kitchen = PipelineKitchen(ModelHost(registry_of(settings, found.models), found.models), found.clock, configure)
    try:
        yield kitchen
    finally:
        kitchen.close()
        found.engine.dispose()
