"""The check that the serving matrices say what the network says."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lamella.recommenders.artifact import FactorModel
from lamella.recommenders.dataset import Dataset

PROBE_SIZE: Final = 256


def probe_pairs(dataset: Dataset, rng: np.random.Generator) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Users and items, as rows of the dataset's tables, of a probe batch drawn from the training impressions."""
    rows = rng.integers(0, len(dataset.training), PROBE_SIZE)
    return dataset.training.user[rows], dataset.training.item[rows]


def probe_error(
    factors: FactorModel,
    dataset: Dataset,
    users: NDArray[np.int32],
    items: NDArray[np.int32],
    chances: NDArray[np.float32],
) -> float:
    """The greatest difference between `chances`, the network's at the first rank, and the score of the matrices."""
    served = [
        factors.score(dataset.users[user], [dataset.items[item]])[0] for user, item in zip(users, items, strict=True)
    ]
    return float(np.abs(np.asarray(served, dtype=np.float64) - np.ravel(chances)).max())
