"""Putting a slate together place by place: relevance, variety, and a known dose of chance."""

import hashlib
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
_SEED_BYTES: Final = 16


class Composed(NamedTuple):
    """The rows that were chosen, in their order, and the chance that each had of being chosen for its place."""

    rows: NDArray[np.int64]
    propensities: Doubles


class Chance(NamedTuple):
    """How a place is filled at random, if it is: see `compose`."""

    epsilon: float = 0.0
    temperature: float = 0.0


NO_CHANCE: Final = Chance()


def compose(
    relevance: NDArray[np.float32],
    vectors: NDArray[np.float32],
    *,
    diversity: float,
    count: int,
    chance: Chance = NO_CHANCE,
    rng: np.random.Generator | None = None,
) -> Composed:
    """The rows of `count` items that are relevant and unlike each other, chosen place by place.

    `relevance`: (n,) finite, any scale, stretched to 0..1 here. `vectors`: (n, k); likeness is their cosine, 0 with a
    zero vector. A row's worth for a place is (1 - diversity) · relevance - diversity · (likeness to the most alike row
    chosen so far), for the first place its relevance; the worthiest is chosen, of equal ones the first. `diversity` 0
    is the order of relevance. Source: Carbonell and Goldstein (1998).

    With a `chance`, each place is drawn by `rng` among the m rows that are left: with `temperature` T > 0 in
    proportion to exp(worth / T) (Plackett 1975), else the worthiest; and with the chance `epsilon` uniformly instead.
    The propensity of a choice is its chance given the places before: epsilon / m + (1 - epsilon) times its share of
    the softmax, or times 1 for the worthiest.
    """
    n = len(relevance)
    count = min(count, n)
    worth = _stretched(relevance)
    directions = _directions(vectors) if diversity else vectors
    likeness = np.zeros(n)
    is_free = np.ones(n, dtype=bool)
    chosen, propensities = np.empty(count, dtype=np.int64), np.ones(count)
    for place in range(count):
        weight = diversity if place else 0.0
        margin = np.where(is_free, (1 - weight) * worth - weight * likeness, -np.inf)
        best = int(margin.argmax())
        if rng is not None and chance != NO_CHANCE:
            best, propensities[place] = _draw(margin, best, is_free, chance, rng)
        chosen[place], is_free[best] = best, False
        if diversity:
            alike = directions @ directions[best]
            likeness = np.maximum(likeness, alike) if place else alike
    return Composed(chosen, propensities)


def generator_of(seed: str) -> np.random.Generator:
    """A generator whose numbers depend on the text `seed` alone."""
    digest = hashlib.blake2b(seed.encode(), digest_size=_SEED_BYTES).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def _draw(
    margin: Doubles, best: int, is_free: NDArray[np.bool_], chance: Chance, rng: np.random.Generator
) -> tuple[int, float]:
    """The row for one place, and the chance that it had."""
    shares = _softmax(margin, chance.temperature) if chance.temperature else _only(best, len(margin))
    shares = (1 - chance.epsilon) * shares + chance.epsilon * is_free / is_free.sum()
    steps = shares.cumsum()
    row = int(np.searchsorted(steps, rng.random() * steps[-1], side="right"))
    return row, float(shares[row])


def _softmax(margin: Doubles, temperature: float) -> Doubles:
    weights = np.exp((margin - margin.max()) / temperature)
    shares: Doubles = weights / weights.sum()
    return shares


def _only(row: int, length: int) -> Doubles:
    shares = np.zeros(length)
    shares[row] = 1.0
    return shares


def _stretched(relevance: NDArray[np.float32]) -> Doubles:
    spread = float(np.ptp(relevance)) if len(relevance) else 0.0
    if spread <= 0:
        return np.zeros(len(relevance))
    stretched: Doubles = (relevance - relevance.min()).astype(np.float64) / spread
    return stretched


def _directions(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    directions: NDArray[np.float32] = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    return directions
