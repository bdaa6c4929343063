"""LSTM: a long short-term memory over the reading history, in Keras."""

from dataclasses import dataclass
from typing import Final

from lamella.recommenders.dataset import Dataset
from lamella.recommenders.keras_runtime import Runtime
from lamella.recommenders.kind import Fitted, Kind, Progress
from lamella.recommenders.sequential import HistoryHyperparameters, Recurrence, fit_history


@dataclass(frozen=True, slots=True, kw_only=True)
class LstmHyperparameters(HistoryHyperparameters):
    """See `lamella.recommenders.hyperparameters`; the unit's state has `embedding_size` numbers."""


def fit(dataset: Dataset, chosen: LstmHyperparameters, seed: int, progress: Progress) -> Fitted:
    """The network of `fit_history` with a long short-term memory. Source: Hochreiter and Schmidhuber (1997)."""
    return fit_history(dataset, chosen, seed, progress, _unit)


def _unit(runtime: Runtime, chosen: HistoryHyperparameters) -> Recurrence:
    layer = runtime.keras.layers.LSTM(chosen.embedding_size, return_sequences=True, name="lstm")
    return Recurrence("lstm", [layer], layer)


KIND: Final = Kind(
    name="lstm",
    summary="a long short-term memory reads the last articles of a user; knows a stranger after one read",
    hyperparameters=LstmHyperparameters,
    fit=fit,
)
