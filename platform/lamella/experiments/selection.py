"""Finds and replaces what a configuration holds: domains, layers, parameters, experiments, holdouts."""

import difflib
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from lamella.errors import NotFound
from lamella.experiments.model import Configuration, Domain, Experiment, Holdout, Layer, Parameter

K = TypeVar("K", Layer, Parameter, Experiment, Domain, Holdout)


def layer_of(configuration: Configuration, key: str) -> Layer:
    """The layer with this key. Raises NotFound, naming what is close."""
    return _find("layer", configuration.layers, key)


def parameter_of(configuration: Configuration, key: str) -> Parameter:
    """The parameter with this key. Raises NotFound, naming what is close."""
    return _find("parameter", configuration.parameters, key)


def experiment_of(configuration: Configuration, key: str) -> Experiment:
    """The experiment with this key. Raises NotFound, naming what is close."""
    return _find("experiment", configuration.experiments, key)


def domain_of(configuration: Configuration, key: str) -> Domain:
    """The domain with this key. Raises NotFound, naming what is close."""
    return _find("domain", configuration.domains, key)


def holdout_of(configuration: Configuration, key: str) -> Holdout:
    """The holdout with this key. Raises NotFound, naming what is close."""
    return _find("holdout", configuration.holdouts, key)


def with_experiment(configuration: Configuration, experiment: Experiment) -> Configuration:
    """The configuration with `experiment` in the place of the one that has its key."""
    experiments = tuple(experiment if one.key == experiment.key else one for one in configuration.experiments)
    return replace(configuration, experiments=experiments)


def near(key: str, known: Sequence[str]) -> str:
    """What to write instead of the unknown `key`, as the end of a sentence."""
    close = difflib.get_close_matches(key, known, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(sorted(known)[:20])}" if known else "there is none yet"


def _find(kind: str, among: Sequence[K], key: str) -> K:
    for one in among:
        if one.key == key:
            return one
    raise NotFound(kind, key, next_step=near(key, [one.key for one in among]))
