"""Exposures that happened outside of any slate: told by those that evaluate in process, by OFREP or with flagd.

The assignment is the one that the exposure states, and is never computed again; only an exposure that states no variant
is assigned at the moment in which it arrives.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final

from lamella.errors import InvalidEvent, InvalidInput, NotFound
from lamella.events.codec import Fault, encode, fault_of
from lamella.events.contract import Exposed, Exposure
from lamella.events.validation import LATE, check_time, read_text, read_time, shown
from lamella.experiments.assignment import Assignment
from lamella.experiments.compiling import LIVE
from lamella.experiments.flags import Flags, units_of
from lamella.experiments.model import Experiment, Json
from lamella.experiments.selection import experiment_of
from lamella.experiments.snapshot import Snapshot
from lamella.services.assigning import check_context, check_unit, size_fault
from lamella.services.ports import Clock, Journal
from lamella.services.recommending import Snapshots
from lamella.services.recording import EVENTS_LIMIT, Receipt, Rejection
from lamella.services.remembering import NoMemory, Remembering

REASONS: Final[Mapping[str, str]] = {
    "no_target": "it names neither experiment, parameter nor phase",
    "unknown_experiment": "there is no such experiment",
    "unknown_parameter": "there is no such parameter",
    "unknown_phase": "the experiment has no such phase",
    "unknown_variant": "the experiment, or the flag, has no such variant",
    "not_running": "the experiment does not run, and no phase is stated",
    "not_assigned": "it states no variant, and the unit gets none now",
    "bad_unit": "the unit cannot be randomised",
    "bad_context": "the context is no usable JSON object",
}
"""Why an exposure is rejected, besides what `lamella.events.validation` names."""

_FIELDS: Final = frozenset(
    ("exposure_id", "unit", "experiment", "parameter", "phase", "variant", "counted", "time", "context")
)
_NO_CONTEXT: Final[Mapping[str, Json]] = {}


class Exposing:
    """Takes in exposures. `late` is how old one may be; `remembering` decides for those that state no variant."""

    def __init__(
        self,
        snapshots: Snapshots,
        journal: Journal,
        clock: Clock,
        *,
        late: timedelta = LATE,
        remembering: Remembering | None = None,
    ) -> None:
        self._snapshots, self._journal, self._clock, self._late = snapshots, journal, clock, late
        self._remembering = remembering or Remembering(NoMemory())

    def reader(self) -> "Reader":
        """What reads exposures now, against the configuration in force."""
        return Reader(self._snapshots.current(), self._clock.now(), self._late, self._remembering)

    def exposures(self, documents: object) -> Receipt:
        """Which of the exposures (JSON objects, at most 1,000) are now durable; a bad one never sinks the others.

        A repeat of an `exposure_id` is accepted, and changes nothing. Raises InvalidInput if `documents` is no list or
        too long, Overloaded or StoreUnavailable if nothing was kept.
        """
        if not isinstance(documents, list):
            raise InvalidInput(f"exposures is {type(documents).__name__}; send a list of objects")
        if len(documents) > EVENTS_LIMIT:
            raise InvalidInput(f"{len(documents)} exposures in one call; send at most {EVENTS_LIMIT}")
        reader = self.reader()
        accepted: list[Exposure] = []
        rejected: list[Rejection] = []
        faults: list[Fault] = []
        for index, document in enumerate(documents):
            try:
                accepted.append(reader.read(document))
            except InvalidEvent as error:
                fault = replace(fault_of(document, error), kind="exposure")
                faults.append(fault)
                rejected.append(Rejection(index=index, event_id=fault.key, code=error.why, reason=str(error)))
        if accepted or faults:
            self._journal.append(encode([*accepted, *faults]))
        return Receipt(accepted=len(accepted), rejected=tuple(rejected))


class Reader:
    """Reads exposures against one snapshot."""

    def __init__(self, snapshot: Snapshot, now: datetime, late: timedelta, remembering: Remembering) -> None:
        self._snapshot, self._now, self._late, self._remembering = snapshot, now, late, remembering
        self._experiments = {one.key: one for one in snapshot.configuration.experiments}
        self._holders = {phase.id: one.key for one in snapshot.configuration.experiments for phase in one.phases}

    @cached_property
    def _flags(self) -> Flags:
        return Flags(self._snapshot)

    def read(self, document: object) -> Exposure:
        """The exposure that the object states. Raises InvalidEvent."""
        if not isinstance(document, dict):
            raise InvalidEvent("not_an_object", f"an exposure is a JSON object, not {type(document).__name__}")
        if unknown := sorted(f"{key!r:.80}" for key in document.keys() - _FIELDS):
            known = ", ".join(sorted(_FIELDS))
            raise InvalidEvent("unknown_field", f"an exposure has no field {', '.join(unknown)}; use {known}")
        exposure_id, unit = read_text(document, "exposure_id"), read_text(document, "unit")
        try:
            check_unit(unit)
        except InvalidInput as error:
            raise InvalidEvent("bad_unit", str(error)) from None
        context = document.get("context")
        if isinstance(context, dict) and (fault := size_fault(context)):
            raise InvalidEvent("bad_context", f"the context {fault}")
        time = self._now if document.get("time") is None else read_time(document)
        check_time(time, self._now, late=self._late)
        read = self._stated if document.get("variant") is not None else self._given_now
        return Exposure(exposure_id=exposure_id, unit=unit, time=time, exposed=read(document, unit))

    def _stated(self, document: Mapping[str, object], unit: str) -> Exposed:
        """The phase and variant that the exposure states."""
        variant = read_text(document, "variant")
        if document.get("experiment") is None and document.get("phase") is None:
            experiment, variant = self._by_flag(document, variant)
        else:
            experiment = self._experiment(document)
        keys = [one.key for one in experiment.variants]
        if variant not in keys:
            known = ", ".join(keys)
            raise InvalidEvent("unknown_variant", f"experiment {experiment.key!r} has no variant {variant!r}: {known}")
        counted = document.get("counted", True)
        if not isinstance(counted, bool):
            raise InvalidEvent("wrong_type", f"counted is {shown(counted)}; send true or false")
        is_forced = unit in experiment.forced
        return Exposed(phase=_phase(document, experiment), variant=variant, counted=counted and not is_forced)

    def _by_flag(self, document: Mapping[str, object], name: str) -> tuple[Experiment, str]:
        parameter = self._parameter(document)
        found = self._flags.flag(parameter).named(name)
        if found is None:
            raise InvalidEvent(
                "unknown_variant", f"flag {parameter!r} has no variant {name!r} of an experiment now; state the phase"
            )
        return self._experiments[found[0]], found[1]

    def _experiment(self, document: Mapping[str, object]) -> Experiment:
        key = document.get("experiment")
        if key is None:
            holder = self._holders.get(_whole_phase(document))
            if holder is None:
                raise InvalidEvent("unknown_phase", f"no experiment has phase {shown(document.get('phase'))}")
            return self._experiments[holder]
        try:
            return experiment_of(self._snapshot.configuration, read_text(document, "experiment"))
        except NotFound as error:
            raise InvalidEvent("unknown_experiment", str(error)) from None

    def _parameter(self, document: Mapping[str, object]) -> str:
        if document.get("parameter") is None:
            raise InvalidEvent("no_target", "name the experiment, the parameter or the phase that the unit met")
        parameter = read_text(document, "parameter")
        if parameter not in self._flags:
            raise InvalidEvent("unknown_parameter", f"no parameter {parameter!r}; GET /v1/admin/parameters lists them")
        return parameter

    def _given_now(self, document: Mapping[str, object], unit: str) -> Exposed:
        """What the unit gets at this moment, for an exposure that states no variant."""
        try:
            context = check_context(document.get("context") or _NO_CONTEXT)
            decision = self._remembering.decide(self._snapshot, units_of(unit, context), context)
        except InvalidInput as error:
            raise InvalidEvent("bad_context", str(error)) from None
        if document.get("experiment") is not None or document.get("phase") is not None:
            key = self._experiment(document).key
        else:
            (flag,) = self._flags.evaluate(decision, [self._parameter(document)])
            key = str(flag.metadata.get("experiment", ""))
        given = next((one for one in decision.assignments if one.experiment == key), None)
        return _exposed(given, key, unit)


def _exposed(given: Assignment | None, key: str, unit: str) -> Exposed:
    if given is None or given.phase is None or given.variant is None:
        detail = given.detail if given else "it is in no experiment there"
        raise InvalidEvent("not_assigned", f"unit {unit!r:.80} gets no variant of {key!r} now: {detail}")
    return Exposed(phase=given.phase, variant=given.variant, counted=given.counted)


def _phase(document: Mapping[str, object], experiment: Experiment) -> int:
    if document.get("phase") is None:
        if experiment.status not in LIVE or not experiment.phases:
            raise InvalidEvent("not_running", f"experiment {experiment.key!r} is {experiment.status}; state the phase")
        return experiment.phases[-1].id
    phase = _whole_phase(document)
    if phase not in [one.id for one in experiment.phases]:
        raise InvalidEvent("unknown_phase", f"experiment {experiment.key!r} has no phase {phase}")
    return phase


def _whole_phase(document: Mapping[str, object]) -> int:
    phase = document.get("phase")
    if type(phase) is not int:
        raise InvalidEvent("wrong_type", f"phase is {shown(phase)}; send its id, a whole number")
    return phase
