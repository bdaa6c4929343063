"""From the parts of a network to the matrices that serve, around a stated stranger."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lamella.recommenders.artifact import COLD_QUANTILE, FactorModel
from lamella.recommenders.dataset import Dataset
from lamella.recommenders.encoder import Encoder
from lamella.recommenders.layers import Floats, Layer, Tail
from lamella.recommenders.side import Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Entities:
    """Users or items as a network places them: `vectors` (n, k), `hidden` (n, h), `bias` (n,); k or h may be 0."""

    vectors: Floats
    hidden: Floats
    bias: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranger:
    """Where the network places a user of whom it knows nothing."""

    vector: Floats
    hidden: Floats
    bias: float


def assembled(
    dataset: Dataset,
    users: Entities,
    items: Entities,
    *,
    stranger: Stranger,
    is_active: NDArray[np.bool_],
    has_evidence: NDArray[np.bool_],
    rank_bias: Floats,
    layers: tuple[Layer, ...] = (),
    encoder: Encoder | None = None,
    side: Side | None = None,
) -> FactorModel:
    """The same scores in a form where zero is the stranger and 0 the bias of the first rank.

    The stranger's vector moves into the item biases, the stranger's bias and the first rank's into the intercept.
    Where there are `layers`, they are a tail over the hidden parts. An item without evidence has a zero vector, the
    items' mean hidden part, and a bias that gives it, for the stranger, the COLD_QUANTILE of the items with evidence.
    """
    q = np.where(has_evidence[:, None], items.vectors, 0.0).astype(np.float64)
    bias = items.bias.astype(np.float64) + q @ stranger.vector.astype(np.float64)
    tail, added, kept = None, np.zeros(len(bias)), has_evidence[:, None]
    if layers:
        hidden = np.where(kept, items.hidden, items.hidden[has_evidence].mean(axis=0))
        tail = Tail(
            user_hidden=users.hidden[is_active].astype(np.float32),
            item_hidden=hidden.astype(np.float32),
            stranger=stranger.hidden.astype(np.float32),
            layers=layers,
        )
        added = tail.logits(tail.stranger, None).astype(np.float64)
    cold = float(np.quantile((bias + added)[has_evidence], COLD_QUANTILE))
    return FactorModel(
        user_ids=tuple(dataset.users[row] for row in np.flatnonzero(is_active).tolist()),
        user_vectors=(users.vectors[is_active] - stranger.vector).astype(np.float32),
        user_bias=(users.bias[is_active] - stranger.bias).astype(np.float32),
        item_ids=dataset.items,
        item_vectors=q.astype(np.float32),
        item_bias=np.where(has_evidence, bias, cold - added).astype(np.float32),
        intercept=stranger.bias + float(rank_bias[0]),
        unknown_item_bias=cold,
        rank_bias=(rank_bias - rank_bias[0]).astype(np.float32),
        tail=tail,
        encoder=encoder,
        side=side,
        item_idf=dataset.item_idf,
    )


def mean_stranger(users: Entities, is_active: NDArray[np.bool_]) -> Stranger:
    """The mean of the active users, part by part."""
    return Stranger(
        vector=users.vectors[is_active].mean(axis=0),
        hidden=users.hidden[is_active].mean(axis=0),
        bias=float(users.bias[is_active].mean()),
    )


def nothing(rows: int) -> Floats:
    """A matrix of `rows` empty rows."""
    return np.zeros((rows, 0), dtype=np.float32)
