"""What a plan says to do about a report: keep the verdict for people to act on, or stop what does harm."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from lamella.errors import ConfigurationMoved
from lamella.experiments.model import Experiment, Json, Status
from lamella.experiments.selection import experiment_of
from lamella.services.configuring import Configuring
from lamella.services.ports import ConfigurationStore

AUTHOR: Final = "lamella"
"""Whom the revisions name that no person made."""

HARM: Final = "stop_for_harm"
_STOPPABLE: Final = (Status.RUNNING, Status.PAUSED)


class Outcome(StrEnum):
    """What was done about a report."""

    RECOMMENDED = "recommended"
    STOPPED = "stopped"
    OUTDATED = "outdated"
    OVERTAKEN = "overtaken"


class Deciding:
    """Acts on reports as the plans of their experiments say.

    A plan whose `on_verdict` is "recommend" leaves everything to people; with "stop", a verdict of stop_for_harm
    stops the experiment, in a revision of the author "lamella". Nothing is ever shipped without a person.
    """

    def __init__(self, configuration: ConfigurationStore, configuring: Configuring) -> None:
        self._configuration = configuration
        self._configuring = configuring

    def act(self, document: Mapping[str, Json]) -> Outcome:
        """What was done about the report `document`.

        OUTDATED where the experiment has meanwhile ended or begun another phase: the report says nothing about that
        one. OVERTAKEN where somebody changed the configuration at this moment: the next report decides again.
        Raises NotFound for an unknown experiment, and what the store raises.
        """
        key, phase, decision = _verdict(document)
        now = self._configuration.load()
        experiment = experiment_of(now, key)
        if experiment.plan.on_verdict != "stop" or decision != HARM:
            return Outcome.RECOMMENDED
        if not _is_about(experiment, phase):
            return Outcome.OUTDATED
        try:
            self._configuring.transition(key, "stop", author=AUTHOR, expected=now.version)
        except ConfigurationMoved:
            return Outcome.OVERTAKEN
        return Outcome.STOPPED


def _verdict(document: Mapping[str, Json]) -> tuple[str, Json, Json]:
    about, verdict = document["experiment"], document["verdict"]
    if not isinstance(about, Mapping) or not isinstance(verdict, Mapping):
        raise TypeError("a report has the objects `experiment` and `verdict`")
    return str(about["key"]), about["phase"], verdict["decision"]


def _is_about(experiment: Experiment, phase: Json) -> bool:
    """Whether the experiment still stands in the phase that was reported on."""
    is_stoppable = experiment.status in _STOPPABLE and bool(experiment.phases)
    return is_stoppable and experiment.phases[-1].id == phase
