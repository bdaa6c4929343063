"""Assignment for the processes that serve: the newest snapshot, held and swapped whole, and checked input."""

import threading
from collections.abc import Mapping
from typing import Final, TypeAlias

import orjson

from lamella.errors import InvalidInput
from lamella.experiments.checklist import unit_fault
from lamella.experiments.explain import explain
from lamella.experiments.fields import kind_of, value_fault
from lamella.experiments.lanes import NOTHING_FORCED
from lamella.experiments.model import Configuration, Json, UnitKind
from lamella.experiments.snapshot import Decision, Snapshot, Units, compile_snapshot
from lamella.services.ports import Clock, ConfigurationStore
from lamella.services.previewing import Previews
from lamella.services.remembering import NoMemory, Remembering

CONTEXT_BYTES: Final = 64 * 1024
UnitsGiven: TypeAlias = "str | Mapping[str, str]"


class SnapshotHolder:
    """The snapshot that this process assigns by. `current` never waits; `refresh` swaps it for a newer one.

    Before the first refresh it holds the empty configuration, version 0, and `is_loaded` is False. It starts no
    thread: whoever serves calls `refresh` as often as a change should take to arrive. With a clock, holdouts begin and
    end at their time; without one, only those without a period are in force.
    """

    def __init__(self, store: ConfigurationStore, clock: Clock | None = None) -> None:
        self._store, self._clock = store, clock
        self._snapshot = compile_snapshot(Configuration())
        self._lock = threading.Lock()
        self._loaded = False
        self._failures = 0

    @property
    def failures(self) -> int:
        """How many refreshes failed since the process began."""
        return self._failures

    @property
    def is_loaded(self) -> bool:
        """Whether a configuration of the store was ever taken."""
        return self._loaded

    def current(self) -> Snapshot:
        """The snapshot in force; safe from any thread, and the same object until a refresh swaps it."""
        return self._snapshot

    def refresh(self) -> bool:
        """Whether another snapshot was taken: of another version, or because a holdout began or ended.

        One call at a time loads; the others wait.

        Raises what the store raises, or ConfigurationInvalid where the newest configuration cannot assign. The old
        snapshot then stays in force, and `failures` counts it.
        """
        with self._lock:
            try:
                return self._load_newer()
            except Exception:
                self._failures += 1
                raise

    def _load_newer(self) -> bool:
        at = None if self._clock is None else self._clock.now()
        changes_at = self._snapshot.changes_at
        has_come = changes_at is not None and at is not None and changes_at <= at
        if self._loaded and not has_come and self._store.version() == self._snapshot.version:
            return False
        self._snapshot = compile_snapshot(self._store.load(), at)
        self._loaded = True
        return True


class Assigning:
    """What a unit gets, and why. Logs nothing: whoever shows something records the exposure.

    `remembering` finds what units were exposed to; `previews` reads signed links. Units are a user, or units by kind.
    """

    def __init__(
        self, snapshots: SnapshotHolder, remembering: Remembering | None = None, previews: Previews | None = None
    ) -> None:
        self._snapshots, self._previews = snapshots, previews
        self._remembering = remembering or Remembering(NoMemory())

    def assign(self, unit: UnitsGiven, context: Mapping[str, Json], *, preview: str | None = None) -> Decision:
        """The decision for `unit` by the snapshot in force.

        Raises InvalidInput for a bad unit, context or preview, and what the store raises of which something must be
        remembered.
        """
        units = check_units(unit)
        check_context(context)
        forced = forced_by(self._previews, preview)
        return self._remembering.decide(self._snapshots.current(), units, context, forced=forced)

    def decide(self, snapshot: Snapshot, units: Units, context: Mapping[str, Json]) -> Decision:
        """The decision by this snapshot for units and a context that were checked already."""
        return self._remembering.decide(snapshot, units, context)

    def explain(self, unit: UnitsGiven, context: Mapping[str, Json], *, preview: str | None = None) -> dict[str, Json]:
        """The same decision step by step, as a JSON object. Raises the same."""
        units = check_units(unit)
        check_context(context)
        snapshot, forced = self._snapshots.current(), forced_by(self._previews, preview)
        remembered = self._remembering.of(snapshot, units, context)
        return explain(snapshot, units, context, remembered=remembered, forced=forced)


def forced_by(previews: Previews | None, token: str | None) -> Mapping[str, str]:
    """What the preview's token forces; nothing without one. Raises InvalidInput."""
    if token is None:
        return NOTHING_FORCED
    if previews is None:
        raise InvalidInput("previews are not read here; take the preview out")
    return previews.read(token)


def check_units(given: UnitsGiven) -> Units:
    """The units as assignment takes them: the user, or units by their kind.

    Raises InvalidInput for a unit that cannot be randomised, and for a kind that there is not.
    """
    if not isinstance(given, Mapping):
        return check_unit(given)
    kinds = {kind.value: kind for kind in UnitKind}
    unknown = [str(kind) for kind in given if kind not in kinds]
    if unknown or not given:
        raise InvalidInput(f"units has {', '.join(map(repr, unknown)) or 'nothing'}; name {', '.join(kinds)}")
    return {kinds[kind]: check_unit(one) for kind, one in given.items()}


def check_unit(unit: object) -> str:
    """The unit itself. Raises InvalidInput unless it is text of 1 to 256 characters without control characters."""
    if not isinstance(unit, str):
        raise InvalidInput(f"the unit is {kind_of(unit)}; send text, the id of the user, device or session")
    if fault := unit_fault(unit):
        raise InvalidInput(fault)
    return unit


def size_fault(context: Mapping[str, Json]) -> str | None:
    """Why the context is too large to be sent, or None if it is not: 64 kB as JSON."""
    size = len(orjson.dumps(context))
    return f"has {size} bytes; send at most {CONTEXT_BYTES}" if size > CONTEXT_BYTES else None


def check_context(context: object) -> Mapping[str, Json]:
    """The context itself. Raises InvalidInput unless it is a JSON object at most 32 levels deep.

    Its size is limited where it enters, see `size_fault`.
    """
    if not isinstance(context, Mapping):
        raise InvalidInput(f"the context is {kind_of(context)}; send an object such as {{'country': 'CN'}}")
    if fault := value_fault(context):
        raise InvalidInput(f"the context {fault}")
    return context
