"""Prerequisites: an experiment only for units that are in given variants of experiments in other layers.

Layers are evaluated one after the other, so those that require each other must not form a circle. Experiments that
were stopped or archived take part in none.
"""

from collections.abc import Mapping

from lamella.experiments.model import Configuration, Experiment, Status
from lamella.experiments.selection import near

_OVER = (Status.STOPPED, Status.ARCHIVED)


def prerequisite_faults(configuration: Configuration, experiment: Experiment) -> list[str]:
    """What is wrong with what `experiment` requires, as if it were in the configuration already."""
    others = {one.key: one for one in configuration.experiments if one.key != experiment.key}
    layer = next((one for one in configuration.layers if one.key == experiment.layer), None)
    faults: list[str] = []
    if experiment.requires and layer is not None and layer.is_launch:
        faults.append("an experiment of a launch layer has no prerequisites; run it in a layer of its own")
    named = [one.experiment for one in experiment.requires]
    faults += [f"it requires {key!r} twice; list its variants once" for key in {*named} if named.count(key) > 1]
    for one in experiment.requires:
        other = others.get(one.experiment)
        if other is None:
            faults.append(
                f"it requires experiment {one.experiment!r}, which there is not; {near(one.experiment, [*others])}"
            )
        elif other.layer == experiment.layer:
            faults.append(
                f"it requires {other.key!r} of its own layer, where a unit is in one experiment only; "
                f"require one of another layer"
            )
        else:
            variants = [each.key for each in other.variants]
            faults += [
                f"it requires {other.key!r} in {variant!r}, which is no variant of it; {near(variant, variants)}"
                for variant in one.variants
                if variant not in variants
            ]
        if not one.variants:
            faults.append(f"it requires {one.experiment!r} in no variant; name one or more")
    if not faults:
        around = tuple(one for one in configuration.experiments if one.key != experiment.key)
        faults += circle(_with(configuration, (*around, experiment)))
    return faults


def circle(configuration: Configuration) -> list[str]:
    """A sentence that names layers whose experiments require each other in a circle, or nothing."""
    needs = _needs(configuration)
    settled: set[str] = set()
    while True:
        following = [key for key, needed in needs.items() if key not in settled and needed <= settled]
        if not following:
            break
        settled.update(following)
    left = [key for key in needs if key not in settled]
    if not left:
        return []
    return [f"prerequisites lead in a circle through the layers {', '.join(map(repr, left))}; take one of them out"]


def _needs(configuration: Configuration) -> Mapping[str, set[str]]:
    """The layers that each layer waits for."""
    homes = {one.key: one.layer for one in configuration.experiments}
    needs: dict[str, set[str]] = {one.key: set() for one in configuration.layers}
    for one in configuration.experiments:
        if one.status not in _OVER and one.layer in needs:
            needs[one.layer] |= {homes[needed.experiment] for needed in one.requires if needed.experiment in homes}
    return needs


def _with(configuration: Configuration, experiments: tuple[Experiment, ...]) -> Configuration:
    return Configuration(layers=configuration.layers, experiments=experiments)
