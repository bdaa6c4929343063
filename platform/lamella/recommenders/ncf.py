"""NeuMF, neural collaborative filtering: a generalised dot product beside dense layers, in Keras."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from lamella.recommenders.artifact import FactorModel
from lamella.recommenders.compiling import Entities, assembled, mean_stranger
from lamella.recommenders.dataset import MAX_RANK, Dataset
from lamella.recommenders.hyperparameters import DenseHyperparameters
from lamella.recommenders.ids import IdNetworks, fitted_ids, learn_ids
from lamella.recommenders.keras_runtime import Embedding, Runtime, Weighted, dense, embedding, start, values
from lamella.recommenders.kind import Fitted, Kind, Progress, Weights
from lamella.recommenders.layers import Layer
from lamella.recommenders.priors import priors_of


@dataclass(frozen=True, slots=True, kw_only=True)
class NcfHyperparameters(DenseHyperparameters):
    """See `lamella.recommenders.hyperparameters`; both branches have vectors of `embedding_size`."""


class _Built(NamedTuple):
    """The networks, and the dense layers that the compiled form needs: the first two, the last, the product's."""

    networks: IdNetworks
    first: Weighted
    rest: Sequence[Weighted]
    product: Weighted


def fit(dataset: Dataset, chosen: NcfHyperparameters, seed: int, progress: Progress) -> Fitted:
    """The network that minimises log loss on the training part, stopped early on the validation part.

    logit = c_rank + b_u + b_i + w · (p_u ⊙ q_i) + mlp([s_u, t_i]): He et al. (2017), eq. 12, whose one output layer
    over both branches is the sum of two. The biases start from the click counts.
    """
    progress(0.0, "starting TensorFlow")
    runtime, priors, rng = start(seed), priors_of(dataset), np.random.default_rng(seed)
    built = _build(runtime, dataset, chosen)
    built.networks.tables["rank_bias"].assign(priors.rank_bias[:, None])
    built.networks.tables["item_bias"].assign(priors.item_bias[:, None])
    vectors = {name: chosen.reg for name in built.networks.tables if name.endswith("_vectors")}
    kernels = dict.fromkeys(built.networks.kernels, chosen.reg)
    biases = {"user_bias": priors.user_precision, "item_bias": priors.item_precision}
    precisions = vectors | kernels | biases
    curve = learn_ids(runtime, built.networks, dataset, chosen, precisions, rng=rng, progress=progress)
    return fitted_ids(built.networks, _compile(dataset, built), curve, dataset, rng)


def restore(dataset: Dataset, chosen: NcfHyperparameters, weights: Weights) -> Fitted:
    """The network of these weights."""
    built = _build(start(0), dataset, chosen)
    weights.fill(built.networks.chance)
    return fitted_ids(built.networks, _compile(dataset, built), None, dataset, np.random.default_rng(0))


def _build(runtime: Runtime, dataset: Dataset, chosen: NcfHyperparameters) -> _Built:
    keras, layers = runtime.keras, runtime.keras.layers
    user, item, rank = inputs = [keras.Input((), dtype="int32", name=name) for name in ("user", "item", "rank")]
    table = _tables(runtime, dataset, chosen.embedding_size)
    first, second = dense(runtime, chosen.hidden, "first"), dense(runtime, chosen.hidden // 2, "second")
    last, product = dense(runtime, 1, "last"), dense(runtime, 1, "product", has_bias=False)
    both = layers.Concatenate(name="both")([table["user_deep_vectors"](user), table["item_deep_vectors"](item)])
    hidden = layers.Dropout(chosen.dropout)(layers.Activation("relu")(first(both)))
    hidden = layers.Dropout(chosen.dropout)(layers.Activation("relu")(second(hidden)))
    multiplied = layers.Multiply(name="multiplied")([table["user_vectors"](user), table["item_vectors"](item)])
    biases = [table["user_bias"](user), table["item_bias"](item), table["rank_bias"](rank)]
    logit = layers.Add(name="logit")([product(multiplied), last(hidden), *biases])
    chance = layers.Activation("sigmoid", name="chance")(logit)
    tables = {name: layer.embeddings for name, layer in table.items()}
    kernels = {f"{layer.trainable_variables[0].path}": layer.trainable_variables[0] for layer in (first, second, last)}
    networks = IdNetworks(keras.Model(inputs, chance, name="ncf"), keras.Model(inputs, logit), tables, kernels)
    return _Built(networks, first, (second, last), product)


def _tables(runtime: Runtime, dataset: Dataset, size: int) -> Mapping[str, Embedding]:
    users, items = len(dataset.users), len(dataset.items)
    shapes = {
        "user_vectors": (users, size),
        "item_vectors": (items, size),
        "user_deep_vectors": (users, size),
        "item_deep_vectors": (items, size),
        "user_bias": (users, 1),
        "item_bias": (items, 1),
        "rank_bias": (MAX_RANK, 1),
    }
    return {name: embedding(runtime, rows, width, name) for name, (rows, width) in shapes.items()}


def _compile(dataset: Dataset, built: _Built) -> FactorModel:
    """The product's weights move into the item vectors; the first dense layer is multiplied out on each side."""
    table = {name: values(variable) for name, variable in built.networks.tables.items()}
    kernel, bias = built.first.get_weights()
    size = table["user_vectors"].shape[1]
    users = Entities(
        vectors=table["user_vectors"],
        hidden=table["user_deep_vectors"] @ kernel[:size] + bias,
        bias=table["user_bias"][:, 0],
    )
    items = Entities(
        vectors=table["item_vectors"] * built.product.get_weights()[0][:, 0],
        hidden=table["item_deep_vectors"] @ kernel[size:],
        bias=table["item_bias"][:, 0],
    )
    return assembled(
        dataset,
        users,
        items,
        stranger=mean_stranger(users, dataset.is_active),
        is_active=dataset.is_active,
        has_evidence=dataset.is_shown,
        rank_bias=table["rank_bias"][:, 0],
        layers=tuple(Layer(*each.get_weights()) for each in built.rest),
    )


KIND: Final = Kind(
    name="ncf",
    summary="NeuMF: a weighted product of vectors beside dense layers; personal, knows only shown items",
    hyperparameters=NcfHyperparameters,
    fit=fit,
    restore=restore,
)
