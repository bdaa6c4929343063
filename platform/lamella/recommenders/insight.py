"""What the matrices of a model look like: clusters of its items, a plane to draw them on, their neighbours, its biases.

Pure numpy over the serving form. Everything is worked out in the order of the keys, so that the order of a model's
rows changes nothing, and what is drawn depends on the seed alone.
"""

from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lamella.recommenders.artifact import FactorModel

MOST_LEARNED: Final = 5_000
"""k-means learns its centres from at most so many items, drawn with the seed; then every item goes to its nearest."""

STARTS: Final = 4
"""So many times k-means begins anew; the tightest result stays."""

_MOST_ROUNDS: Final = 60
_BLOCK: Final = 8_192

Doubles: TypeAlias = NDArray[np.float64]
Whole: TypeAlias = NDArray[np.int64]


class Clusters(NamedTuple):
    """`labels` (n,) says which of `centres` (c, k) each row is nearest to, `distances` (n,) how far it is from it.

    The largest cluster is 0. `inertia` is the sum of the squared distances.
    """

    labels: Whole
    centres: Doubles
    distances: Doubles
    inertia: float


class Plane(NamedTuple):
    """`points` (n, 2) on the first two principal axes (2, k), and the share of the variance that each axis shows."""

    points: Doubles
    axes: Doubles
    shares: tuple[float, float]


class Space(NamedTuple):
    """The items that have a place among the latent factors: their `keys` in order, and `vectors` (n, k).

    `name` says what the vectors are: `item_vectors`, or `first_layer` where the model has only a network's first
    dense layer, or nothing.
    """

    name: str | None
    keys: tuple[str, ...]
    vectors: NDArray[np.float32]


def item_space(model: FactorModel) -> Space:
    """The latent factors of the items by key, without those whose vector is zero: nothing is known of them."""
    vectors, name = model.item_vectors, "item_vectors"
    if not vectors.shape[1] and model.tail is not None:
        vectors, name = model.tail.item_hidden, "first_layer"
    if not vectors.shape[1]:
        return Space(None, (), np.zeros((0, 0), dtype=np.float32))
    rows = sorted(np.flatnonzero(vectors.any(axis=1)).tolist(), key=model.item_ids.__getitem__)
    return Space(name, tuple(model.item_ids[row] for row in rows), vectors[rows])


def has_evidence(model: FactorModel) -> NDArray[np.bool_]:
    """Which items the model has learned something of: (m,). The others share `unknown_item_bias` and a zero vector."""
    is_placed = model.item_vectors.any(axis=1)
    known: NDArray[np.bool_] = is_placed | (model.item_bias != np.float32(model.unknown_item_bias))
    return known


def principal_plane(vectors: NDArray[np.floating]) -> Plane:
    """The rows on their first two principal axes, by the singular values of their covariance.

    The largest part of each axis is positive, so that the picture does not flip. Where there are fewer than two
    numbers a row, or nothing varies, the axis is zero and shows a share of 0.
    """
    n, k = vectors.shape
    axes, shares = np.zeros((2, k)), np.zeros(2)
    centred = vectors.astype(np.float64) - (vectors.mean(axis=0, dtype=np.float64) if n else 0.0)
    variance = float((centred**2).sum())
    if n > 1 and variance > 0:
        _, spread, directions = np.linalg.svd(centred.T @ centred)
        count = min(2, k)
        shares[:count] = spread[:count] / spread.sum()
        for axis in range(count):
            direction = directions[axis]
            axes[axis] = direction * (np.sign(direction[np.abs(direction).argmax()]) if shares[axis] > 0 else 0.0)
    return Plane(centred @ axes.T, axes, (float(shares[0]), float(shares[1])))


