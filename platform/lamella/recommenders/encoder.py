"""History encoders in NumPy: the last reads of a user become one vector, once a request.

The formulas are those of Keras 3: GRU with `reset_after`, LSTM, and residual causal convolutions, each with its default
activations, so that the weights of a trained network serve as they are.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
_WEIGHTS: Final[Mapping[str, int]] = {"gru": 3, "lstm": 3}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Encoder:
    """`kind` is gru, lstm or cnn; `length` the most reads it looks at; `taste` (units, k) maps the last state out.

    `weights` are those of the Keras layers in their order. A convolution has weights and a bias for each layer,
    `dilations` apart.
    """

    kind: str
    length: int
    weights: tuple[Floats, ...]
    taste: Floats
    dilations: tuple[int, ...] = ()

    def encode(self, vectors: Floats) -> Floats:
        """The taste (k,) after the reads with these vectors (L, k), oldest first; zero where there is none."""
        if not len(vectors):
            return np.zeros(self.taste.shape[1], dtype=np.float32)
        last: Floats = self.states(vectors[None, -self.length :])[0, -1]
        return last

    def states(self, vectors: Floats) -> Floats:
        """The taste after each of the reads (n, L, k): (n, L, k). What follows a read has no effect on its state."""
        hidden: Floats = _STATES[self.kind](self, vectors) @ self.taste
        return hidden

    def faults(self, size: int) -> list[str]:
        """What makes it unusable over item vectors of length `size`; empty where it can serve."""
        if self.kind not in _STATES:
            return [f"the encoder's kind {self.kind!r} is none of {', '.join(_STATES)}"]
        wanted = _WEIGHTS.get(self.kind, 2 * len(self.dilations))
        if len(self.weights) != wanted or self.taste.shape[-1] != size or self.weights[0].shape[-2] != size:
            return [f"the encoder's weights do not fit item vectors of length {size}"]
        if not all(np.isfinite(each).all() for each in (*self.weights, self.taste)):
            return ["the encoder holds NaN or infinity"]
        return []


def _gru(encoder: Encoder, x: Floats) -> Floats:
    kernel, recurrent, bias = encoder.weights
    units = recurrent.shape[0]
    given = x @ kernel + bias[0]
    state = np.zeros((len(x), units), dtype=np.float32)
    states = np.empty((*x.shape[:2], units), dtype=np.float32)
    for at in range(x.shape[1]):
        inner = state @ recurrent + bias[1]
        gates = _sigmoid(given[:, at, : 2 * units] + inner[:, : 2 * units])
        update, reset = gates[:, :units], gates[:, units:]
        fresh = np.tanh(given[:, at, 2 * units :] + reset * inner[:, 2 * units :])
        state = update * state + (1 - update) * fresh
        states[:, at] = state
    return states


def _lstm(encoder: Encoder, x: Floats) -> Floats:
    kernel, recurrent, bias = encoder.weights
    units = recurrent.shape[0]
    given = x @ kernel + bias
    state, cell = (np.zeros((len(x), units), dtype=np.float32) for _ in range(2))
    states = np.empty((*x.shape[:2], units), dtype=np.float32)
    for at in range(x.shape[1]):
        gates = given[:, at] + state @ recurrent
        take, keep, out = (_sigmoid(gates[:, part * units : (part + 1) * units]) for part in (0, 1, 3))
        cell = keep * cell + take * np.tanh(gates[:, 2 * units : 3 * units])
        state = out * np.tanh(cell)
        states[:, at] = state
    return states


def _cnn(encoder: Encoder, x: Floats) -> Floats:
    length = x.shape[1]
    for dilation, kernel, bias in zip(encoder.dilations, encoder.weights[::2], encoder.weights[1::2], strict=True):
        width = kernel.shape[0]
        reach = (width - 1) * dilation
        padded = np.concatenate([np.zeros((len(x), reach, x.shape[2]), dtype=np.float32), x], axis=1)
        parts = [padded[:, at * dilation : at * dilation + length] @ kernel[at] for at in range(width)]
        x = x + np.maximum(np.sum(parts, axis=0, dtype=np.float32) + bias, 0)
    return x


def _sigmoid(x: Floats) -> Floats:
    half: Floats = 0.5 * (np.tanh(0.5 * x) + 1)
    return half


_STATES: Final[Mapping[str, Callable[[Encoder, Floats], Floats]]] = {"gru": _gru, "lstm": _lstm, "cnn": _cnn}
