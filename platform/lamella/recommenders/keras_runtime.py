"""Keras on TensorFlow, imported only when a training asks for it."""

import contextlib
import importlib
import os
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from lamella.errors import TrainingFault

Tensor = object
"""A TensorFlow tensor; only Keras operations look inside."""


class Scalar(Protocol):
    """A tensor of one number."""

    def __truediv__(self, divisor: float) -> Tensor:
        """The quotient."""
        ...


_QUIET: Final = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}


class Variable(Protocol):
    """The part of a Keras variable that training uses; `path` names it within its network."""

    path: str
    shape: Sequence[int]

    def assign(self, value: NDArray[np.floating]) -> object:
        """The new value in place of the old one, of the same shape."""
        ...

    def numpy(self) -> NDArray[np.float32]:
        """The value."""
        ...


class Embedding(Protocol):
    """A Keras embedding layer."""

    embeddings: Variable
    trainable: bool

    def __call__(self, rows: Tensor) -> Tensor:
        """The vectors of these rows."""
        ...


class Weighted(Protocol):
    """A Keras layer with weights."""

    trainable_variables: Sequence[Variable]

    def __call__(self, inputs: Tensor) -> Tensor:
        """The output for a batch."""
        ...

    def get_weights(self) -> list[NDArray[np.float32]]:
        """A copy of every weight: of a dense layer its kernel and, where it has one, its bias."""
        ...


class Network(Protocol):
    """The part of a Keras model that training uses."""

    trainable_variables: Sequence[Variable]
    weights: Sequence[Variable]

    def __call__(self, inputs: object, *, training: bool = False) -> Tensor:
        """The outputs for a batch."""
        ...

    def get_weights(self) -> list[NDArray[np.float32]]:
        """A copy of every weight."""
        ...

    def set_weights(self, weights: list[NDArray[np.float32]]) -> None:
        """Every weight replaced."""
        ...

    def predict_on_batch(self, inputs: object) -> NDArray[np.float32]:
        """The outputs for a batch, as an array."""
        ...

    def load_weights(self, path: Path) -> None:
        """Every weight replaced by those of a file that has them all. Raises ValueError where it does not fit."""
        ...

    def save(self, path: Path) -> None:
        """The model as a .keras file."""
        ...


@dataclass(frozen=True, slots=True)
class Runtime:
    """The imported modules."""

    keras: ModuleType
    tf: ModuleType


def start(seed: int) -> Runtime:
    """Keras and TensorFlow, quiet, seeded and deterministic: the same seed and data then give the same weights.

    The first call in a process costs seconds and 500 MB, and it sets the seeds of `random` and NumPy's global
    generator too. At least two inter-op threads are asked for: with one, TensorFlow's input pipelines stall.
    Raises TrainingFault, with the command that installs it, where TensorFlow is missing.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tf, keras = importlib.import_module("tensorflow"), importlib.import_module("keras")
    except ImportError as error:
        raise TrainingFault(
            f"training needs TensorFlow, which is not installed ({error}); run: pip install 'lamella[train]'"
        ) from error
    with contextlib.suppress(RuntimeError):  # raised where TensorFlow has started already; its threads then stay
        tf.config.threading.set_inter_op_parallelism_threads(max(2, os.cpu_count() or 2))
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    return Runtime(keras=keras, tf=tf)


def saved(network: Network) -> bytes:
    """The network as the bytes of a .keras file."""
    with tempfile.TemporaryDirectory(prefix="lamella-") as folder:
        path = Path(folder) / "model.keras"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Keras 3.15 copies weights as NumPy 2 dislikes
            network.save(path)
        return path.read_bytes()


def embedding(runtime: Runtime, rows: int, size: int, name: str, *, spread: float = 0.05) -> Embedding:
    """A table of `rows` vectors of `size`; one of size 1 starts at zero, a wider one at small random values."""
    initial = runtime.keras.initializers.RandomNormal(stddev=spread) if size > 1 else "zeros"
    table: Embedding = runtime.keras.layers.Embedding(rows, size, embeddings_initializer=initial, name=name)
    return table


def dense(runtime: Runtime, units: int, name: str, *, has_bias: bool = True, activation: str | None = None) -> Weighted:
    """A dense layer of so many units."""
    layer: Weighted = runtime.keras.layers.Dense(units, use_bias=has_bias, activation=activation, name=name)
    return layer


def normal_penalty(runtime: Runtime, tables: Mapping[str, Variable], precisions: Mapping[str, float]) -> Scalar:
    """Half of each table's squared entries times its precision: what a zero-mean normal prior adds to the loss."""
    ops = runtime.keras.ops
    squares = [precision / 2 * ops.sum(ops.square(tables[name])) for name, precision in precisions.items()]
    total: Scalar = ops.sum(ops.stack(squares))
    return total


def values(variable: Variable) -> NDArray[np.float32]:
    """A copy of the variable's value."""
    return variable.numpy().copy()
