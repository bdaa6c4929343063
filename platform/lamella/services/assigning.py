"""Assignment for the processes that serve: the newest snapshot, held and swapped whole, and checked input."""

import threading
from collections.abc import Mapping

from lamella.errors import InvalidInput
from lamella.experiments.checklist import unit_fault
from lamella.experiments.explain import explain
from lamella.experiments.fields import kind_of, value_fault
from lamella.experiments.model import Configuration, Json
from lamella.experiments.snapshot import Decision, Snapshot, compile_snapshot
from lamella.services.ports import ConfigurationStore


class SnapshotHolder:
    """The snapshot that this process assigns by. `current` never waits; `refresh` swaps it for a newer one.

    Before the first refresh it holds the empty configuration, version 0, and `is_loaded` is False. It starts no
    thread: whoever serves calls `refresh` as often as a change should take to arrive.
    """

    def __init__(self, store: ConfigurationStore) -> None:
        self._store = store
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
        """Whether a configuration of another version was taken. One call at a time loads; the others wait.

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
        if self._loaded and self._store.version() == self._snapshot.version:
            return False
        self._snapshot = compile_snapshot(self._store.load())
        self._loaded = True
        return True


class Assigning:
    """What a unit gets, and why. Logs nothing: whoever shows something records the exposure."""

    def __init__(self, snapshots: SnapshotHolder) -> None:
        self._snapshots = snapshots

    def assign(self, unit: str, context: Mapping[str, Json]) -> Decision:
        """The decision for `unit` by the snapshot in force. Raises InvalidInput for a bad unit or context."""
        check_unit(unit)
        check_context(context)
        return self._snapshots.current().assign(unit, context)

    def explain(self, unit: str, context: Mapping[str, Json]) -> dict[str, Json]:
        """The same decision step by step, as a JSON object. Raises InvalidInput for a bad unit or context."""
        check_unit(unit)
        check_context(context)
        return explain(self._snapshots.current(), unit, context)


def check_unit(unit: object) -> str:
    """The unit itself. Raises InvalidInput unless it is text of 1 to 256 characters without control characters."""
    if not isinstance(unit, str):
        raise InvalidInput(f"the unit is {kind_of(unit)}; send text, the id of the user, device or session")
    if fault := unit_fault(unit):
        raise InvalidInput(fault)
    return unit


def check_context(context: object) -> Mapping[str, Json]:
    """The context itself. Raises InvalidInput unless it is a JSON object at most 32 levels deep.

    Its size is limited where it enters: 64 kB as JSON over HTTP.
    """
    if not isinstance(context, Mapping):
        raise InvalidInput(f"the context is {kind_of(context)}; send an object such as {{'country': 'CN'}}")
    if fault := value_fault(context):
        raise InvalidInput(f"the context {fault}")
    return context
