"""What a plan says to do about a report: leave it to people, stop what does harm, or promote the winner too."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from lamella.errors import ConfigurationMoved
from lamella.experiments.model import Experiment, Json, Status
from lamella.experiments.promoting import promote
from lamella.experiments.selection import experiment_of
from lamella.services.configuring import Configuring
from lamella.services.ports import Clock, ConfigurationStore

AUTHOR: Final = "lamella"
"""Whom the revisions name that no person made."""

HARM: Final = "stop_for_harm"
SHIP: Final = "ship"
_STOPPABLE: Final = (Status.RUNNING, Status.PAUSED)


class Outcome(StrEnum):
    """What was done about a report."""

    RECOMMENDED = "recommended"
    STOPPED = "stopped"
    PROMOTED = "promoted"
    OUTDATED = "outdated"
    OVERTAKEN = "overtaken"


class Deciding:
    """Acts on reports as the plans of their experiments say.

    A plan whose `on_verdict` is "recommend" leaves everything to people. With "stop", a verdict of stop_for_harm stops
    the experiment; with "promote", that, and a verdict of ship stops it too and makes the winner's values the defaults.
    Each is one change of the author "lamella", all of it or nothing.
    """

    def __init__(self, configuration: ConfigurationStore, configuring: Configuring, clock: Clock) -> None:
        self._configuration, self._configuring, self._clock = configuration, configuring, clock

    def act(self, document: Mapping[str, Json]) -> Outcome:
        """What was done about the report `document`.

        OUTDATED where the experiment has meanwhile ended or begun another phase: the report says nothing about that
        one. OVERTAKEN where somebody changed the configuration at this moment: the next report decides again.
        Raises NotFound for an unknown experiment, ConfigurationInvalid where the winner cannot be promoted (nothing is
        done then, and the next report tries again), and what the store raises.
        """
        found = _verdict(document)
        now = self._configuration.load()
        experiment = experiment_of(now, found.experiment)
        wanted = _wanted(experiment.plan.on_verdict, found)
        if wanted is Outcome.RECOMMENDED:
            return wanted
        if not _is_about(experiment, found.phase):
            return Outcome.OUTDATED
        try:
            if wanted is Outcome.STOPPED:
                self._configuring.transition(experiment.key, "stop", author=AUTHOR, expected=now.version)
            else:
                self._promote(experiment.key, str(found.variant), now.version)
        except ConfigurationMoved:
            return Outcome.OVERTAKEN
        return wanted

    def _promote(self, key: str, variant: str, version: int) -> None:
        at = self._clock.now()
        self._configuring.apply(
            "promote", lambda now: promote(now, key, variant, at=at), author=AUTHOR, expected=version
        )


class _Verdict(NamedTuple):
    experiment: str
    phase: Json
    decision: Json
    variant: Json


def _verdict(document: Mapping[str, Json]) -> _Verdict:
    about, verdict = document["experiment"], document["verdict"]
    if not isinstance(about, Mapping) or not isinstance(verdict, Mapping):
        raise TypeError("a report has the objects `experiment` and `verdict`")
    return _Verdict(str(about["key"]), about["phase"], verdict["decision"], verdict.get("variant"))


def _wanted(on_verdict: str, found: _Verdict) -> Outcome:
    """What the plan says to do about the verdict."""
    if found.decision == HARM and on_verdict in ("stop", "promote"):
        return Outcome.STOPPED
    if found.decision == SHIP and on_verdict == "promote" and found.variant is not None:
        return Outcome.PROMOTED
    return Outcome.RECOMMENDED


def _is_about(experiment: Experiment, phase: Json) -> bool:
    """Whether the experiment still stands in the phase that was reported on."""
    is_stoppable = experiment.status in _STOPPABLE and bool(experiment.phases)
    return is_stoppable and experiment.phases[-1].id == phase
