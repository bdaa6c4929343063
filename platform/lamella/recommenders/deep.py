"""The deep embedding net: keys and attributes as vectors, concatenated, dense layers with dropout, in Keras."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from lamella.recommenders.artifact import FactorModel
from lamella.recommenders.compiling import Entities, Stranger, assembled, nothing
from lamella.recommenders.dataset import MAX_RANK, Dataset
from lamella.recommenders.hyperparameters import DenseHyperparameters
from lamella.recommenders.keras_runtime import Embedding, Runtime, Weighted, dense, embedding, start, values
from lamella.recommenders.kind import Fitted, Kind, Progress, Weights
from lamella.recommenders.layers import Floats, Layer
from lamella.recommenders.priors import priors_of
from lamella.recommenders.side import Side
from lamella.recommenders.side_network import TableSet, by_name, entry_inputs, tables, weighted
from lamella.recommenders.sided import Entry, SidedNetworks, Sides, fitted_sides, learn_sides, sides_of


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepHyperparameters(DenseHyperparameters):
    """See `lamella.recommenders.hyperparameters`; `embedding_size` is the length of each field's vectors too."""


class _Built(NamedTuple):
    """The networks and what the compiled form takes from them."""

    networks: SidedNetworks
    users: TableSet
    items: TableSet
    biases: dict[str, Embedding]
    first: Weighted
    rest: Sequence[Weighted]


def fit(dataset: Dataset, chosen: DeepHyperparameters, seed: int, progress: Progress) -> Fitted:
    """The network that minimises log loss on the training part, stopped early on the validation part.

    logit = c_rank + b_u + b_i + mlp([user, user's fields, item, item's fields]). The biases start from the click
    counts and are held to the spread that those show.
    """
    progress(0.0, "starting TensorFlow")
    runtime, priors, sides = start(seed), priors_of(dataset), sides_of(dataset)
    built, rng = _build(runtime, sides, chosen), np.random.default_rng(seed)
    built.biases["rank_bias"].embeddings.assign(priors.rank_bias[:, None])
    built.biases["item_bias"].embeddings.assign(np.concatenate([[0.0], priors.item_bias])[:, None])
    vectors = dict.fromkeys((*by_name((built.users, built.items)), *built.networks.kernels), chosen.reg)
    precisions = vectors | {"user_bias": priors.user_precision, "item_bias": priors.item_precision}
    curve = learn_sides(
        runtime, built.networks, dataset, sides, chosen=chosen, precisions=precisions, rng=rng, progress=progress
    )
    return fitted_sides(built.networks, _compile(dataset, sides, built), dataset, sides, curve=curve, rng=rng)


def restore(dataset: Dataset, chosen: DeepHyperparameters, weights: Weights) -> Fitted:
    """The network of these weights."""
    runtime, sides = start(0), sides_of(dataset)
    built, rng = _build(runtime, sides, chosen), np.random.default_rng(0)
    weights.fill(built.networks.chance)
    return fitted_sides(built.networks, _compile(dataset, sides, built), dataset, sides, curve=None, rng=rng)


