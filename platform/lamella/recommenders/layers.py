"""Dense layers in NumPy: what is left of a network when each side was multiplied out beforehand."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]

_CHUNK: Final = 4096


class Layer(NamedTuple):
    """A dense layer: x @ weights + bias, with weights (inputs, outputs)."""

    weights: Floats
    bias: Floats


class Picks:
    """Rows of a matrix (m, k) by number, as one cell each: of a few, NumPy then copies without giving the GIL away.

    A thread that gives it away waits for its turn: many times what the copy takes.
    """

    __slots__ = ("_cells", "_matrix")

    def __init__(self, matrix: Floats) -> None:
        self._matrix = matrix
        self._cells: NDArray[np.void] | None = None
        if matrix.ndim == 2 and matrix.shape[1] and matrix.flags.c_contiguous:
            self._cells = matrix.view(np.dtype((np.void, matrix.shape[1] * matrix.itemsize)))[:, 0]

    def at(self, rows: NDArray[np.int64]) -> Floats:
        """A copy of these rows: (len(rows), k)."""
        if self._cells is None:
            return self._matrix.take(rows, axis=0)
        return self._cells[rows].view(self._matrix.dtype).reshape(len(rows), self._matrix.shape[1])


def peak(array: Floats) -> float:
    """The greatest absolute value; 0 where there is none, NaN where one is NaN."""
    return max(float(array.max()), -float(array.min())) if array.size else 0.0


def forward(hidden: Floats, layers: Sequence[Layer]) -> Floats:
    """`hidden` (n, h) through relu and each layer in turn: (n, outputs of the last)."""
    return _spend(hidden.copy(), np.zeros(hidden.shape[1], dtype=np.float32), layers)


def _spend(hidden: Floats, shift: Floats, layers: Sequence[Layer]) -> Floats:
    """As `forward` of `hidden` + `shift` (h,), but `hidden` is overwritten.

    relu(x + s) is max(x, -s) + s: what all rows share goes through a layer by itself, and not with each of them.
    """
    for layer in layers:
        np.maximum(hidden, -shift, out=hidden)
        hidden = hidden @ layer.weights
        shift = shift @ layer.weights + layer.bias
    hidden += shift
    return hidden


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tail:
    """What a network adds to the logit: layers over relu(user part + item part), both before their relu.

    `user_hidden` (n, h) and `item_hidden` (m, h) are the sides' shares of the first dense layer, `stranger` (h,) that
    of a user without a row. The last of `layers` has one output.
    """

    user_hidden: Floats
    item_hidden: Floats
    stranger: Floats
    layers: tuple[Layer, ...]
    _picks: Picks = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_picks", Picks(self.item_hidden))

    def logits(self, part: Floats, rows: NDArray[np.int64] | None) -> Floats:
        """The tail's logit of each of the items at `rows`, None for all, for the user's part (h,): (len(rows),).

        All items of a large catalogue go through it in blocks, so that little memory is needed.
        """
        if rows is not None and len(rows) <= _CHUNK:
            return _spend(self._picks.at(rows), part, self.layers)[:, 0]
        items = self.item_hidden if rows is None else self.item_hidden[rows]
        blocks = [
            _spend(items[at : at + _CHUNK].copy(), part, self.layers)[:, 0] for at in range(0, len(items), _CHUNK)
        ]
        return np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.float32)

    def pair_logits(self, users: NDArray[np.int64], items: NDArray[np.int64]) -> Floats:
        """The tail's logit of each pair of rows; user row -1 is the stranger: (len(users),)."""
        parts = np.concatenate([self.user_hidden, self.stranger[None]])
        blocks = [
            forward(parts[users[at : at + _CHUNK]] + self.item_hidden[items[at : at + _CHUNK]], self.layers)[:, 0]
            for at in range(0, len(users), _CHUNK)
        ] or [np.zeros(0, dtype=np.float32)]
        return np.concatenate(blocks)

    def bound(self) -> float:
        """What no logit, and no number on the way to it, is beyond for anybody with a row or none; NaN is none."""
        reached = peak(self.item_hidden) + max(peak(self.user_hidden), peak(self.stranger))
        most = reached
        for layer in self.layers:
            reached = reached * len(layer.weights) * peak(layer.weights) + peak(layer.bias)
            most += reached
        return most

    def faults(self, users: int, items: int) -> list[str]:
        """What makes these matrices unusable beside so many users and items."""
        width = self.stranger.shape[-1]
        wanted = {"user_hidden": (users, width), "item_hidden": (items, width), "stranger": (width,)}
        found = [
            f"{name} has shape {getattr(self, name).shape}, not {shape}"
            for name, shape in wanted.items()
            if getattr(self, name).shape != shape
        ]
        arrays = [self.user_hidden, self.item_hidden, self.stranger, *(each for layer in self.layers for each in layer)]
        if not all(np.isfinite(each).all() for each in arrays):
            found.append("the tail holds NaN or infinity")
        return found + layer_faults(self.layers, width, outputs=1)


def layer_faults(layers: Sequence[Layer], width: int, *, outputs: int) -> list[str]:
    """A sentence where the layers do not chain from `width` inputs to `outputs` outputs."""
    for layer in layers:
        if layer.weights.ndim != 2 or layer.weights.shape[0] != width or layer.bias.shape != layer.weights.shape[1:]:
            return [f"a dense layer of shape {layer.weights.shape} does not take {width} inputs"]
        width = layer.weights.shape[1]
    return [] if width == outputs else [f"the dense layers end in {width} outputs, not {outputs}"]
