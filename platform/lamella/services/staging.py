"""The life of a model version: candidate, shadow, canary, live, retired; and what a move means for experiments."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final

from lamella.errors import Conflict, InvalidInput, NotFound
from lamella.experiments.model import Configuration, Experiment, Json, Status
from lamella.services.configuring import Configuring
from lamella.services.model_ports import ModelCatalogue, ModelVersion
from lamella.services.ports import Clock, ConfigurationStore

MODEL_SUFFIX: Final = ".model"
"""Parameters whose key ends so hold a reference to a model."""

_LIVE_EXPERIMENTS: Final = (Status.RUNNING, Status.PAUSED)


class Stage(StrEnum):
    """Where a version stands. Whatever its stage, a request that names the very version gets it.

    `candidate` is only published. `shadow` is also asked, in the background, on a share of the requests that the live
    version of its name answers. `canary` answers a share of the units that name it without a number. `live` answers
    the rest of them; a name has at most one. `retired` was live before.
    """

    CANDIDATE = "candidate"
    SHADOW = "shadow"
    CANARY = "canary"
    LIVE = "live"
    RETIRED = "retired"


SHARED: Final = (Stage.SHADOW, Stage.CANARY)
STAND_INS: Final = (Stage.LIVE, Stage.RETIRED)
"""The stages whose versions have served everybody, and may stand in for another."""


class Staging:
    """Moves versions between stages.

    Where a name gets another live version, running experiments whose variants name it enter a new phase: what they
    compare has changed. No unit changes its variant by that.
    """

    def __init__(
        self, models: ModelCatalogue, configuration: ConfigurationStore, configuring: Configuring, clock: Clock
    ) -> None:
        self._models, self._configuration, self._configuring = models, configuration, configuring
        self._clock = clock

    def move(self, reference: str, to: str, *, share: float = 0.0, author: str, reason: str = "") -> ModelVersion:
        """The version in its new stage.

        `share`, over 0 up to 1, is for shadow and canary; `reason` is kept beside the stage. The live version of a
        name leaves that stage by another one's taking it. Raises NotFound, InvalidInput for an unknown stage or a bad
        share, and Conflict where the name would be without a live version that it needs.
        """
        stage = _checked(to, share)
        version = self._models.find(reference) if "@" in reference else None
        if version is None:
            raise NotFound("model version", reference, next_step="name it with its number, see `lamella models list`")
        live = live_version(self._models, version.name)
        if stage in SHARED and live is None:
            raise Conflict(f"{version.name} has no live version beside which {reference} could be {stage}")
        if live is not None and live.reference == reference and stage is not Stage.LIVE:
            self._check_unused(version, stage)
        taken = share if stage in SHARED else 0.0
        moved = self._models.stage(reference, stage, share=taken, at=self._clock.now(), reason=reason)
        if stage is Stage.LIVE and (live is None or live.reference != reference):
            self.announce(version.name, author=author)
        return moved

    def promote(self, reference: str, *, author: str) -> ModelVersion:
        """A freshly published version, live, with every phase that this opens. Safe to repeat after a crash.

        A version that is live already gets the phases that are still missing: experiments whose newest phase began
        before it was live. One that somebody moved to another stage since stays there. Raises NotFound.
        """
        version = self._models.find(reference)
        if version is None:
            raise NotFound("model version", reference, next_step="`lamella models list` shows what is published")
        if version.stage == Stage.CANDIDATE:
            return self.move(reference, Stage.LIVE, author=author)
        if version.stage == Stage.LIVE:
            self.announce(version.name, author=author, since=version.staged_at)
        return version

    def announce(self, name: str, *, author: str, since: datetime | None = None) -> None:
        """Opens a phase in every running experiment whose variants name the model without a number.

        Those whose newest phase began at `since` or later have theirs already.
        """
        for experiment in _users(self._configuration.load(), name):
            if since is None or experiment.phases[-1].started_at < since:
                self._configuring.new_phase(experiment, author=author, salt=experiment.phases[-1].salt)

    def _check_unused(self, version: ModelVersion, stage: Stage) -> None:
        if stage is not Stage.RETIRED:
            raise Conflict(f"{version.reference} is live; make another version of {version.name} live instead")
        if version.name in set(models_of(self._configuration.load())):
            raise Conflict(
                f"{version.reference} is the live version of {version.name}, which the configuration names; "
                "make another version live, or take the name out of it"
            )


def live_version(models: ModelCatalogue, name: str) -> ModelVersion | None:
    """The live version of the name, if it has one."""
    return next((each for each in models.all() if each.name == name and each.stage == Stage.LIVE), None)


def models_of(configuration: Configuration) -> Iterator[str]:
    """Every model that parameters name: by default, or in a variant that may serve."""
    for parameter in configuration.parameters:
        if parameter.key.endswith(MODEL_SUFFIX):
            yield from _named({parameter.key: parameter.default})
    for experiment in configuration.experiments:
        if experiment.status in (Status.SCHEDULED, *_LIVE_EXPERIMENTS):
            yield from _models_of(experiment)


def _users(configuration: Configuration, name: str) -> list[Experiment]:
    running = [one for one in configuration.experiments if one.status in _LIVE_EXPERIMENTS]
    return [one for one in running if name in set(_models_of(one))]


def _models_of(experiment: Experiment) -> Iterator[str]:
    for variant in experiment.variants:
        yield from _named(variant.values)


def _named(values: Mapping[str, Json]) -> Iterator[str]:
    return (value for key, value in values.items() if key.endswith(MODEL_SUFFIX) and isinstance(value, str) and value)


def _checked(to: str, share: float) -> Stage:
    try:
        stage = Stage(to)
    except ValueError:
        raise InvalidInput(f"stage {to!r} is none of {', '.join(Stage)}") from None
    if stage in SHARED and not 0 < share <= 1:
        raise InvalidInput(f"share={share:g}: a {stage} takes a share of the traffic, over 0 up to 1")
    if stage not in SHARED and share not in (0, 1):
        raise InvalidInput(f"share={share:g}: only {' and '.join(sorted(SHARED))} take a share of the traffic")
    return stage
