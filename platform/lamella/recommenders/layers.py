"""Dense layers in NumPy: what is left of a network when each side was multiplied out beforehand."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]

_CHUNK = 4096


class Layer(NamedTuple):
    """A dense layer: x @ weights + bias, with weights (inputs, outputs)."""

    weights: Floats
    bias: Floats


def forward(hidden: Floats, layers: Sequence[Layer]) -> Floats:
    """`hidden` (n, h) through relu and each layer in turn: (n, outputs of the last)."""
    return _spend(hidden.copy(), layers)


def _spend(hidden: Floats, layers: Sequence[Layer]) -> Floats:
    """As `forward`, but `hidden` is overwritten."""
    for layer in layers:
        np.maximum(hidden, 0, out=hidden)
        hidden = hidden @ layer.weights
        hidden += layer.bias
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

    def logits(self, part: Floats, rows: NDArray[np.int64] | None) -> Floats:
        """The tail's logit of each of the items at `rows`, None for all, for the user's part (h,): (len(rows),).

        All items of a large catalogue go through it in blocks, so that little memory is needed.
        """
        if rows is not None and len(rows) <= _CHUNK:
            hidden = self.item_hidden.take(rows, axis=0)
            hidden += part
            return _spend(hidden, self.layers)[:, 0]
        items = self.item_hidden if rows is None else self.item_hidden[rows]
        blocks = [_spend(items[at : at + _CHUNK] + part, self.layers)[:, 0] for at in range(0, len(items), _CHUNK)]
        return np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.float32)

    def pair_logits(self, users: NDArray[np.int64], items: NDArray[np.int64]) -> Floats:
        """The tail's logit of each pair of rows; user row -1 is the stranger: (len(users),)."""
        parts = np.concatenate([self.user_hidden, self.stranger[None]])
        blocks = [
            _spend(parts[users[at : at + _CHUNK]] + self.item_hidden[items[at : at + _CHUNK]], self.layers)[:, 0]
            for at in range(0, len(users), _CHUNK)
        ] or [np.zeros(0, dtype=np.float32)]
        return np.concatenate(blocks)

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
