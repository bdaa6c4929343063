"""Changes to layers, parameters and experiments: checked as a whole, committed against the version they were made from.

Each change is a pure function of `experiments.lifecycle`. Where somebody else committed first, it is made again from
the newer configuration, unless the caller named the version that it expects.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from lamella.errors import ConfigurationInvalid, ConfigurationMoved, InvalidInput
from lamella.experiments import allocation, lifecycle
from lamella.experiments.model import Configuration, Experiment, Layer, Parameter, Status
from lamella.experiments.selection import experiment_of, layer_of, parameter_of, with_experiment
from lamella.services.admin_ports import Approval
from lamella.services.foreseeing import Foreseeing
from lamella.services.ports import Clock, ConfigurationStore
from lamella.services.stage_values import unusable_values

Change: TypeAlias = Callable[[Configuration], Configuration]
_RETRIES: Final = 3
MOVES: Final = ("schedule", "unschedule", "start", "pause", "resume", "stop", "archive")


class Configuring:
    """The admin's use cases. `metrics` are the keys of the known metrics.

    With `foreseeing`, what is under-powered for its plan is not scheduled or started, unless it says that it may be.

    Every method takes the author, who is named in the revision, and `expected`: the configuration's version that the
    author saw, or None to apply the change to whatever is newest. A refused change leaves nothing behind. Besides
    what the life cycle raises, each raises ConfigurationInvalid for a new value that the recommender's stages could
    not use, ConfigurationMoved (the version is not the expected one, or three retries were overtaken too) and what the
    store raises.
    """

    def __init__(
        self,
        store: ConfigurationStore,
        clock: Clock,
        metrics: Collection[str],
        *,
        foreseeing: Foreseeing | None = None,
    ) -> None:
        self._store, self._clock, self._foreseeing = store, clock, foreseeing
        self._metrics = frozenset(metrics)

    def apply(
        self,
        action: str,
        change: Change,
        *,
        author: str,
        expected: int | None = None,
        approval: Approval | None = None,
    ) -> Configuration:
        """The configuration after `change`, a pure function that may be called again, under the name `action`.

        With `approval` its proposal is applied by the same transaction, also where nothing differs.
        """
        return self._change(action, change, author, expected, approval)

    def moved(self, now: Configuration, key: str, move: str, *, accept_underpowered: bool = False) -> Configuration:
        """`now` as it would be after a move of MOVES; nothing is stored. Raises what the life cycle raises.

        With `accept_underpowered` the experiment says from then on that it may be under-powered.
        """
        return self._move(now, key, move, accept_underpowered=accept_underpowered)

    def warnings(self, now: Configuration, key: str) -> Sequence[str]:
        """What a start of the experiment would not be refused for, and is still to be known."""
        return () if self._foreseeing is None else self._foreseeing.forecast(now, experiment_of(now, key)).warnings

    def power_faults(self, now: Configuration, experiment: Experiment) -> Sequence[str]:
        """Why the measured traffic is too small for the plan; nothing where it is not, or is not known."""
        return () if self._foreseeing is None else self._foreseeing.forecast(now, experiment).faults

    def create_layer(self, layer: Layer, *, author: str, expected: int | None = None) -> Layer:
        """The new layer as stored."""
        after = self._change("create", lambda now: lifecycle.add_layer(now, layer), author, expected)
        return layer_of(after, layer.key)

    def create_parameter(self, parameter: Parameter, *, author: str, expected: int | None = None) -> Parameter:
        """The new parameter as stored."""
        after = self._change("create", lambda now: lifecycle.add_parameter(now, parameter), author, expected)
        return parameter_of(after, parameter.key)

    def create_experiment(
        self, experiment: Experiment, *, author: str, share: float | None = None, expected: int | None = None
    ) -> Experiment:
        """The new draft as stored; with `share`, and no ranges of its own, on free buckets for that share."""

        def create(now: Configuration) -> Configuration:
            chosen = experiment
            if share is not None:
                if experiment.ranges:
                    raise InvalidInput("both share and ranges are given; give the share, or choose the buckets")
                chosen = replace(experiment, ranges=allocation.allocate(now, experiment.layer, share))
            return lifecycle.add_experiment(now, chosen)

        return experiment_of(self._change("create", create, author, expected), experiment.key)

    def update_experiment(self, experiment: Experiment, *, author: str, expected: int | None = None) -> Experiment:
        """The experiment as stored after the change; its status and phases are not taken from the argument."""
        after = self._change("update", lambda now: lifecycle.update_experiment(now, experiment), author, expected)
        return experiment_of(after, experiment.key)

    def new_phase(
        self, experiment: Experiment, *, author: str, salt: str | None = None, expected: int | None = None
    ) -> Experiment:
        """The running or paused experiment in a new phase, with the variants and the rule of the argument."""

        def open_phase(now: Configuration) -> Configuration:
            return lifecycle.new_phase(now, experiment, at=self._clock.now(), metrics=self._metrics, salt=salt)

        return experiment_of(self._change("new_phase", open_phase, author, expected), experiment.key)

    def ramp(self, key: str, share: float, *, author: str, expected: int | None = None) -> Experiment:
        """The experiment on `share` of its layer's buckets: those it had and more, so that nobody leaves."""

        def grow(now: Configuration) -> Configuration:
            return lifecycle.ramp(now, key, share, at=self._clock.now())

        return experiment_of(self._change("ramp", grow, author, expected), key)

    def hold_back(self, key: str, faults: Sequence[str], *, author: str, expected: int | None = None) -> Experiment:
        """The scheduled experiment with the reasons for which it could not start at its time."""
        after = self._change("hold_back", lambda now: lifecycle.hold_back(now, key, faults), author, expected)
        return experiment_of(after, key)

    def transition(
        self,
        key: str,
        move: str,
        *,
        author: str,
        accept_underpowered: bool = False,
        expected: int | None = None,
    ) -> Experiment:
        """The experiment after the move: schedule, unschedule, start, pause, resume, stop or archive."""
        if move not in MOVES:
            raise InvalidInput(f"{move!r} is no move; there are {', '.join(MOVES)}")

        def change(now: Configuration) -> Configuration:
            return self._move(now, key, move, accept_underpowered=accept_underpowered)

        return experiment_of(self._change(move, change, author, expected), key)

    def kill(self, *, author: str, expected: int | None = None) -> Configuration:
        """The configuration with the kill switch on: every unit gets the defaults."""
        return self._change("kill", lifecycle.kill, author, expected)

    def unkill(self, *, author: str, expected: int | None = None) -> Configuration:
        """The configuration with the kill switch off."""
        return self._change("unkill", lifecycle.unkill, author, expected)

    def _move(self, now: Configuration, key: str, move: str, *, accept_underpowered: bool = False) -> Configuration:
        at = self._clock.now()
        power: Sequence[str] = ()
        if move in ("schedule", "start"):
            if accept_underpowered:
                now = with_experiment(now, replace(experiment_of(now, key), accept_underpowered=True))
            # What is scheduled passed when it was; another day's traffic does not hold it back.
            wanted = experiment_of(now, key)
            power = self.power_faults(now, wanted) if wanted.status is Status.DRAFT else ()
        moves: dict[str, Change] = {
            "schedule": lambda now: lifecycle.schedule(now, key, metrics=self._metrics, faults=power),
            "unschedule": lambda now: lifecycle.unschedule(now, key),
            "start": lambda now: lifecycle.start(now, key, at=at, metrics=self._metrics, faults=power),
            "pause": lambda now: lifecycle.pause(now, key),
            "resume": lambda now: lifecycle.resume(now, key),
            "stop": lambda now: lifecycle.stop(now, key, at=at),
            "archive": lambda now: lifecycle.archive(now, key),
        }
        return moves[move](now)

    def _change(
        self, action: str, change: Change, author: str, expected: int | None, approval: Approval | None = None
    ) -> Configuration:
        tries_left = _RETRIES
        while True:
            now = self._store.load()
            if expected is not None and now.version != expected:
                raise ConfigurationMoved(expected, now.version)
            after = change(now)
            if after == now and approval is None:
                return now
            _refuse_unusable(now, after)
            try:
                return self._store.commit(after, author=author, action=action, at=self._clock.now(), approval=approval)
            except ConfigurationMoved:
                if expected is not None or not tries_left:
                    raise
                tries_left -= 1


def _refuse_unusable(now: Configuration, after: Configuration) -> None:
    """Refuses what the change brings; what was stored already, by whatever way, hinders no other change."""
    faults = unusable_values(after)
    if faults:
        known = set(unusable_values(now))
        faults = [fault for fault in faults if fault not in known]
    if faults:
        raise ConfigurationInvalid(*faults)
