"""Re-ranking for variety: maximal marginal relevance over item vectors."""

import numpy as np
from numpy.typing import NDArray


def maximal_marginal_relevance(
    relevance: NDArray[np.float32], vectors: NDArray[np.float32], *, diversity: float, count: int
) -> NDArray[np.int64]:
    """The rows of the `count` items that are relevant and unlike each other, in the order of their choice.

    `relevance`: (n,) finite, any scale, stretched to 0..1 here. `vectors`: (n, k); likeness is their cosine, 0 with a
    zero vector. Each step takes the row with the greatest (1 - diversity) · relevance - diversity · (likeness to the
    most alike row chosen so far); of equal ones the first. `diversity` 0 is the order of relevance, 1 ignores it after
    the first. Source: Carbonell and Goldstein (1998).
    """
    n = len(relevance)
    count = min(count, n)
    spread = float(np.ptp(relevance)) if n else 0.0
    worth = (relevance - relevance.min()) / spread if spread > 0 else np.zeros(n)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    directions = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    likeness = np.zeros(n)
    is_free = np.ones(n, dtype=bool)
    chosen = np.empty(count, dtype=np.int64)
    for place in range(count):
        weight = diversity if place else 0.0
        margin = np.where(is_free, (1 - weight) * worth - weight * likeness, -np.inf)
        best = int(margin.argmax())
        chosen[place], is_free[best] = best, False
        alike = directions @ directions[best]
        likeness = np.maximum(likeness, alike) if place else alike
    return chosen
