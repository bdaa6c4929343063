"""Two towers for recall: one network makes a user a vector, one an item; they meet as a dot product, in Keras."""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from lamella.recommenders.artifact import FactorModel
from lamella.recommenders.compiling import Entities, Stranger, assembled, nothing
from lamella.recommenders.dataset import MAX_RANK, Dataset
from lamella.recommenders.deep import first_layer_parts
from lamella.recommenders.hyperparameters import DenseHyperparameters
from lamella.recommenders.keras_runtime import Embedding, Runtime, Tensor, Weighted, dense, embedding, start, values
from lamella.recommenders.kind import Fitted, Kind, Progress, Weights
from lamella.recommenders.layers import Floats, Layer, forward
from lamella.recommenders.priors import priors_of
from lamella.recommenders.side import Side
from lamella.recommenders.side_network import EntryInputs, TableSet, by_name, entry_inputs, tables, weighted
from lamella.recommenders.sided import Entry, SidedNetworks, Sides, fitted_sides, learn_sides, sides_of


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoTowerHyperparameters(DenseHyperparameters):
    """See `lamella.recommenders.hyperparameters`; a tower has one hidden layer, and its vector `embedding_size`."""


class _Tower(NamedTuple):
    """One side's tables and dense layers."""

    tables: TableSet
    first: Weighted
    last: Weighted


class _Built(NamedTuple):
    networks: SidedNetworks
    user: _Tower
    item: _Tower
    biases: dict[str, Embedding]


def fit(dataset: Dataset, chosen: TwoTowerHyperparameters, seed: int, progress: Progress) -> Fitted:
    """The towers that minimise log loss on the training part, stopped early on the validation part.

    logit = c_rank + b_u + b_i + user tower · item tower; a tower is dense, relu, dense over the concatenated vectors
    of the key and the attributes. The biases start from the click counts. Source: Covington, Adams and Sargin (2016).
    """
    progress(0.0, "starting TensorFlow")
    runtime, priors, sides = start(seed), priors_of(dataset), sides_of(dataset)
    built, rng = _build(runtime, sides, chosen), np.random.default_rng(seed)
    built.biases["rank_bias"].embeddings.assign(priors.rank_bias[:, None])
    built.biases["item_bias"].embeddings.assign(np.concatenate([[0.0], priors.item_bias])[:, None])
    held = (*by_name((built.user.tables, built.item.tables)), *built.networks.kernels)
    biases = {"user_bias": priors.user_precision, "item_bias": priors.item_precision}
    precisions = dict.fromkeys(held, chosen.reg) | biases
    curve = learn_sides(
        runtime, built.networks, dataset, sides, chosen=chosen, precisions=precisions, rng=rng, progress=progress
    )
    return fitted_sides(built.networks, _compile(dataset, sides, built), dataset, sides, curve=curve, rng=rng)


def restore(dataset: Dataset, chosen: TwoTowerHyperparameters, weights: Weights) -> Fitted:
    """The network of these weights."""
    runtime, sides = start(0), sides_of(dataset)
    built, rng = _build(runtime, sides, chosen), np.random.default_rng(0)
    weights.fill(built.networks.chance)
    return fitted_sides(built.networks, _compile(dataset, sides, built), dataset, sides, curve=None, rng=rng)


def _build(runtime: Runtime, sides: Sides, chosen: TwoTowerHyperparameters) -> _Built:
    keras, layers = runtime.keras, runtime.keras.layers
    user, item = entry_inputs(runtime, sides.users), entry_inputs(runtime, sides.items)
    rank = keras.Input((), dtype="int32", name="rank")
    towers = [
        _Tower(
            tables(runtime, each, chosen.embedding_size, "vectors"),
            dense(runtime, chosen.hidden, f"{each.name}_first"),
            dense(runtime, chosen.embedding_size, f"{each.name}_last"),
        )
        for each in (sides.users, sides.items)
    ]
    biases = {
        "user_bias": embedding(runtime, len(sides.users.rows) + 1, 1, "user_bias"),
        "item_bias": embedding(runtime, len(sides.items.rows) + 1, 1, "item_bias"),
        "rank_bias": embedding(runtime, MAX_RANK, 1, "rank_bias"),
    }
    ends = [_end(runtime, tower, given, chosen) for tower, given in zip(towers, (user, item), strict=True)]
    flat = [each(row) for each, row in zip(biases.values(), (user.row, item.row, rank), strict=True)]
    logit = layers.Add(name="logit")([layers.Dot(axes=1, name="taste")(ends), *flat])
    chance = layers.Activation("sigmoid", name="chance")(logit)
    inputs = [*user.all, *item.all, rank]
    named = by_name([each.tables for each in towers]) | {name: each.embeddings for name, each in biases.items()}
    dense_layers = [layer for tower in towers for layer in (tower.first, tower.last)]
    kernels = {each.trainable_variables[0].path: each.trainable_variables[0] for each in dense_layers}
    networks = SidedNetworks(keras.Model(inputs, chance, name="twotower"), keras.Model(inputs, logit), named, kernels)
    return _Built(networks, towers[0], towers[1], biases)


def _end(runtime: Runtime, tower: _Tower, given: EntryInputs, chosen: TwoTowerHyperparameters) -> Tensor:
    """The tower's vector."""
    layers = runtime.keras.layers
    vectors = [tower.tables.key(given.row), *weighted(runtime, given, tower.tables)]
    both = layers.Concatenate()(vectors) if len(vectors) > 1 else vectors[0]
    return tower.last(layers.Dropout(chosen.dropout)(layers.Activation("relu")(tower.first(both))))


def _compile(dataset: Dataset, sides: Sides, built: _Built) -> FactorModel:
    """Every user's and item's vector, and the user tower over attributes for those without a row."""
    kernel, bias = built.user.first.get_weights()
    _, rows, unknown = first_layer_parts(sides.users, built.user.tables, kernel)
    top = (Layer(*built.user.last.get_weights()),)
    flat = {name: values(each.embeddings)[:, 0] for name, each in built.biases.items()}
    stranger = Stranger(
        vector=forward((unknown + bias)[None], top)[0],
        hidden=np.zeros(0, np.float32),
        bias=float(flat["user_bias"][0]),
    )
    side = Side(
        fields=sides.users.fields,
        table=rows,
        linear=np.zeros(len(rows), dtype=np.float32),
        start=unknown + bias,
        start_bias=0.0,
        centre=stranger.vector,
        layers=top,
    )
    return assembled(
        dataset,
        _entities(sides.users, built.user, flat["user_bias"]),
        _entities(sides.items, built.item, flat["item_bias"]),
        stranger=stranger,
        is_active=dataset.is_active,
        has_evidence=dataset.is_shown | sides.items.has_attribute,
        rank_bias=flat["rank_bias"],
        side=side if side.fields else None,
    )


def _entities(entry: Entry, tower: _Tower, bias: Floats) -> Entities:
    kernel, start_bias = tower.first.get_weights()
    hidden, _, _ = first_layer_parts(entry, tower.tables, kernel)
    vectors = forward(hidden + start_bias, (Layer(*tower.last.get_weights()),))
    return Entities(vectors=vectors, hidden=nothing(len(vectors)), bias=bias[entry.rows])


KIND: Final = Kind(
    name="twotower",
    summary="a user tower and an item tower over keys and attributes meet as a dot product; made for recall",
    hyperparameters=TwoTowerHyperparameters,
    fit=fit,
    restore=restore,
)
