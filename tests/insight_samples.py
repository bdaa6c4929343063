"""A model whose items lie in four topics, with a catalogue that names them and a learning curve."""

import json
from datetime import UTC, datetime

import numpy as np

from lamella.recommenders.artifact import FactorModel
from lamella.recommenders.registry import TrainedModel
from lamella.services.model_ports import Item, ModelVersion

AT = datetime(2026, 3, 2, 8, tzinfo=UTC)
TOPICS = ("politics", "sport", "culture", "science")
VERSION = ModelVersion(
    name="mf",
    number=3,
    kind="mf",
    created_at=AT,
    digest="ab" * 32,
    size_bytes=10_000,
    hyperparameters={},
    metrics={"auc": 0.71},
    stamp={},
)
CURVE = {
    "best_epoch": 5,
    "training": [0.61, 0.52, 0.475, 0.455, 0.44, 0.43, 0.422, 0.415],
    "validation": [0.693, 0.64, 0.57, 0.535, 0.522, 0.518, 0.521, 0.526, 0.533],
}
PACKED_CURVE = json.dumps(CURVE).encode()


def topical_model(*, items=240, users=300, length=8, seed=1):
    """Items around four centres that lie far apart; the last item has no evidence."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(len(TOPICS), length)) * 2.0
    vectors = centres[np.arange(items) % len(TOPICS)] + rng.normal(size=(items, length)) * 0.35
    bias = rng.normal(-0.4, 0.8, size=items)
    vectors[-1], bias[-1] = 0.0, -1.0
    return FactorModel(
        user_ids=tuple(f"user-{number:03}" for number in range(users)),
        user_vectors=rng.normal(size=(users, length)).astype(np.float32),
        user_bias=rng.normal(0, 0.5, size=users).astype(np.float32),
        item_ids=tuple(f"item/{number:03}" for number in range(items)),
        item_vectors=vectors.astype(np.float32),
        item_bias=bias.astype(np.float32),
        intercept=-2.0,
        unknown_item_bias=-1.0,
        rank_bias=np.zeros(1, dtype=np.float32),
    )


def flat_model():
    """Three items that only their biases tell apart, and nobody."""
    return FactorModel(
        user_ids=(),
        user_vectors=np.zeros((0, 0), dtype=np.float32),
        user_bias=np.zeros(0, dtype=np.float32),
        item_ids=("a", "b", "c"),
        item_vectors=np.zeros((3, 0), dtype=np.float32),
        item_bias=np.array([0.5, -1.0, 0.25], dtype=np.float32),
        intercept=-2.0,
        unknown_item_bias=-3.0,
        rank_bias=np.zeros(1, dtype=np.float32),
    )


def catalogue_items(model):
    """The items of the model, each with the topic that it was drawn for."""
    return [
        Item(
            key=key,
            title=f"{TOPICS[row % len(TOPICS)].capitalize()} of the day: story {row} & more",
            published_at=AT,
            attributes={"topic": TOPICS[row % len(TOPICS)]},
        )
        for row, key in enumerate(model.item_ids)
    ]


def trained_model(files, factors=None):
    """A model of the kind mf that could be published, `topical_model` where none is given."""
    return TrainedModel(
        kind="mf",
        factors=topical_model() if factors is None else factors,
        files=files,
        probe_error=0.0,
        hyperparameters={},
        metrics={},
        stamp={},
    )
