"""The factorisation machine over keys and attributes, in Keras."""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from lamella.recommenders.artifact import FactorModel
from lamella.recommenders.compiling import Entities, Stranger, assembled, nothing
from lamella.recommenders.dataset import MAX_RANK, Dataset
from lamella.recommenders.hyperparameters import NetworkHyperparameters, number
from lamella.recommenders.keras_runtime import Embedding, Runtime, Tensor, embedding, start, values
from lamella.recommenders.kind import Fitted, Kind, Progress, Weights
from lamella.recommenders.layers import Floats
from lamella.recommenders.priors import priors_of
from lamella.recommenders.side import Side
from lamella.recommenders.side_network import EntryInputs, TableSet, by_name, entry_inputs, tables, weighted
from lamella.recommenders.sided import Entry, SidedNetworks, Sides, fitted_sides, learn_sides, sides_of


@dataclass(frozen=True, slots=True, kw_only=True)
class FmHyperparameters(NetworkHyperparameters):
    """See `lamella.recommenders.hyperparameters`; every key and every value of a field has a vector and a weight."""

    reg: float = number(3.0, 0.0, 1e6)


class _Half(NamedTuple):
    """One side: vectors and first-order weights."""

    vectors: TableSet
    linear: TableSet


class _Built(NamedTuple):
    networks: SidedNetworks
    users: _Half
    items: _Half
    rank_bias: Embedding


def fit(dataset: Dataset, chosen: FmHyperparameters, seed: int, progress: Progress) -> Fitted:
    """The machine that minimises log loss on the training part, stopped early on the validation part.

    logit = c_rank + Σ w_j x_j + ½ (|Σ v_j x_j|² - Σ |v_j x_j|²), over keys and attribute values of user and item:
    all pairs at the cost of one sum. Source: Rendle (2010), Lemma 3.1. The weights of keys start from click counts.
    """
    progress(0.0, "starting TensorFlow")
    runtime, priors, sides = start(seed), priors_of(dataset), sides_of(dataset)
    built, rng = _build(runtime, sides, chosen), np.random.default_rng(seed)
    built.rank_bias.embeddings.assign(priors.rank_bias[:, None])
    built.items.linear.key.embeddings.assign(np.concatenate([[0.0], priors.item_bias])[:, None])
    tables_held = by_name((built.users.vectors, built.items.vectors, built.users.linear, built.items.linear))
    precisions = dict.fromkeys(tables_held, chosen.reg) | {
        built.users.linear.key.embeddings.path: priors.user_precision,
        built.items.linear.key.embeddings.path: priors.item_precision,
    }
    curve = learn_sides(
        runtime, built.networks, dataset, sides, chosen=chosen, precisions=precisions, rng=rng, progress=progress
    )
    return fitted_sides(built.networks, _compile(dataset, sides, built), dataset, sides, curve=curve, rng=rng)


def restore(dataset: Dataset, chosen: FmHyperparameters, weights: Weights) -> Fitted:
    """The network of these weights."""
    runtime, sides = start(0), sides_of(dataset)
    built, rng = _build(runtime, sides, chosen), np.random.default_rng(0)
    weights.fill(built.networks.chance)
    return fitted_sides(built.networks, _compile(dataset, sides, built), dataset, sides, curve=None, rng=rng)


