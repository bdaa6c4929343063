"""CNN: causal convolutions over the reading history, in Keras."""

from dataclasses import dataclass
from typing import Final

from lamella.recommenders.dataset import Dataset
from lamella.recommenders.hyperparameters import integer
from lamella.recommenders.keras_runtime import Runtime, Tensor
from lamella.recommenders.kind import Fitted, Kind, Progress
from lamella.recommenders.sequential import HistoryHyperparameters, Recurrence, fit_history

_DILATIONS: Final = (1, 3, 9)
_WIDTH: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class CnnHyperparameters(HistoryHyperparameters):
    """See `lamella.recommenders.hyperparameters`; every convolution has `embedding_size` filters."""

    history_length: int = integer(27, 1, 1000)


def fit(dataset: Dataset, chosen: CnnHyperparameters, seed: int, progress: Progress) -> Fitted:
    """The network of `fit_history` with three dilated residual convolutions, which see the last 27 reads.

    Source: Yuan et al. (2019), a simple convolutional generative network for next item recommendation.
    """
    return fit_history(dataset, chosen, seed, progress, _stack)


def _stack(runtime: Runtime, chosen: HistoryHyperparameters) -> Recurrence:
    layers = [
        runtime.keras.layers.Conv1D(
            chosen.embedding_size,
            _WIDTH,
            padding="causal",
            dilation_rate=dilation,
            activation="relu",
            name=f"dilated_{dilation}",
        )
        for dilation in _DILATIONS
    ]

    def apply(states: Tensor) -> Tensor:
        for layer in layers:
            states = runtime.keras.layers.Add()([states, layer(states)])
        return states

    return Recurrence("cnn", layers, apply, _DILATIONS)


KIND: Final = Kind(
    name="cnn",
    summary="causal convolutions read the last articles of a user; knows a stranger after one read",
    hyperparameters=CnnHyperparameters,
    fit=fit,
)
