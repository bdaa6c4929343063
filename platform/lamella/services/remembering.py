"""Decisions that remember: units keep the variant that they were exposed to where the policy is to stick.

The store is asked only for a unit that is in the buckets of such an experiment and that its rule no longer lets in.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final

from lamella.experiments.lanes import NOBODY, NOTHING_FORCED
from lamella.experiments.model import Json, UnitKind
from lamella.experiments.snapshot import Decision, Snapshot, Units
from lamella.services.assignment_ports import StickyStore

CAPACITY: Final = 100_000
"""How many exposures a process remembers; the one that was not asked for longest goes first."""


class NoMemory:
    """Remembers nothing: the null twin of the store."""

    def variants(self, unit: str, phases: Sequence[int]) -> Mapping[int, str]:  # noqa: ARG002 - the port has it
        """Nothing, for every unit."""
        return NOBODY


class Remembering:
    """Decides by a snapshot, with what `store` and this process know of earlier exposures. Safe from any thread.

    Only exposures are kept in memory, never their absence: one that arrives later counts from then on.
    """

    def __init__(self, store: StickyStore, *, capacity: int = CAPACITY) -> None:
        self._store, self._capacity = store, capacity
        self._known: OrderedDict[tuple[int, str], str] = OrderedDict()
        self._lock = threading.Lock()

    def decide(
        self,
        snapshot: Snapshot,
        unit: Units,
        context: Mapping[str, Json],
        *,
        forced: Mapping[str, str] = NOTHING_FORCED,
    ) -> Decision:
        """The decision of the snapshot. Raises what the store raises, where it must be asked."""
        decision = snapshot.assign(unit, context, forced=forced)
        remembered = self._recall(snapshot, unit, decision) if snapshot.keeping else NOBODY
        return snapshot.assign(unit, context, forced=forced, remembered=remembered) if remembered else decision

    def of(self, snapshot: Snapshot, unit: Units, context: Mapping[str, Json]) -> Mapping[int, str]:
        """What is remembered of the unit that matters for its decision: phases with their variants."""
        return self._recall(snapshot, unit, snapshot.assign(unit, context)) if snapshot.keeping else NOBODY

    def note(self, snapshot: Snapshot, unit: Units, decision: Decision) -> None:
        """Nothing; keeps in mind what the unit is exposed to by `decision`, until the store knows it too."""
        if not snapshot.keeping:
            return
        kinds = {layer.key: layer.unit for layer in snapshot.configuration.layers}
        for one in decision.assignments:
            named = _named(unit, kinds[one.layer])
            if one.counted and named is not None and one.phase in snapshot.keeping and one.variant is not None:
                self._keep(one.phase, named, one.variant)

    def _recall(self, snapshot: Snapshot, unit: Units, decision: Decision) -> Mapping[int, str]:
        """The variants that experiments keep for the unit which the decision gave none."""
        phases = snapshot.kept_phases(decision)
        if not phases:
            return NOBODY
        found: dict[int, str] = {}
        wanted: dict[UnitKind, list[int]] = {}
        for phase, kind in phases.items():
            named = _named(unit, kind)
            known = None if named is None else self._known.get((phase, named))
            if known is not None:
                found[phase] = known
            elif named is not None:
                wanted.setdefault(kind, []).append(phase)
        for kind, missing in wanted.items():
            named = _named(unit, kind) or ""
            for phase, variant in self._store.variants(named, missing).items():
                self._keep(phase, named, variant)
                found[phase] = variant
        return found

    def _keep(self, phase: int, unit: str, variant: str) -> None:
        with self._lock:
            self._known[phase, unit] = variant
            self._known.move_to_end((phase, unit))
            if len(self._known) > self._capacity:
                self._known.popitem(last=False)


def _named(unit: Units, kind: UnitKind) -> str | None:
    if isinstance(unit, str):
        return unit if kind is UnitKind.USER else None
    return unit.get(kind)
