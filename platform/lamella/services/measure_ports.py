"""What the analysis asks of the record besides the per-unit totals: declared metrics, days, segments, items shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Protocol

from lamella.experiments.model import DeclaredMetric, Json
from lamella.metrics.health import Shown
from lamella.stats.estimates import Estimate
from lamella.stats.moments import Moments
from lamella.stats.undefined import Undefined

NUMERATOR = "numerator"
DENOMINATOR = "denominator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a declared metric found, by variant.

    `moments` have the columns `numerator`, `denominator` where there is one, and with covariates `pre_` twins and
    `has_pre`; `quantiles` are there for a quantile only. `cap` is what a winsorised numerator was capped at. `failed`
    is why the metric could not be read; it then has nothing else.
    """

    moments: Mapping[str, Moments] = field(default_factory=dict)
    quantiles: Mapping[str, Estimate | Undefined] = field(default_factory=dict)
    cap: float | None = None
    failed: Undefined | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Which part of the record is asked for: a phase, its units first exposed before `until`, events before that.

    No unit was exposed before `since`, so that nothing older is read; `covariate_since` is where covariates begin, None
    for no covariates.
    """

    phase: int
    until: datetime
    since: datetime | None = None
    covariate_since: datetime | None = None


class MeasureStore(Protocol):
    """Declared metrics, from the facts."""

    def measured(self, stretch: Stretch, metrics: Sequence[DeclaredMetric]) -> Mapping[str, Measured]:
        """Every metric by key, over the units that were not crossed; one that fails costs no other one its figures.

        One grouped query for all of them, which scans each fact once; another for the caps where one is winsorised,
        and three for each quantile.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DayMoments:
    """The moments, over the units of `variant` first exposed on `first_day`, of what they did on `day`.

    Only units with a row on that day are in `moments`; the others did nothing.
    """

    variant: str
    first_day: date
    day: date
    moments: Moments


@dataclass(frozen=True, slots=True, kw_only=True)
class CumulativeMoments:
    """The moments of everything that a variant's units did up to the end of `day`."""

    variant: str
    day: date
    moments: Moments


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """The per-unit totals by day. `entered` counts units by variant and day of first exposure."""

    entered: Mapping[tuple[str, date], int]
    daily: Sequence[DayMoments]
    cumulative: Sequence[CumulativeMoments]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """The moments of one variant's units that share `values`, one for each attribute asked for; None is unknown."""

    variant: str
    values: tuple[str | None, ...]
    moments: Moments


class ExplorationStore(Protocol):
    """What is looked at besides the plan. It can wait: no query takes more than one core of the store's machine."""

    def days(self, stretch: Stretch, columns: Sequence[str]) -> Days:
        """The totals by day, of units that were not crossed."""
        ...

    def attributes(self, stretch: Stretch) -> Sequence[str]:
        """The attributes of the context that a sample of first slates names, by name."""
        ...

    def cells(
        self, stretch: Stretch, columns: Sequence[str], by: Sequence[str], metrics: Sequence[DeclaredMetric] = ()
    ) -> Mapping[str, Sequence[Cell]]:
        """The moments by variant and attributes of the first slate: under "" those of `columns`, then by metric."""
        ...

    def crossed_with(
        self, stretch: Stretch, columns: Sequence[str], other: int, metrics: Sequence[DeclaredMetric] = ()
    ) -> Mapping[str, Sequence[Cell]]:
        """As `cells`, `values` being the variant of phase `other`; of units in both, crossed in neither."""
        ...

    def shown(self, stretch: Stretch, *, blocks: int) -> Sequence[Shown]:
        """What was shown to the units of each variant, in blocks by a hash of the unit."""
        ...

    def measured_aside(self, stretch: Stretch, metrics: Sequence[DeclaredMetric]) -> Mapping[str, Measured]:
        """As `measured`, of what can wait."""
        ...

    def catalogue_size(self, until: datetime) -> int:
        """How many items were published before then."""
        ...

    def keep_exploration(self, experiment: str, phase: int, document: Mapping[str, Json]) -> None:
        """From now on the experiment's newest report shows these parts; those of before are gone."""
        ...


class FactStore(MeasureStore, ExplorationStore, Protocol):
    """What the analysis asks of the facts themselves."""
