"""What `serving.py` measures: ten models with random weights, and an experiment in each of three layers."""

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from lamella.adapters.sql.migrations import upgrade
from lamella.bootstrap.stores import stores
from lamella.config import Settings
from lamella.experiments.model import (
    BUCKETS,
    AnalysisPlan,
    BucketRange,
    Configuration,
    Experiment,
    Json,
    Layer,
    Parameter,
    ParameterType,
    Phase,
    Status,
    Variant,
)
from lamella.recommenders.artifact import FactorModel
from lamella.recommenders.layers import Layer as Dense
from lamella.recommenders.layers import Tail
from lamella.recommenders.registry import FolderRegistry, TrainedModel
from lamella.services.keys import Keys

KEY: Final = "client-key"
MODELS: Final = 10
USERS: Final = 10_000
ITEMS: Final = 5_000
SIZE: Final = 32
DEEP_SIZE: Final = 128
HIDDEN: Final = (128, 32, 8)
"""The deep net of the Keras tutorials: vectors of 128 numbers put together, then layers of 128, 32, 8 and 1 (without
their dropout, which is for training)."""
CANDIDATES: Final = 500


def settings_of(folder: Path, port: int, database: str | None) -> Settings:
    """Two web processes over the database, or the embedded store; only warnings are logged, as by the peers."""
    return Settings.from_environment(
        {
            "LAMELLA_DATABASE_URL": database or "",
            "LAMELLA_DATA_DIR": str(folder),
            "LAMELLA_PORT": str(port),
            "LAMELLA_WEB_PROCESSES": "2",
            "LAMELLA_LOG_LEVEL": "warning",
            "LAMELLA_INBOX_LIMIT": "10000000",
        }
    )


def arrays() -> dict[str, np.ndarray]:
    """The weights of the deep net, by name: the same for ours and the peers."""
    rng = np.random.default_rng(7)
    found = {
        "user_vectors": rng.normal(0, 0.3, (USERS, DEEP_SIZE)),
        "item_vectors": rng.normal(0, 0.3, (ITEMS, DEEP_SIZE)),
    }
    widths = (2 * DEEP_SIZE, *HIDDEN, 1)
    for number, (inputs, outputs) in enumerate(pairwise(widths), start=1):
        found[f"w{number}"] = rng.normal(0, (2 / inputs) ** 0.5, (inputs, outputs))
        found[f"b{number}"] = rng.normal(0, 0.1, outputs)
    return found


def publish(settings: Settings, ranker: str) -> None:
    """Makes the installation: every web process then holds ten versions, and ranks with `ranker` (mf or deep)."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    upgrade(settings.sql_url)
    found = stores(settings)
    registry, now = FolderRegistry(settings.models, found.models), datetime.now(UTC)
    for number in range(MODELS):
        is_deep = number % 2 == 1
        factors = _deep() if is_deep else _mf(number)
        trained = TrainedModel(
            kind="deep" if is_deep else "mf",
            factors=factors,
            files={},
            probe_error=0.0,
            hyperparameters={},
            metrics={},
            stamp={},
        )
        registry.publish(trained, name=f"{'deep' if is_deep else 'mf'}-{number}", at=now)
    (settings.data_dir / KEY).write_text(Keys(found.keys, found.clock).create("bench", "client"))
    found.configuration.commit(_configuration(ranker, now), author="benchmark", action="create", at=now)
    found.engine.dispose()


def _configuration(ranker: str, now: datetime) -> Configuration:
    kinds = {"recall": ParameterType.STRING, "ranking": ParameterType.STRING, "presentation": ParameterType.INTEGER}
    owned: dict[str, dict[str, Json]] = {
        "recall": {"recall.model": "mf-0@1", "recall.count": CANDIDATES},
        "ranking": {"rank.model": f"{ranker}-{2 if ranker == 'mf' else 1}@1"},
        "presentation": {"slate.size": 10},
    }
    # Held in memory because an experiment may serve them; nobody is in these variants.
    others = [f"{'deep' if number % 2 else 'mf'}-{number}@1" for number in range(MODELS)]
    parameters = tuple(
        Parameter(
            key=key,
            layer=layer,
            type=kinds[layer] if isinstance(value, str) else ParameterType.INTEGER,
            default=value,
        )
        for layer, values in owned.items()
        for key, value in values.items()
    )
    experiments = tuple(
        _experiment(
            number, layer, next(iter(values)), [next(iter(values.values())), *(others if number == 2 else [])], now
        )
        for number, (layer, values) in enumerate(owned.items(), start=1)
    )
    layers = tuple(Layer(key=key, salt=f"bench-{key}") for key in owned)
    return Configuration(layers=layers, parameters=parameters, experiments=experiments)


def _experiment(number: int, layer: str, parameter: str, values: list[Json], now: datetime) -> Experiment:
    """An experiment whose first two variants split everybody and serve alike; the others have no weight."""
    everywhere = [values[0], values[0], *values[1:]]
    variants = tuple(
        Variant(key=f"v{at}", weight=int(at < 2), is_control=at == 0, values={parameter: value})
        for at, value in enumerate(everywhere)
    )
    return Experiment(
        key=f"bench-{layer}",
        layer=layer,
        name=layer,
        hypothesis="Serving is fast",
        variants=variants,
        plan=AnalysisPlan(primary_metric="ctr"),
        ranges=(BucketRange(start=0, stop=BUCKETS),),
        status=Status.RUNNING,
        phases=(
            Phase(
                id=number,
                number=1,
                salt=f"bench-{layer}:1",
                started_at=now,
                weights={each.key: each.weight for each in variants},
            ),
        ),
    )


def _mf(seed: int) -> FactorModel:
    rng = np.random.default_rng(seed)
    return FactorModel(
        **_keys(),
        user_vectors=rng.normal(0, 0.3, (USERS, SIZE)).astype(np.float32),
        item_vectors=rng.normal(0, 0.3, (ITEMS, SIZE)).astype(np.float32),
    )


def _deep() -> FactorModel:
    """The net with its first dense layer multiplied out on each side, as the kind `deep` compiles it."""
    weights = {name: each.astype(np.float32) for name, each in arrays().items()}
    user_part = weights["user_vectors"] @ weights["w1"][:DEEP_SIZE] + weights["b1"]
    tail = Tail(
        user_hidden=user_part,
        item_hidden=weights["item_vectors"] @ weights["w1"][DEEP_SIZE:],
        stranger=user_part.mean(axis=0),
        layers=tuple(Dense(weights[f"w{at}"], weights[f"b{at}"]) for at in range(2, len(HIDDEN) + 2)),
    )
    empty = {"user_vectors": np.zeros((USERS, 0), np.float32), "item_vectors": np.zeros((ITEMS, 0), np.float32)}
    return FactorModel(**_keys(), **empty, tail=tail)


def _keys() -> dict[str, object]:
    return {
        "user_ids": tuple(f"u{each}" for each in range(USERS)),
        "user_bias": np.zeros(USERS, np.float32),
        "item_ids": tuple(f"i{each}" for each in range(ITEMS)),
        "item_bias": np.zeros(ITEMS, np.float32),
        "intercept": 0.0,
        "unknown_item_bias": -1.0,
        "rank_bias": np.zeros(20, np.float32),
    }
