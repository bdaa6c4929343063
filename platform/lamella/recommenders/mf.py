"""Matrix factorisation with user and item biases and a bounded (sigmoid) output, in Keras."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from lamella.recommenders.artifact import FactorModel, centred
from lamella.recommenders.dataset import MAX_RANK, Dataset
from lamella.recommenders.hyperparameters import NetworkHyperparameters
from lamella.recommenders.ids import IdNetworks, fitted_ids, learn_ids
from lamella.recommenders.keras_runtime import Runtime, embedding, start, values
from lamella.recommenders.kind import Fitted, Kind, Progress, Weights
from lamella.recommenders.priors import priors_of


@dataclass(frozen=True, slots=True, kw_only=True)
class MfHyperparameters(NetworkHyperparameters):
    """See `lamella.recommenders.hyperparameters` for what the names mean."""


def fit(dataset: Dataset, chosen: MfHyperparameters, seed: int, progress: Progress) -> Fitted:
    """The factorisation that minimises log loss on the training part, stopped early on the validation part.

    sigmoid(c_rank + b_u + b_i + p_u · q_i); c_rank, a free bias for each rank, takes up what the position did and
    is dropped when serving. The biases start from the click counts and are held to the spread that those show; `reg`
    holds the vectors. Source: Koren, Bell and Volinsky (2009), eq. 4, on a logit scale.
    """
    progress(0.0, "starting TensorFlow")
    runtime, priors = start(seed), priors_of(dataset)
    networks = _build(runtime, dataset, chosen)
    networks.tables["rank_bias"].assign(priors.rank_bias[:, None])
    networks.tables["item_bias"].assign(priors.item_bias[:, None])
    precisions = {
        "user_vectors": chosen.reg,
        "item_vectors": chosen.reg,
        "user_bias": priors.user_precision,
        "item_bias": priors.item_precision,
    }
    rng = np.random.default_rng(seed)
    curve = learn_ids(runtime, networks, dataset, chosen, precisions, rng=rng, progress=progress)
    return fitted_ids(networks, _compile(dataset, networks), curve, dataset, rng)


def restore(dataset: Dataset, chosen: MfHyperparameters, weights: Weights) -> Fitted:
    """The factorisation of these weights."""
    runtime = start(0)
    networks = _build(runtime, dataset, chosen)
    weights.fill(networks.chance)
    return fitted_ids(networks, _compile(dataset, networks), None, dataset, np.random.default_rng(0))


def _build(runtime: Runtime, dataset: Dataset, chosen: MfHyperparameters) -> IdNetworks:
    keras, layers = runtime.keras, runtime.keras.layers
    user, item, rank = (keras.Input((), dtype="int32", name=name) for name in ("user", "item", "rank"))
    users, items, size = len(dataset.users), len(dataset.items), chosen.embedding_size
    table = {
        "user_vectors": embedding(runtime, users, size, "user_vectors"),
        "item_vectors": embedding(runtime, items, size, "item_vectors"),
        "user_bias": embedding(runtime, users, 1, "user_bias"),
        "item_bias": embedding(runtime, items, 1, "item_bias"),
        "rank_bias": embedding(runtime, MAX_RANK, 1, "rank_bias"),
    }
    taste = layers.Dot(axes=1, name="taste")([table["user_vectors"](user), table["item_vectors"](item)])
    biases = [table["user_bias"](user), table["item_bias"](item), table["rank_bias"](rank)]
    logit = layers.Add(name="logit")([taste, *biases])
    chance = layers.Activation("sigmoid", name="chance")(logit)
    inputs = [user, item, rank]
    tables = {name: layer.embeddings for name, layer in table.items()}
    return IdNetworks(keras.Model(inputs, chance, name="mf"), keras.Model(inputs, logit), tables)


def _compile(dataset: Dataset, networks: IdNetworks) -> FactorModel:
    table = {name: values(variable) for name, variable in networks.tables.items()}
    return centred(
        users=dataset.users,
        user_vectors=table["user_vectors"],
        user_bias=table["user_bias"][:, 0],
        is_active=dataset.is_active,
        items=dataset.items,
        item_vectors=table["item_vectors"],
        item_bias=table["item_bias"][:, 0],
        has_evidence=dataset.is_shown,
        rank_bias=table["rank_bias"][:, 0],
        item_idf=dataset.item_idf,
    )


KIND: Final = Kind(
    name="mf",
    summary="matrix factorisation with user and item biases and a sigmoid output; personal, knows only shown items",
    hyperparameters=MfHyperparameters,
    fit=fit,
    restore=restore,
)
