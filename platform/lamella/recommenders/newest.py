"""Newest: items by their date of publication. It needs no click, so a new installation starts with it."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from lamella.recommenders.artifact import FactorModel
from lamella.recommenders.dataset import Dataset
from lamella.recommenders.hyperparameters import Hyperparameters
from lamella.recommenders.kind import Fitted, Kind, Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class NewestHyperparameters(Hyperparameters):
    """There are none."""


def fit(dataset: Dataset, chosen: NewestHyperparameters, seed: int, progress: Progress) -> Fitted:  # noqa: ARG001
    """The model that orders items newest first, the same for every user; those of one moment by key.

    Its scores, 1 / (1 + place) with the newest at place 1, only order the items: they are no click rates.
    """
    items = len(dataset.items)
    place = np.empty(items)
    place[np.lexsort((np.arange(items), -dataset.published))] = np.arange(1, items + 1)
    factors = FactorModel(
        user_ids=(),
        user_vectors=np.zeros((0, 0), dtype=np.float32),
        user_bias=np.zeros(0, dtype=np.float32),
        item_ids=dataset.items,
        item_vectors=np.zeros((items, 0), dtype=np.float32),
        item_bias=-np.log(place).astype(np.float32),
        intercept=0.0,
        unknown_item_bias=-float(np.log(items + 1)),
        rank_bias=np.zeros(1, dtype=np.float32),
    )
    progress(1.0, f"{items} items of the catalogue")
    return Fitted(factors=factors, files={}, probe_error=0.0)


KIND: Final = Kind(
    name="newest",
    summary="the catalogue, newest first; needs no click: what a new installation starts with",
    hyperparameters=NewestHyperparameters,
    fit=fit,
    needs_log=False,
)
