"""GRU: a gated recurrent unit over the reading history, in Keras."""

from dataclasses import dataclass
from typing import Final

from lamella.recommenders.dataset import Dataset
from lamella.recommenders.keras_runtime import Runtime
from lamella.recommenders.kind import Fitted, Kind, Progress
from lamella.recommenders.sequential import HistoryHyperparameters, Recurrence, fit_history


@dataclass(frozen=True, slots=True, kw_only=True)
class GruHyperparameters(HistoryHyperparameters):
    """See `lamella.recommenders.hyperparameters`; the unit's state has `embedding_size` numbers."""


def fit(dataset: Dataset, chosen: GruHyperparameters, seed: int, progress: Progress) -> Fitted:
    """The network of `fit_history` with a gated recurrent unit. Source: Hidasi et al. (2016), GRU4Rec."""
    return fit_history(dataset, chosen, seed, progress, _unit)


def _unit(runtime: Runtime, chosen: HistoryHyperparameters) -> Recurrence:
    layer = runtime.keras.layers.GRU(chosen.embedding_size, return_sequences=True, name="gru")
    return Recurrence("gru", [layer], layer)


KIND: Final = Kind(
    name="gru",
    summary="a gated recurrent unit reads the last articles of a user; knows a stranger after one read",
    hyperparameters=GruHyperparameters,
    fit=fit,
)
