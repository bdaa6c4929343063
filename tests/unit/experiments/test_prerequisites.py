from dataclasses import replace

import pytest

from configurations import draft, running, spaces
from lamella.errors import ConfigurationInvalid
from lamella.experiments import lifecycle
from lamella.experiments.model import BUCKETS, Experiment, Prerequisite


def needing(experiment: str, *variants: str, key: str = "bold", layer: str = "ranking") -> Experiment:
    values = {} if layer != "ranking" else None
    needs = (Prerequisite(experiment=experiment, variants=variants),)
    return replace(draft(key, layer=layer, values=values, ranges=[(0, 5_000)]), requires=needs)


@pytest.mark.parametrize(
    ("experiment", "fault"),
    [
        (needing("fist", "control"), "requires experiment 'fist', which there is not; did you mean 'first'"),
        (needing("first", "contrl"), "in 'contrl', which is no variant of it; did you mean 'control'"),
        (needing("first"), "requires 'first' in no variant"),
        (needing("first", "control", layer="recall"), "of its own layer"),
        (needing("first", "control", layer="launch"), "launch layer has no prerequisites"),
    ],
)
def test_a_prerequisite_that_nobody_can_meet_is_refused_when_it_is_saved(experiment: Experiment, fault: str) -> None:
    now = lifecycle.add_experiment(spaces(), draft("first", layer="recall", ranges=[(0, BUCKETS)]))
    with pytest.raises(ConfigurationInvalid, match=fault):
        lifecycle.add_experiment(now, experiment)


def test_a_circle_is_refused_when_it_is_saved_and_names_its_layers() -> None:
    now = lifecycle.add_experiment(spaces(), draft("first", layer="recall", ranges=[(0, BUCKETS)]))
    now = lifecycle.add_experiment(now, needing("first", "control"))
    back = needing("bold", "treatment", key="first", layer="recall")
    with pytest.raises(ConfigurationInvalid, match="in a circle through the layers 'recall', 'ranking'"):
        lifecycle.update_experiment(now, back)


def test_what_a_running_experiment_requires_changes_only_with_a_new_phase() -> None:
    now = running(spaces(), draft("first", layer="recall", ranges=[(0, BUCKETS)]), draft("bold"))
    with pytest.raises(ConfigurationInvalid, match="requires cannot change while the experiment is running"):
        lifecycle.update_experiment(now, replace(now.experiments[1], requires=needing("first", "control").requires))
