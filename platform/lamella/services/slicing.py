"""Segments of an experiment's units on demand: by any one or two attributes, for any metrics."""

from collections.abc import Sequence

from lamella.errors import Conflict, InvalidInput
from lamella.experiments.model import Configuration, Experiment, Json
from lamella.experiments.selection import experiment_of, near
from lamella.metrics.definitions import Metric
from lamella.services.comparing import roles
from lamella.services.figures import LABEL
from lamella.services.measure_ports import FactStore
from lamella.services.measuring import catalogue, planned, stretch_of
from lamella.services.ports import Clock, ConfigurationStore
from lamella.services.schedule import data_until
from lamella.services.segmenting import MOST_ATTRIBUTES, segments_document
from lamella.services.subjects import Subject

LONGEST_ATTRIBUTE = 128


def segments_of(
    key: str,
    by: Sequence[str],
    metrics: Sequence[str],
    *,
    configurations: ConfigurationStore,
    facts: FactStore,
    clock: Clock,
) -> dict[str, Json]:
    """The segments of the experiment's current phase as of now, labelled exploratory; nothing is stored.

    No `metrics` means those that the plan names. Raises NotFound for an unknown experiment, Conflict for one that has
    not started, InvalidInput for what `question_faults` names.
    """
    configuration = configurations.load()
    experiment = experiment_of(configuration, key)
    if not experiment.phases:
        raise Conflict(f"experiment {key!r} is {experiment.status}; start it before it is analysed")
    if faults := question_faults(configuration, by, metrics):
        raise InvalidInput(*faults)
    subject = Subject(experiment, experiment.phases[-1], configuration)
    until = data_until(experiment.plan, subject.phase, clock.now())
    known = catalogue(configuration.metrics)
    wanted = [known[name] for name in dict.fromkeys(metrics)] or _planned(configuration, experiment)
    document = segments_document(
        facts,
        stretch_of(experiment.plan, subject.phase, until),
        by,
        wanted,
        configuration.metrics,
        arms=subject.arms,
        control=subject.control,
        weights=subject.phase.weights,
    )
    return {"label": LABEL, "experiment": key, "phase": subject.phase.id, "as_of": until.isoformat(), **document}


def question_faults(configuration: Configuration, by: Sequence[str], metrics: Sequence[str]) -> list[str]:
    """What is wrong with the attributes and metrics that are asked for."""
    faults = []
    if not 1 <= len(set(by)) <= MOST_ATTRIBUTES:
        faults.append(f"by: names {len(set(by))} attributes; name one or two, separated by a comma")
    faults += [
        f"by: {name[:40]!r} is no attribute; it has 1 to {LONGEST_ATTRIBUTE} printable characters"
        for name in by
        if not 0 < len(name) <= LONGEST_ATTRIBUTE or not name.isprintable() or '"' in name
    ]
    known = list(catalogue(configuration.metrics))
    faults += [f"metric: no metric {name!r}; {near(name, known)}" for name in metrics if name not in known]
    return faults


def _planned(configuration: Configuration, experiment: Experiment) -> list[Metric]:
    declared = planned(experiment.plan, configuration.metrics)
    return [each.metric for each in roles(experiment.plan, catalogue(declared)) if each.role != LABEL]
