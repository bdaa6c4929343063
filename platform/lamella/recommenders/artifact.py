"""The form in which a model serves: plain matrices, and the one formula that scores with them."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lamella.errors import ModelCorrupt
from lamella.experiments.model import Json
from lamella.recommenders.candidates import look_up
from lamella.recommenders.encoder import Encoder
from lamella.recommenders.layers import Picks, Tail, peak
from lamella.recommenders.onnx_network import OnnxNetwork
from lamella.recommenders.parts import Parts, arrays_of, parts_of
from lamella.recommenders.side import Placed, Side
from lamella.services.model_ports import NOBODY, Reader

COLD_QUANTILE: Final = 0.25
"""An item without evidence gets the item bias that this share of the items with evidence stays below."""

Floats = NDArray[np.float32]
_NOTHING: Final[Floats] = np.zeros(0, dtype=np.float32)
_LEAST_LOGIT, _MOST_LOGIT, _ONE = np.float32(-80), np.float32(80), np.float32(1)
_SMALL: Final = 1e30
"""Far from where float32 ends, so that no rounding matters to it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FactorModel:
    """A recommender as matrices: score(u, i) = sigmoid(intercept + b_u + b_i + p_u · q_i), the chance of a click.

    `user_vectors` (n, k), `user_bias` (n,), `item_vectors` (m, k), `item_bias` (m,), all float32; k may be 0. The
    chance is that of an item shown first; `rank_bias` (r,), 0 at the first rank, is what each later rank adds to the
    logit and is for evaluation only. An unknown user has a zero vector and bias, which makes it the average reader;
    an unknown item has a zero vector and `unknown_item_bias`.

    A `tail` adds what does not factorise to the logit of known items. An `encoder` gives p_u after the reads of the
    request, in place of the vector that was computed when the model was compiled. `side` places an unknown user by
    attributes. A `network` scores known users in place of the matrices, which then are for unknown ones. `item_idf`
    (m,), or empty, is log(all positives / those of the item): see `damped`.
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
    tail: Tail | None = None
    encoder: Encoder | None = None
    side: Side | None = None
    network: OnnxNetwork | None = None
    item_idf: Floats = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    user_rows: Mapping[str, int] = field(init=False, repr=False)
    item_rows: Mapping[str, int] = field(init=False, repr=False)
    all_rows: NDArray[np.int64] = field(init=False, repr=False)
    _base: Floats = field(init=False, repr=False)
    _origin: Floats = field(init=False, repr=False)
    _picks: Picks = field(init=False, repr=False)
    _has_tastes: bool = field(init=False, repr=False)
    _is_small: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "user_rows", {key: row for row, key in enumerate(self.user_ids)})
        object.__setattr__(self, "item_rows", {key: row for row, key in enumerate(self.item_ids)})
        object.__setattr__(self, "all_rows", np.arange(len(self.item_ids), dtype=np.int64))
        with np.errstate(over="ignore", invalid="ignore"):
            object.__setattr__(self, "_base", self.item_bias + np.float32(self.intercept))
            object.__setattr__(self, "_has_tastes", peak(self.user_vectors) != 0)
            object.__setattr__(self, "_is_small", self.network is None and self._bound() < _SMALL)
        object.__setattr__(self, "_origin", np.zeros(self.item_vectors.shape[1:], dtype=np.float32))
        object.__setattr__(self, "_picks", Picks(self.item_vectors))

    def _bound(self) -> float:
        """What no logit is beyond, nor a number on the way to it, for anybody who has a row or is a stranger."""
        vectors = self.item_vectors.shape[-1] * peak(self.item_vectors) * peak(self.user_vectors)
        biases = peak(self.item_bias) + abs(self.unknown_item_bias) + abs(self.intercept) + peak(self.user_bias)
        return float(vectors + biases) + (self.tail.bound() if self.tail is not None else 0.0)

    @property
    def reads_history(self) -> bool:
        """Whether what a user has read changes the scores."""
        return self.encoder is not None

    def signature(self) -> dict[str, Json]:
        """What it takes and gives, and how large it is, for people and clients."""
        return {
            "inputs": {"user": "key", "items": "keys", "history": self.reads_history, "attributes": bool(self.side)},
            "output": "chance of a click at the first rank, 0..1",
            "runtime": "onnx" if self.network is not None else "matrices",
            "users": len(self.user_ids),
            "items": len(self.item_ids),
            "vector_size": int(self.item_vectors.shape[-1]),
            "dense_layers": len(self.tail.layers) if self.tail is not None else 0,
        }

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
        if self.item_idf.shape not in ((0,), (m,)) or not np.isfinite(self.item_idf).all():
            found.append(f"item_idf has shape {self.item_idf.shape}, not {(m,)}, or is not finite")
        found += self.tail.faults(n, m) if self.tail else []
        found += self.encoder.faults(k) if self.encoder else []
        found += self.network.faults(n, m) if self.network else []
        return found + (self.side.faults() if self.side else [])

    def _keyed(self) -> list[tuple[str, Mapping[str, int], int]]:
        return [
            ("user_ids", self.user_rows, len(self.user_ids)),
            ("item_ids", self.item_rows, len(self.item_ids)),
        ]

    def place(self, user: str, reader: Reader = NOBODY) -> Placed:
        """Where `user` stands: after the reads of `reader`, else by the row, else by attributes, else the stranger."""
        row = self.user_rows.get(user)
        if self.encoder is not None and reader.history:
            rows = self.rows_of(reader.history)
            read = self.item_vectors[rows[rows >= 0]]
            read = read[read.any(axis=1)]
            if len(read):
                bias = 0.0 if row is None else float(self.user_bias[row])
                return Placed(self.encoder.encode(read), _NOTHING, bias)
        if row is not None:
            hidden = self.tail.user_hidden[row] if self.tail else _NOTHING
            vector = self.user_vectors[row] if self._has_tastes else self._origin
            return Placed(vector, hidden, float(self.user_bias[row]))
        if self.side is not None and reader.attributes:
            return self.side.place(reader.attributes)
        return Placed(self._origin, self.tail.stranger if self.tail else _NOTHING, 0.0)

    def is_bounded(self, user: str, reader: Reader = NOBODY) -> bool:
        """Whether the matrices are such that no logit for `user` can be NaN or infinite, so that nobody need look."""
        if not self._is_small or (self.encoder is not None and reader.history):
            return False
        return self.side is None or not reader.attributes or user in self.user_rows

    def logits(self, user: str, reader: Reader = NOBODY) -> Floats:
        """The logit of every item for `user`: (m,) float32."""
        if self.network is not None and user in self.user_rows:
            return self.network.logits(self.user_rows[user], self.all_rows)
        return self._logits(self.place(user, reader), None)

    def logits_of(self, user: str, items: Sequence[str], reader: Reader = NOBODY) -> Floats:
        """The logit of each of `items`, known or not, for `user`: (len(items),) float32."""
        return self.logits_at(user, self.rows_of(items), reader)

    def logits_at(
        self, user: str, rows: NDArray[np.int64], reader: Reader = NOBODY, *, are_known: bool = False
    ) -> Floats:
        """The logit of the items in `rows`, -1 for one that is unknown, for `user`: (len(rows),) float32.

        `are_known` says that there is no -1 among them; otherwise they are looked at.
        """
        if self.network is not None and user in self.user_rows:
            return self._network_logits(self.network, self.user_rows[user], rows)
        placed = self.place(user, reader)
        if are_known:
            return self._logits(placed, rows)
        is_known = rows >= 0
        if is_known.all():
            return self._logits(placed, rows)
        logits = np.full(len(rows), self.unknown_item_bias + self.intercept + placed.bias, dtype=np.float32)
        logits[is_known] = self._logits(placed, rows[is_known])
        return logits

    def _network_logits(self, network: OnnxNetwork, user: int, rows: NDArray[np.int64]) -> Floats:
        logits = np.full(len(rows), self.unknown_item_bias + self.intercept, dtype=np.float32)
        is_known = rows >= 0
        logits[is_known] = network.logits(user, rows[is_known])
        return logits

    def pair_logits(self, users: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.float64]:
        """The logit of each pair of rows, -1 where unknown: (len(users),) float64."""
        is_user, is_item = users >= 0, items >= 0
        logits = np.full(len(users), self.intercept, dtype=np.float64)
        logits[is_item] += self.item_bias[items[is_item]]
        logits[~is_item] += self.unknown_item_bias
        logits[is_user] += self.user_bias[users[is_user]]
        is_known = is_user & is_item
        pairs = self.user_vectors[users[is_known]], self.item_vectors[items[is_known]]
        if self.item_vectors.shape[1]:
            logits[is_known] += np.einsum("nk,nk->n", *pairs)
        if self.tail is not None:
            logits[is_item] += self.tail.pair_logits(users[is_item], items[is_item])
        return logits

    def _logits(self, placed: Placed, rows: NDArray[np.int64] | None) -> Floats:
        """The logits of the items at `rows`, None for all of them, for somebody who stands there."""
        if placed.bias:
            constant = np.float32(self.intercept + placed.bias)
            biases = (self.item_bias if rows is None else self.item_bias[rows]) + constant
        else:
            biases = self._base if rows is None else self._base[rows]
        if placed.vector is not self._origin and self.item_vectors.shape[1]:
            scored: Floats = (self.item_vectors if rows is None else self._picks.at(rows)) @ placed.vector
            scored += biases
        else:
            scored = biases.copy() if biases is self._base else biases
        if self.tail is not None:
            scored += self.tail.logits(placed.hidden, rows)
        return scored

    def damped(self, logits: Floats, rows: NDArray[np.int64] | slice, damping: float) -> Floats:
        """`logits` of the items at `rows` plus damping · idf, against the Matthew effect.

        An item's idf is log((1 + positives of all items) / (1 + its own)) less the mean over items, from the training
        part: at damping 1 a score's odds are divided by the item's share of the attention. 0 changes nothing.
        """
        if not damping or not len(self.item_idf):
            return logits
        return logits + np.float32(damping) * self.item_idf[rows]

    def score(self, user: str, items: Sequence[str], reader: Reader = NOBODY) -> Floats:
        """The chance that `user` clicks each of `items` where it is shown first: (len(items),) float32, 0..1."""
        return sigmoid(self.logits_of(user, items, reader))

    def rows_of(self, items: Sequence[str]) -> NDArray[np.int64]:
        """The row of each item, -1 for an unknown one: (len(items),)."""
        return look_up(items, self.item_rows)


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-x)) without overflow: float32, 0..1."""
    bounded = np.minimum(np.maximum(logits, _LEAST_LOGIT), _MOST_LOGIT)
    shares: Floats = (_ONE / (_ONE + np.exp(-bounded))).astype(np.float32, copy=False)
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
    item_idf: Floats | None = None,
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
        item_idf=np.zeros(0, dtype=np.float32) if item_idf is None else item_idf,
    )


def pack(model: FactorModel) -> bytes:
    """The model as an .npz file that holds no pickle; the same model gives the same bytes."""
    buffer = io.BytesIO()
    user_text, user_ends = _join(model.user_ids)
    item_text, item_ends = _join(model.item_ids)
    parts = Parts(model.tail, model.encoder, model.side, model.item_idf, model.network)
    np.savez(
        buffer,
        allow_pickle=False,
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
        **arrays_of(parts),
    )
    return buffer.getvalue()


def unpack(packed: bytes, *, source: str) -> FactorModel:
    """The model that `pack` wrote; `source` names it in errors.

    Raises ModelCorrupt if the file is truncated, lacks an array, or its matrices do not fit each other.
    """
    try:
        with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
            intercept, unknown = (float(each) for each in arrays["scalars"])
            parts = parts_of(arrays)
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
                tail=parts.tail,
                encoder=parts.encoder,
                side=parts.side,
                network=parts.network,
                item_idf=parts.item_idf,
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
    places = map(slice, [0, *stops], stops)
    if joined.isascii():
        # A byte is a character then, and a text is cut faster than each part is decoded.
        return tuple(map(joined.decode().__getitem__, places))
    return tuple(joined[place].decode() for place in places)