def cluster(vectors: NDArray[np.floating], count: int, seed: int) -> Clusters:
    """`count` clusters by k-means, begun by k-means++ (Arthur & Vassilvitskii 2007), refined by Lloyd's rounds.

    Fewer where there are fewer different rows; none where there are no rows.
    """
    rng = np.random.default_rng(seed)
    n = len(vectors)
    if not n:
        return Clusters(np.zeros(0, dtype=np.int64), np.zeros((0, vectors.shape[1])), np.zeros(0), 0.0)
    learned = vectors
    if n > MOST_LEARNED:
        learned = vectors[np.sort(rng.choice(n, MOST_LEARNED, replace=False))]
    rows = learned.astype(np.float64)
    best, least = _first_centres(rows, count, rng), np.inf
    for start in range(STARTS):
        centres = _lloyd(rows, best if start == 0 else _first_centres(rows, count, rng))
        inertia = float(_nearest_centre(rows, centres)[1].sum())
        if inertia < least * (1 - 1e-12):
            best, least = centres, inertia
    labels, squares = _nearest_centre(vectors, best)
    sizes = np.bincount(labels, minlength=len(best))
    order = np.argsort(-sizes, kind="stable")
    order = order[sizes[order] > 0]
    renamed = np.zeros(len(best), dtype=np.int64)
    renamed[order] = np.arange(len(order))
    return Clusters(renamed[labels], best[order], np.sqrt(squares), float(squares.sum()))


def neighbours(space: Space, item: str, count: int) -> list[tuple[str, float]]:
    """The `count` items whose vectors point most in the direction of `item`'s, with their cosines, best first.

    `item` itself is not among them; of equal ones the smaller key goes first. Raises KeyError where it has no place.
    """
    if item not in space.keys:
        raise KeyError(item)
    norms = np.linalg.norm(space.vectors, axis=1)
    row = space.keys.index(item)
    cosines = (space.vectors @ space.vectors[row]).astype(np.float64) / (norms * norms[row])
    cosines[row] = -np.inf
    count = min(count, len(space.keys) - 1)
    # The keys are in order, so a stable sort puts the smaller key first among equals.
    best = np.argsort(-cosines, kind="stable")[:count].tolist()
    return [(space.keys[each], min(1.0, max(-1.0, float(cosines[each])))) for each in best]


def sample(count: int, most: int, seed: int) -> Whole:
    """At most `most` of the places 0..count-1, in order, drawn without replacement by the seed."""
    if count <= most:
        return np.arange(count, dtype=np.int64)
    drawn: Whole = np.sort(np.random.default_rng(seed).choice(count, most, replace=False)).astype(np.int64)
    return drawn


def _first_centres(rows: Doubles, count: int, rng: np.random.Generator) -> Doubles:
    """Rows that lie apart: each drawn by its squared distance to those before it."""
    chosen = [rows[int(rng.integers(len(rows)))]]
    squares = ((rows - chosen[0]) ** 2).sum(axis=1)
    while len(chosen) < count and squares.sum() > 0:
        steps = squares.cumsum()
        row = min(int(np.searchsorted(steps, rng.random() * steps[-1], side="right")), len(rows) - 1)
        chosen.append(rows[row])
        squares = np.minimum(squares, ((rows - rows[row]) ** 2).sum(axis=1))
    return np.array(chosen)


def _lloyd(rows: Doubles, centres: Doubles) -> Doubles:
    """The centres once no row changes its own any more, or after many rounds.

    A centre that lost all its rows takes the row that is farthest from its own.
    """
    labels = np.full(len(rows), -1, dtype=np.int64)
    for _ in range(_MOST_ROUNDS):
        found = ((centres**2).sum(axis=1) - 2 * rows @ centres.T).argmin(axis=1)
        if (found == labels).all():
            break
        labels = found
        is_own = (labels == np.arange(len(centres))[:, None]).astype(np.float64)
        sizes = is_own.sum(axis=1)
        centres = np.where(sizes[:, None] > 0, is_own @ rows / np.maximum(sizes, 1)[:, None], centres)
        for empty in np.flatnonzero(sizes == 0):
            farthest = int(((rows - centres[labels]) ** 2).sum(axis=1).argmax())
            centres[empty], labels[farthest] = rows[farthest], empty
    return centres


def _nearest_centre(vectors: NDArray[np.floating], centres: Doubles) -> tuple[Whole, Doubles]:
    """The nearest centre of each row, the first among equals, and the squared distance to it; in blocks."""
    labels, squares = np.empty(len(vectors), dtype=np.int64), np.empty(len(vectors))
    for start in range(0, len(vectors), _BLOCK):
        block = vectors[start : start + _BLOCK].astype(np.float64)
        products = (block**2).sum(axis=1)[:, None] - 2 * block @ centres.T + (centres**2).sum(axis=1)
        nearest = products.argmin(axis=1)
        labels[start : start + _BLOCK] = nearest
        squares[start : start + _BLOCK] = ((block - centres[nearest]) ** 2).sum(axis=1)
    return labels, squares
