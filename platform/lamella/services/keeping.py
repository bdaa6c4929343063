"""What the reports of running experiments need, kept ready: which phases are followed, and whether they are right."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from lamella.experiments.model import Experiment, Status
from lamella.services.ports import Clock, ConfigurationStore

CHECK_SECONDS: Final = 2.0
"""After so long no further phase is checked until the next hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """A phase whose moments are kept, with covariates from `covariate_since` on; None takes all the past."""

    phase: int
    covariate_since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A kept phase beside a fresh count: `figures` sums, products and counts differed; 0 where all were equal."""

    phase: int
    figures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """Numbers of rows, of the totals and of the first exposures, and of figures of the kept moments."""

    totals: int
    exposures: int
    figures: int = 0


class Recomputing(Protocol):
    """The derived tables beside the facts."""

    def differences(self) -> Differences:
        """Rows and kept figures that are not what the facts add up to; 0 in a sound store."""
        ...

    def recompute(self, now: datetime) -> Differences:
        """Make the totals and first exposures again from the facts; returns how many rows there are."""
        ...


class KeptStore(Protocol):
    """The moments of the arms, kept."""

    def refresh(self, wanted: Sequence[Followed], now: datetime) -> None:
        """From now on these phases are kept, and no others; each is brought up to what is recorded now.

        Costs what changed since the last refresh; a phase that was not kept before is counted once in full.
        """
        ...

    def check(self, now: datetime, *, seconds: float = 0.0) -> Sequence[Drift]:
        """The kept phase that was checked longest ago beside a fresh count, which replaces it where they differ.

        Then the next one, until `seconds` have passed.
        """
        ...


class Keeping:
    """Follows the phases of the running experiments."""

    def __init__(self, configuration: ConfigurationStore, store: KeptStore, clock: Clock) -> None:
        self._configuration, self._store, self._clock = configuration, store, clock

    def refresh(self) -> None:
        """Brings what is kept up to date; raises what the stores raise, and then nothing has changed."""
        running = (each for each in self._configuration.load().experiments if each.status is Status.RUNNING)
        self._store.refresh([_followed(each) for each in running if each.phases], self._clock.now())

    def check(self) -> Sequence[Drift]:
        """The drift of the kept phases that were checked longest ago, mended where there is any.

        One phase at least; a fresh count reads the totals of all its units, so that it is not done for all at once.
        """
        return self._store.check(self._clock.now(), seconds=CHECK_SECONDS)


def covariates_since(experiment: Experiment) -> datetime | None:
    """When the covariates of the experiment's present phase begin; None where its plan has none."""
    days = experiment.plan.covariate_days
    return experiment.phases[-1].started_at - timedelta(days=days) if days else None


def _followed(experiment: Experiment) -> Followed:
    return Followed(phase=experiment.phases[-1].id, covariate_since=covariates_since(experiment))
