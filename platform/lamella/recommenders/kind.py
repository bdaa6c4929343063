"""What a model kind is: a name, its hyperparameters, and a function that fits it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias

from lamella.errors import InvalidInput
from lamella.experiments.model import Json
from lamella.recommenders.artifact import FactorModel
from lamella.recommenders.dataset import Dataset
from lamella.recommenders.hyperparameters import H, parse, unparse
from lamella.recommenders.keras_runtime import Network

Progress: TypeAlias = Callable[[float, str], None]
"""Told the share done (0..1) and a line for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A fitted model: its serving matrices, further files by name (`model.keras`), and the compilation's error.

    `probe_error` is the greatest difference between the score of the matrices and of the network that they were
    compiled from, over a probe batch; 0.0 where there is no network.
    """

    factors: FactorModel
    files: Mapping[str, bytes]
    probe_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Weights from outside: `fill` gives them to a network or raises, `words` is the vocabulary that they are for."""

    fill: Callable[[Network], None]
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[H]):
    """A registered model kind. `fit` takes the dataset, the hyperparameters, a seed and whom to tell the progress.

    A kind that does not need the log is fitted on a dataset without impressions. `restore` builds the network for a
    dataset's tables, gives it weights and compiles it; None where the kind takes none.
    """

    name: str
    summary: str
    hyperparameters: type[H]
    fit: Callable[[Dataset, H, int, Progress], Fitted]
    needs_log: bool = True
    restore: Callable[[Dataset, H, Weights], Fitted] | None = None

    @property
    def takes_weights(self) -> bool:
        """Whether weights can be uploaded for it."""
        return self.restore is not None

    def restored(self, dataset: Dataset, values: Mapping[str, Json], weights: Weights) -> Fitted:
        """The model of these weights, compiled. Raises InvalidInput, ModelFailed, TrainingFault without TensorFlow."""
        if self.restore is None:
            raise InvalidInput(f"a {self.name} cannot be built from weights")
        return self.restore(dataset, parse(self.name, self.hyperparameters, values), weights)

    def complete(self, values: Mapping[str, Json]) -> dict[str, Json]:
        """Every hyperparameter, `values` before the defaults. Raises InvalidInput listing each fault."""
        return unparse(parse(self.name, self.hyperparameters, values))

    def train(self, dataset: Dataset, values: Mapping[str, Json], *, seed: int, progress: Progress) -> Fitted:
        """The fitted model; the same dataset, values and seed give the same one. Raises InvalidInput, TrainingFault."""
        return self.fit(dataset, parse(self.name, self.hyperparameters, values), seed, progress)


class AnyKind(Protocol):
    """A kind, whatever its hyperparameters."""

    @property
    def name(self) -> str:
        """How trainings ask for it."""
        ...

    @property
    def summary(self) -> str:
        """One line for people."""
        ...

    @property
    def needs_log(self) -> bool:
        """Whether it learns from impressions; otherwise the catalogue is enough, and its scores predict nothing."""
        ...

    def complete(self, values: Mapping[str, Json]) -> dict[str, Json]:
        """Every hyperparameter, `values` before the defaults. Raises InvalidInput listing each fault."""
        ...

    @property
    def takes_weights(self) -> bool:
        """Whether weights can be uploaded for it."""
        ...

    def restored(self, dataset: Dataset, values: Mapping[str, Json], weights: Weights) -> Fitted:
        """The model of these weights, compiled. Raises InvalidInput, ModelFailed, TrainingFault."""
        ...

    def train(self, dataset: Dataset, values: Mapping[str, Json], *, seed: int, progress: Progress) -> Fitted:
        """The fitted model. Raises InvalidInput, TrainingFault."""
        ...
