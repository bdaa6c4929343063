"""What attributes alone say of a user: the rows of a network's first layer, summed in NumPy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lamella.experiments.model import Json
from lamella.recommenders.fields import Field
from lamella.recommenders.layers import Floats, Layer, forward, layer_faults


class Placed(NamedTuple):
    """Where somebody stands: `vector` (k,) or, for a tail, `hidden` (h,), and a bias."""

    vector: Floats
    hidden: Floats
    bias: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Side:
    """Places somebody without a row by attributes.

    With S = start + the weighted sum of the rows of `table` (r, w) that the attributes ask for, the hidden part is S,
    the vector is S through `layers` less `centre`, and the bias is `start_bias` plus the same sum over `linear` (r,).
    Where `has_squares`, half of |S|² less the rows' weighted squares joins the bias: a factorisation machine's terms
    within the side. The rows of the fields follow each other; row 0 of each is no value.
    """

    fields: tuple[Field, ...]
    table: Floats
    linear: Floats
    start: Floats
    start_bias: float
    centre: Floats
    has_squares: bool = False
    layers: tuple[Layer, ...] = ()

    def place(self, attributes: Mapping[str, Json]) -> Placed:
        """Where somebody with these attributes stands; those that it does not know count for nothing."""
        rows, weights = self._rows(attributes)
        given = self.table[rows] * weights[:, None]
        total: Floats = self.start + given.sum(axis=0)
        bias = self.start_bias + float(self.linear[rows] @ weights)
        if self.has_squares:
            bias += 0.5 * float(total @ total - self.start @ self.start - (given * given).sum())
        vector = forward(total[None], self.layers)[0] if self.layers else total
        return Placed(vector=vector - self.centre, hidden=total, bias=bias)

    def faults(self) -> list[str]:
        """What makes it unusable; empty where it can serve."""
        rows, width = sum(field.size for field in self.fields), self.start.shape[-1]
        if self.table.shape != (rows, width) or self.linear.shape != (rows,):
            return [f"the attributes' table has shape {self.table.shape}, not {(rows, width)}"]
        arrays = [self.table, self.linear, self.start, self.centre, *(each for layer in self.layers for each in layer)]
        if not all(np.isfinite(each).all() for each in arrays) or not np.isfinite(self.start_bias):
            return ["the attributes' table holds NaN or infinity"]
        return layer_faults(self.layers, width, outputs=self.centre.shape[-1]) if self.layers else []

    def _rows(self, attributes: Mapping[str, Json]) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], Floats]:
        rows, weights, offset = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.float32)], 0
        for field in self.fields:
            encoded = field.encode([attributes])
            is_given = encoded.weights[0] > 0
            rows.append(encoded.rows[0][is_given].astype(np.int64) + offset)
            weights.append(encoded.weights[0][is_given])
            offset += field.size
        return np.concatenate(rows), np.concatenate(weights)
