"""What time brings: scheduled experiments start, ramps take their next step, and experiments stop at their end.

Each is a revision of the author "lamella". A start that the check-list refuses leaves the experiment scheduled, with
the reasons in its `start_faults`, and is tried again.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from lamella.errors import ConfigurationInvalid, ConfigurationMoved
from lamella.experiments.model import Configuration, Experiment, Json, Status
from lamella.experiments.ramps import next_step, since
from lamella.services.configuring import Configuring
from lamella.services.deciding import AUTHOR
from lamella.services.ports import AnalysisStore, Clock, ConfigurationStore

SAFE: Final = frozenset({"ship", "no_difference", "keep_running"})
"""The verdicts that let a gated ramp go on: no harm, no guardrail broken, no failed check."""


class Step(NamedTuple):
    """Something that was done about an experiment: start, held_back, ramp, stuck or stop; `detail` says more."""

    experiment: str
    move: str
    detail: str = ""


class Ramping:
    """Does what is due. Steps that somebody's own change overtakes are left to the next call."""

    def __init__(
        self, configuration: ConfigurationStore, configuring: Configuring, analysis: AnalysisStore, clock: Clock
    ) -> None:
        self._configuration, self._configuring = configuration, configuring
        self._analysis, self._clock = analysis, clock

    def advance(self) -> Sequence[Step]:
        """What was done, experiment by experiment. Raises what the stores raise."""
        done: list[Step] = []
        for key in [one.key for one in self._configuration.load().experiments]:
            now = self._configuration.load()
            experiment = next((one for one in now.experiments if one.key == key), None)
            try:
                step = None if experiment is None else self._advance(now, experiment, self._clock.now())
            except ConfigurationMoved:
                continue
            if step is not None:
                done.append(step)
        return done

    def _advance(self, now: Configuration, experiment: Experiment, at: datetime) -> Step | None:
        ends_at = experiment.ends_at if experiment.status in (Status.RUNNING, Status.PAUSED) else None
        if ends_at is not None and ends_at <= at:
            self._configuring.transition(experiment.key, "stop", author=AUTHOR, expected=now.version)
            return Step(experiment.key, "stop", f"its end was {ends_at.isoformat()}")
        if experiment.status is Status.SCHEDULED and experiment.starts_at is not None and experiment.starts_at <= at:
            return self._start(now, experiment)
        return self._ramp(now, experiment, at)

    def _start(self, now: Configuration, experiment: Experiment) -> Step | None:
        try:
            self._configuring.transition(experiment.key, "start", author=AUTHOR, expected=now.version)
        except ConfigurationInvalid as refused:
            if refused.faults == experiment.start_faults:
                return None
            self._configuring.hold_back(experiment.key, refused.faults, author=AUTHOR, expected=now.version)
            return Step(experiment.key, "held_back", str(refused))
        return Step(experiment.key, "start")

    def _ramp(self, now: Configuration, experiment: Experiment, at: datetime) -> Step | None:
        if experiment.ramp is None or experiment.status is not Status.RUNNING:
            return None
        share = next_step(experiment, at, is_safe=self._is_safe(experiment))
        if share is None:
            return None
        try:
            self._configuring.ramp(experiment.key, share, author=AUTHOR, expected=now.version)
        except ConfigurationInvalid as refused:
            return Step(experiment.key, "stuck", str(refused))
        return Step(experiment.key, "ramp", f"to {share:g} of the layer")

    def _is_safe(self, experiment: Experiment) -> bool | None:
        """Whether the newest report since the last step found nothing against the next; None without such a report."""
        report = self._analysis.latest_report(experiment.key)
        if report is None or _inner(report, "experiment", "phase") != experiment.phases[-1].id:
            return None
        if datetime.fromisoformat(str(report["as_of"])) <= since(experiment):
            return None
        return _inner(report, "verdict", "decision") in SAFE


def _inner(report: Mapping[str, Json], part: str, field: str) -> Json:
    inner = report.get(part)
    return inner.get(field) if isinstance(inner, Mapping) else None
