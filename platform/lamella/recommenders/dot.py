"""Matrix factorisation at its plainest: the dot product of a user's and an item's vector, in Keras."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from lamella.recommenders.artifact import FactorModel, centred
from lamella.recommenders.dataset import MAX_RANK, Dataset
from lamella.recommenders.hyperparameters import NetworkHyperparameters, number
from lamella.recommenders.ids import IdNetworks, fitted_ids, learn_ids
from lamella.recommenders.keras_runtime import Runtime, embedding, start, values
from lamella.recommenders.kind import Fitted, Kind, Progress, Weights
from lamella.recommenders.priors import priors_of


@dataclass(frozen=True, slots=True, kw_only=True)
class DotHyperparameters(NetworkHyperparameters):
    """See `lamella.recommenders.hyperparameters`; vectors carry the appeal too, so they are held more loosely."""

    reg: float = number(1.0, 0.0, 1e6)


def fit(dataset: Dataset, chosen: DotHyperparameters, seed: int, progress: Progress) -> Fitted:
    """The factorisation sigmoid(c_rank + p_u · q_i) that minimises log loss, stopped early on the validation part.

    Users and items have no biases: what all readers like is part of the vectors. c_rank, a bias for each rank, takes
    up what the position did. When served, the mean user vector is that of a stranger.
    """
    progress(0.0, "starting TensorFlow")
    runtime, rng = start(seed), np.random.default_rng(seed)
    networks = _build(runtime, dataset, chosen)
    networks.tables["rank_bias"].assign(priors_of(dataset).rank_bias[:, None])
    precisions = {"user_vectors": chosen.reg, "item_vectors": chosen.reg}
    curve = learn_ids(runtime, networks, dataset, chosen, precisions, rng=rng, progress=progress)
    return fitted_ids(networks, _compile(dataset, networks), curve, dataset, rng)


def restore(dataset: Dataset, chosen: DotHyperparameters, weights: Weights) -> Fitted:
    """The factorisation of these weights."""
    runtime = start(0)
    networks = _build(runtime, dataset, chosen)
    weights.fill(networks.chance)
    return fitted_ids(networks, _compile(dataset, networks), None, dataset, np.random.default_rng(0))


def _build(runtime: Runtime, dataset: Dataset, chosen: DotHyperparameters) -> IdNetworks:
    keras, layers = runtime.keras, runtime.keras.layers
    inputs = [keras.Input((), dtype="int32", name=name) for name in ("user", "item", "rank")]
    table = {
        "user_vectors": embedding(runtime, len(dataset.users), chosen.embedding_size, "user_vectors"),
        "item_vectors": embedding(runtime, len(dataset.items), chosen.embedding_size, "item_vectors"),
        "rank_bias": embedding(runtime, MAX_RANK, 1, "rank_bias"),
    }
    vectors, rank_bias = [table[name](rows) for name, rows in zip(table, inputs, strict=True)][:2], inputs[2]
    logit = layers.Add(name="logit")([layers.Dot(axes=1, name="taste")(vectors), table["rank_bias"](rank_bias)])
    chance = layers.Activation("sigmoid", name="chance")(logit)
    tables = {name: layer.embeddings for name, layer in table.items()}
    return IdNetworks(keras.Model(inputs, chance, name="dot"), keras.Model(inputs, logit), tables)


def _compile(dataset: Dataset, networks: IdNetworks) -> FactorModel:
    table = {name: values(variable) for name, variable in networks.tables.items()}
    return centred(
        users=dataset.users,
        user_vectors=table["user_vectors"],
        user_bias=np.zeros(len(dataset.users), dtype=np.float32),
        is_active=dataset.is_active,
        items=dataset.items,
        item_vectors=table["item_vectors"],
        item_bias=np.zeros(len(dataset.items), dtype=np.float32),
        has_evidence=dataset.is_shown,
        rank_bias=table["rank_bias"][:, 0],
        item_idf=dataset.item_idf,
    )


KIND: Final = Kind(
    name="dot",
    summary="matrix factorisation by the dot product alone; personal, knows only shown items",
    hyperparameters=DotHyperparameters,
    fit=fit,
    restore=restore,
)