def _build(runtime: Runtime, sides: Sides, chosen: FmHyperparameters) -> _Built:
    keras, layers = runtime.keras, runtime.keras.layers
    user, item = entry_inputs(runtime, sides.users), entry_inputs(runtime, sides.items)
    rank, rank_bias = keras.Input((), dtype="int32", name="rank"), embedding(runtime, MAX_RANK, 1, "rank_bias")
    halves = [
        _Half(tables(runtime, each, chosen.embedding_size, "vectors"), tables(runtime, each, 1, "bias"))
        for each in (sides.users, sides.items)
    ]
    first, vectors, squares = [rank_bias(rank)], [], []
    for half, given in zip(halves, (user, item), strict=True):
        first += [half.linear.key(given.row), *weighted(runtime, given, half.linear)]
        vectors += [half.vectors.key(given.row), *weighted(runtime, given, half.vectors)]
        squares += _squares(runtime, given, half.vectors)
    total = layers.Add(name="sum")(vectors)
    all_pairs = layers.Dot(axes=1, name="square_of_sum")([total, total])
    second = layers.Subtract()([all_pairs, layers.Add(name="sum_of_squares")(squares)])
    logit = layers.Add(name="logit")([*first, layers.Rescaling(0.5, name="second_order")(second)])
    chance = layers.Activation("sigmoid", name="chance")(logit)
    inputs = [*user.all, *item.all, rank]
    named = by_name([each for half in halves for each in half]) | {"rank_bias": rank_bias.embeddings}
    networks = SidedNetworks(keras.Model(inputs, chance, name="fm"), keras.Model(inputs, logit), named, {})
    return _Built(networks, halves[0], halves[1], rank_bias)


def _squares(runtime: Runtime, given: EntryInputs, table: TableSet) -> list[Tensor]:
    """The squared length of each weighted vector, summed over a field's values: (batch, 1) each."""
    layers, found = runtime.keras.layers, []
    key = table.key(given.row)
    found.append(layers.Dot(axes=1)([key, key]))
    for each, (rows, weights) in zip(table.fields, given.fields, strict=True):
        vectors = each(rows)
        column = layers.Reshape((-1, 1))(weights)
        flat = layers.Flatten()(layers.Multiply()([vectors, column]))
        found.append(layers.Dot(axes=1)([flat, flat]))
    return found


def _compile(dataset: Dataset, sides: Sides, built: _Built) -> FactorModel:
    """The pairs within a side become its bias; those across are the dot product of both sums."""
    users, items = (_entities(*each) for each in ((sides.users, built.users), (sides.items, built.items)))
    vectors = [values(each.embeddings) for each in (built.users.vectors.key, *built.users.vectors.fields)]
    linear = [values(each.embeddings)[:, 0] for each in (built.users.linear.key, *built.users.linear.fields)]
    stranger = Stranger(vector=vectors[0][0], hidden=np.zeros(0, np.float32), bias=float(linear[0][0]))
    side = Side(
        fields=sides.users.fields,
        table=np.concatenate([vectors[0][:0], *vectors[1:]]),
        linear=np.concatenate([linear[0][:0], *linear[1:]]),
        start=stranger.vector,
        start_bias=0.0,
        centre=stranger.vector,
        has_squares=True,
    )
    return assembled(
        dataset,
        users,
        items,
        stranger=stranger,
        is_active=dataset.is_active,
        has_evidence=dataset.is_shown | sides.items.has_attribute,
        rank_bias=values(built.rank_bias.embeddings)[:, 0],
        side=side if side.fields else None,
    )


def _entities(entry: Entry, half: _Half) -> Entities:
    parts = half.vectors.pooled(entry)
    total: Floats = np.sum(parts, axis=0, dtype=np.float32)
    squares = np.square(parts[0]).sum(axis=1)
    for table, encoded in zip(half.vectors.fields, entry.encoded, strict=True):
        lengths = np.square(values(table.embeddings)).sum(axis=1)
        squares = squares + (np.square(encoded.weights) * lengths[encoded.rows]).sum(axis=1)
    first = np.sum(half.linear.pooled(entry), axis=0)[:, 0]
    bias = first + 0.5 * (np.square(total).sum(axis=1) - squares)
    return Entities(vectors=total, hidden=nothing(len(total)), bias=bias.astype(np.float32))


KIND: Final = Kind(
    name="fm",
    summary="a factorisation machine over keys and attributes; personal, places the unknown by attributes",
    hyperparameters=FmHyperparameters,
    fit=fit,
    restore=restore,
)
