"""The form in which a model serves: plain matrices, and the one formula that scores with them."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lamella.errors import ModelCorrupt
from lamella.recommenders.candidates import look_up

COLD_QUANTILE: Final = 0.25
"""An item without evidence gets the item bias that this share of the items with evidence stays below."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FactorModel:
    """A recommender as matrices: score(u, i) = sigmoid(intercept + b_u + b_i + p_u · q_i), the chance of a click.

    `user_vectors` (n, k), `user_bias` (n,), `item_vectors` (m, k), `item_bias` (m,), all float32; k may be 0. The
    chance is that of an item shown first; `rank_bias` (r,), 0 at the first rank, is what each later rank adds to the
    logit and is for evaluation only. An unknown user has a zero vector and bias, which makes it the average reader;
    an unknown item has a zero vector and `unknown_item_bias`.
    """

    user_ids: tuple[str, ...]
    user_vectors: Floats
    user_bias: Floats
    item_ids: tuple[str, ...]
    item_vectors: Floats
    item_bias: Floats
    intercept: float
    unknown_item_bias: float
    rank_bias: Floats
    user_rows: Mapping[str, int] = field(init=False, repr=False)
    item_rows: Mapping[str, int] = field(init=False, repr=False)
    all_rows: NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "user_rows", {key: row for row, key in enumerate(self.user_ids)})
        object.__setattr__(self, "item_rows", {key: row for row, key in enumerate(self.item_ids)})
        object.__setattr__(self, "all_rows", np.arange(len(self.item_ids), dtype=np.int64))

    @property
    def reads_history(self) -> bool:
        """Whether what a user has read changes the scores."""
        return False

    def faults(self) -> list[str]:
        """What makes these matrices unusable, a sentence for each; empty where they can serve."""
        n, m, k = len(self.user_ids), len(self.item_ids), self.item_vectors.shape[-1]
        wanted = {"user_vectors": (n, k), "user_bias": (n,), "item_vectors": (m, k), "item_bias": (m,)}
        found = [
            f"{name} has shape {getattr(self, name).shape}, not {shape}"
            for name, shape in wanted.items()
            if getattr(self, name).shape != shape
        ]
        found += [
            f"{name} holds NaN or infinity"
            for name in (*wanted, "rank_bias", "intercept", "unknown_item_bias")
            if not np.isfinite(getattr(self, name)).all()
        ]
        found += [f"{name} holds a key twice" for name, rows, count in self._keyed() if len(rows) != count]
        return found

    def _keyed(self) -> list[tuple[str, Mapping[str, int], int]]:
        return [
            ("user_ids", self.user_rows, len(self.user_ids)),
            ("item_ids", self.item_rows, len(self.item_ids)),
        ]

    def logits(self, user: str) -> Floats:
        """The logit of every item for `user`: (m,) float32."""
        row = self.user_rows.get(user)
        if row is None:
            return self.item_bias + np.float32(self.intercept)
        offset = np.float32(self.intercept + float(self.user_bias[row]))
        scored: Floats = self.item_vectors @ self.user_vectors[row] + self.item_bias + offset
        return scored

    def logits_of(self, user: str, items: Sequence[str]) -> Floats:
        """The logit of each of `items`, known or not, for `user`: (len(items),) float32."""
        return self.logits_at(user, self.rows_of(items))

    def logits_at(self, user: str, rows: NDArray[np.int64]) -> Floats:
        """The logit of the items in `rows`, -1 for one that is unknown, for `user`: (len(rows),) float32."""
        logits = self.item_bias[rows]
        row = self.user_rows.get(user)
        offset = np.float32(self.intercept)
        if row is not None:
            logits += self.item_vectors[rows] @ self.user_vectors[row]
            offset = np.float32(self.intercept + float(self.user_bias[row]))
        if rows.size and rows.min() < 0:
            logits[rows < 0] = self.unknown_item_bias
        scored: Floats = logits + offset
        return scored

    def score(self, user: str, items: Sequence[str]) -> Floats:
        """The chance that `user` clicks each of `items` where it is shown first: (len(items),) float32, 0..1."""
        return sigmoid(self.logits_of(user, items))

    def rows_of(self, items: Sequence[str]) -> NDArray[np.int64]:
        """The row of each item, -1 for an unknown one: (len(items),)."""
        return look_up(items, self.item_rows)


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-x)) without overflow: float32, 0..1."""
    bounded = np.clip(logits, -80.0, 80.0)
    shares: Floats = (1.0 / (1.0 + np.exp(-bounded))).astype(np.float32)
    return shares


def centred(
    *,
    users: tuple[str, ...],
    user_vectors: Floats,
    user_bias: Floats,
    is_active: NDArray[np.bool_],
    items: tuple[str, ...],
    item_vectors: Floats,
    item_bias: Floats,
    has_evidence: NDArray[np.bool_],
    rank_bias: Floats,
) -> FactorModel:
    """The same scores in a form where zero is the average reader and 0 the bias of the first rank.

    Only users with `is_active` are kept: the others are unknown. The mean user vector moves into the item biases, the
    mean user bias and the first rank's bias into the intercept. An item without evidence gets a zero vector and the
    COLD_QUANTILE of the biases of items with evidence.
    """
    p, b_u = user_vectors[is_active].astype(np.float64), user_bias[is_active].astype(np.float64)
    q = np.where(has_evidence[:, None], item_vectors, 0.0).astype(np.float64)
    average = p.mean(axis=0) if len(p) else np.zeros(p.shape[1])
    intercept = (float(b_u.mean()) if len(b_u) else 0.0) + float(rank_bias[0])
    b_i = item_bias.astype(np.float64) + q @ average
    cold = float(np.quantile(b_i[has_evidence], COLD_QUANTILE))
    return FactorModel(
        user_ids=tuple(user for user, is_kept in zip(users, is_active, strict=True) if is_kept),
        user_vectors=(p - average).astype(np.float32),
        user_bias=(b_u - (b_u.mean() if len(b_u) else 0.0)).astype(np.float32),
        item_ids=items,
        item_vectors=q.astype(np.float32),
        item_bias=np.where(has_evidence, b_i, cold).astype(np.float32),
        intercept=intercept,
        unknown_item_bias=cold,
        rank_bias=(rank_bias - rank_bias[0]).astype(np.float32),
    )


def pack(model: FactorModel) -> bytes:
    """The model as an .npz file that holds no pickle; the same model gives the same bytes."""
    buffer = io.BytesIO()
    user_text, user_ends = _join(model.user_ids)
    item_text, item_ends = _join(model.item_ids)
    np.savez(
        buffer,
        user_text=user_text,
        user_ends=user_ends,
        user_vectors=model.user_vectors,
        user_bias=model.user_bias,
        item_text=item_text,
        item_ends=item_ends,
        item_vectors=model.item_vectors,
        item_bias=model.item_bias,
        scalars=np.array([model.intercept, model.unknown_item_bias]),
        rank_bias=model.rank_bias,
    )
    return buffer.getvalue()


def unpack(packed: bytes, *, source: str) -> FactorModel:
    """The model that `pack` wrote; `source` names it in errors.

    Raises ModelCorrupt if the file is truncated, lacks an array, or its matrices do not fit each other.
    """
    try:
        with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
            intercept, unknown = (float(each) for each in arrays["scalars"])
            model = FactorModel(
                user_ids=_split(arrays["user_text"], arrays["user_ends"]),
                user_vectors=np.ascontiguousarray(arrays["user_vectors"], dtype=np.float32),
                user_bias=arrays["user_bias"].astype(np.float32),
                item_ids=_split(arrays["item_text"], arrays["item_ends"]),
                item_vectors=np.ascontiguousarray(arrays["item_vectors"], dtype=np.float32),
                item_bias=arrays["item_bias"].astype(np.float32),
                intercept=intercept,
                unknown_item_bias=unknown,
                rank_bias=arrays["rank_bias"].astype(np.float32),
            )
    except (ValueError, KeyError, OSError, EOFError, TypeError, IndexError, zipfile.BadZipFile) as error:
        raise ModelCorrupt(f"{source} is not a readable artifact ({error}); publish the model again") from error
    faults = model.faults()
    if faults:
        raise ModelCorrupt(f"{source}: {'; '.join(faults)}; publish the model again")
    return model


def _join(keys: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    encoded = [key.encode() for key in keys]
    ends = np.cumsum([len(each) for each in encoded], dtype=np.int64)
    return np.frombuffer(b"".join(encoded), dtype=np.uint8), ends


def _split(text: NDArray[np.uint8], ends: NDArray[np.int64]) -> tuple[str, ...]:
    joined, stops = text.tobytes(), ends.tolist()
    starts = [0, *stops][: len(stops)]
    return tuple(joined[start:stop].decode() for start, stop in zip(starts, stops, strict=True))
