"""EASE, the linear item-to-item model that any recommender should be measured against."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lamella.recommenders.dataset import Dataset
from lamella.recommenders.ranking import Scores

MOST_ITEMS: Final = 4_000
REG: Final = 300.0


def ease_scores(dataset: Dataset, *, reg: float = REG, most_items: int = MOST_ITEMS) -> Scores:
    """The scores x_u · B, with x_u what the user liked before the held-out part.

    B minimises |X - XB|² + reg |B|² with a zero diagonal: with P = (XᵀX + reg I)⁻¹, B = I - P / diag(P). Over the
    `most_items` most liked items, as P costs their number cubed; the others score below all. Source: Steck (2019).
    """
    parts = dataset.training, dataset.validation
    user, item = (np.concatenate([getattr(part, name) for part in parts]) for name in ("user", "item"))
    is_liked = np.concatenate([dataset.is_liked(part) for part in parts])
    user, item = user[is_liked], item[is_liked]
    counts = np.bincount(item, minlength=len(dataset.items))
    kept = np.sort(np.argsort(-counts, kind="stable")[:most_items])
    column = np.full(len(dataset.items), -1, dtype=np.int64)
    column[kept] = np.arange(len(kept))
    order = np.argsort(user, kind="stable")
    likes = column[item[order]]
    ends = np.cumsum(np.bincount(user, minlength=len(dataset.users)))
    weights = _weights(likes, ends, len(kept), reg)

    def scores(row: int) -> NDArray[np.floating]:
        mine = likes[(ends[row - 1] if row else 0) : ends[row]]
        found = np.full(len(dataset.items), -np.inf)
        found[kept] = weights[np.unique(mine[mine >= 0])].sum(axis=0)
        return found

    return scores


def _weights(likes: NDArray[np.int64], ends: NDArray[np.int64], items: int, reg: float) -> NDArray[np.float64]:
    gram = np.zeros((items, items))
    start = 0
    for end in ends.tolist():
        mine = np.unique(likes[start:end])
        mine = mine[mine >= 0]
        gram[np.ix_(mine, mine)] += 1
        start = end
    inverse = np.linalg.inv(gram + reg * np.eye(items))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return weights
