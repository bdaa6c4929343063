"""What is reported on."""

from typing import NamedTuple

from lamella.experiments.model import Configuration, Experiment, Phase


class Subject(NamedTuple):
    """What is reported on: an experiment in one of its phases, and all else that is configured."""

    experiment: Experiment
    phase: Phase
    configuration: Configuration

    @property
    def control(self) -> str:
        """The key of the control, or of the first variant."""
        variants = self.experiment.variants
        return next((each.key for each in variants if each.is_control), variants[0].key)

    @property
    def arms(self) -> tuple[str, ...]:
        """The variants with weight in the phase, control first."""
        keys = [each.key for each in self.experiment.variants if self.phase.weights.get(each.key, 0) > 0]
        return tuple(sorted(keys, key=lambda key: key != self.control))