def _build(runtime: Runtime, sides: Sides, chosen: DeepHyperparameters) -> _Built:
    keras, layers = runtime.keras, runtime.keras.layers
    user, item = entry_inputs(runtime, sides.users), entry_inputs(runtime, sides.items)
    rank = keras.Input((), dtype="int32", name="rank")
    users = tables(runtime, sides.users, chosen.embedding_size, "vectors")
    items = tables(runtime, sides.items, chosen.embedding_size, "vectors")
    biases = {
        "user_bias": embedding(runtime, len(sides.users.rows) + 1, 1, "user_bias"),
        "item_bias": embedding(runtime, len(sides.items.rows) + 1, 1, "item_bias"),
        "rank_bias": embedding(runtime, MAX_RANK, 1, "rank_bias"),
    }
    first, second = dense(runtime, chosen.hidden, "first"), dense(runtime, chosen.hidden // 2, "second")
    last = dense(runtime, 1, "last")
    vectors = [
        users.key(user.row),
        *weighted(runtime, user, users),
        items.key(item.row),
        *weighted(runtime, item, items),
    ]
    hidden = layers.Activation("relu")(first(layers.Concatenate(name="all")(vectors)))
    hidden = layers.Activation("relu")(second(layers.Dropout(chosen.dropout)(hidden)))
    deep = last(layers.Dropout(chosen.dropout)(hidden))
    flat = [each(row) for each, row in zip(biases.values(), (user.row, item.row, rank), strict=True)]
    logit = layers.Add(name="logit")([deep, *flat])
    chance = layers.Activation("sigmoid", name="chance")(logit)
    inputs = [*user.all, *item.all, rank]
    named = by_name((users, items)) | {name: each.embeddings for name, each in biases.items()}
    kernels = {each.trainable_variables[0].path: each.trainable_variables[0] for each in (first, second, last)}
    networks = SidedNetworks(keras.Model(inputs, chance, name="deep"), keras.Model(inputs, logit), named, kernels)
    return _Built(networks, users, items, biases, first, (second, last))


def first_layer_parts(entry: Entry, table: TableSet, kernel: Floats) -> tuple[Floats, Floats, Floats]:
    """A side's share of a dense layer over its concatenated vectors, without the layer's bias.

    Of every entity (n, h), of the rows of all fields (r, h), and of an unknown key (h,). `kernel` are the layer's
    weights for this side.
    """
    pooled = table.pooled(entry)
    size = pooled[0].shape[1]
    blocks = [kernel[at * size : (at + 1) * size] for at in range(len(pooled))]
    hidden = sum((part @ block for part, block in zip(pooled, blocks, strict=True)), np.zeros((1, 1), np.float32))
    rows = [values(each.embeddings) @ block for each, block in zip(table.fields, blocks[1:], strict=True)]
    listed = np.concatenate([np.zeros((0, kernel.shape[1]), np.float32), *rows])
    return hidden.astype(np.float32), listed, values(table.key.embeddings)[0] @ blocks[0]


def _compile(dataset: Dataset, sides: Sides, built: _Built) -> FactorModel:
    """The first dense layer multiplied out on each side; what follows is a tail."""
    kernel, bias = built.first.get_weights()
    split = len(built.users.variables) * values(built.users.key.embeddings).shape[1]
    user_hidden, rows, unknown = first_layer_parts(sides.users, built.users, kernel[:split])
    item_hidden, _, _ = first_layer_parts(sides.items, built.items, kernel[split:])
    flat = {name: values(each.embeddings)[:, 0] for name, each in built.biases.items()}
    stranger = Stranger(vector=np.zeros(0, np.float32), hidden=unknown + bias, bias=float(flat["user_bias"][0]))
    side = Side(
        fields=sides.users.fields,
        table=rows,
        linear=np.zeros(len(rows), dtype=np.float32),
        start=stranger.hidden,
        start_bias=0.0,
        centre=np.zeros_like(stranger.hidden),
    )
    users, items = len(dataset.users), len(dataset.items)
    return assembled(
        dataset,
        Entities(vectors=nothing(users), hidden=user_hidden + bias, bias=flat["user_bias"][sides.users.rows]),
        Entities(vectors=nothing(items), hidden=item_hidden, bias=flat["item_bias"][sides.items.rows]),
        stranger=stranger,
        is_active=dataset.is_active,
        has_evidence=dataset.is_shown | sides.items.has_attribute,
        rank_bias=flat["rank_bias"],
        layers=tuple(Layer(*each.get_weights()) for each in built.rest),
        side=side if side.fields else None,
    )


KIND: Final = Kind(
    name="deep",
    summary="a deep net over concatenated vectors of keys and attributes; personal, places the unknown by attributes",
    hyperparameters=DeepHyperparameters,
    fit=fit,
    restore=restore,
)
