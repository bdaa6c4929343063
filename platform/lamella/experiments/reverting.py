"""The change that undoes another: what the revision changed becomes what it was, by a legal move, or is refused.

A revert is a change like any other, under the same laws: what units were given is in the record and cannot be undone,
so a start or a new phase is not reverted but paused, stopped, or followed by another phase.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from lamella.errors import Conflict
from lamella.experiments import editing, lifecycle, measures, traffic
from lamella.experiments.differences import differences
from lamella.experiments.document import (
    domain_document,
    domain_from_document,
    experiment_document,
    experiment_from_document,
    holdout_document,
    holdout_from_document,
    layer_document,
    layer_from_document,
    parameter_document,
    parameter_from_document,
)
from lamella.experiments.model import Configuration, Json, Status
from lamella.experiments.selection import domain_of, experiment_of, holdout_of, layer_of, parameter_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a revision did: to which thing, with its documents before and after (None where it did not exist)."""

    action: str
    kind: str
    key: str
    before: Json
    after: Json


_Restore = Callable[[Configuration, Mapping[str, Json]], Configuration]
_Remove = Callable[[Configuration, str], Configuration]
_LEAVES: Final[Mapping[str, tuple[_Restore, _Restore, _Remove]]] = {
    "layer": (
        lambda now, document: lifecycle.add_layer(now, layer_from_document(document)),
        lambda now, document: editing.update_layer(now, layer_from_document(document)),
        editing.remove_layer,
    ),
    "parameter": (
        lambda now, document: lifecycle.add_parameter(now, parameter_from_document(document)),
        lambda now, document: editing.update_parameter(now, parameter_from_document(document)),
        editing.remove_parameter,
    ),
    "domain": (
        lambda now, document: traffic.add_domain(now, domain_from_document(document)),
        lambda now, document: traffic.update_domain(now, domain_from_document(document)),
        traffic.remove_domain,
    ),
    "holdout": (
        lambda now, document: traffic.add_holdout(now, holdout_from_document(document)),
        lambda now, document: traffic.update_holdout(now, holdout_from_document(document)),
        traffic.remove_holdout,
    ),
    "metric": (
        lambda now, document: measures.add_metric(now, measures.metric_from_document(document), reserved=()),
        lambda now, document: measures.update_metric(now, measures.metric_from_document(document)),
        measures.remove_metric,
    ),
    "experiment": (
        lambda now, document: lifecycle.add_experiment(now, experiment_from_document(document)),
        lambda now, document: lifecycle.update_experiment(now, experiment_from_document(document)),
        editing.remove_experiment,
    ),
}
"""How to add, change and remove a thing of each kind."""


_DOCUMENTS: Final[Mapping[str, Callable[[Configuration, str], Mapping[str, Json]]]] = {
    "layer": lambda now, key: layer_document(layer_of(now, key)),
    "parameter": lambda now, key: parameter_document(parameter_of(now, key)),
    "domain": lambda now, key: domain_document(domain_of(now, key)),
    "holdout": lambda now, key: holdout_document(holdout_of(now, key)),
    "metric": lambda now, key: measures.metric_document(measures.metric_of(now, key)),
    "experiment": lambda now, key: experiment_document(experiment_of(now, key)),
}


def revert(configuration: Configuration, done: Done, *, metrics: Collection[str]) -> Configuration:
    """The configuration with what the revision changed as it was before.

    Raises Conflict for what cannot be undone, and what the change that undoes it raises.
    """
    if done.kind == "configuration":
        return lifecycle.kill(configuration) if done.before is True else lifecycle.unkill(configuration)
    add, change, remove = _LEAVES[done.kind]
    if not isinstance(done.before, Mapping):
        return remove(configuration, done.key)
    if not isinstance(done.after, Mapping):
        return add(configuration, done.before)
    was, became = done.before.get("status"), done.after.get("status")
    if was != became:
        return _move_back(configuration, done, str(was), str(became), metrics)
    if done.before.get("phases") != done.after.get("phases"):
        raise Conflict(
            f"{done.kind} {done.key!r}: a new phase is in the record and cannot be undone; open another phase with the "
            f"variants and the rule of before"
        )
    return change(configuration, _merged(configuration, done, done.before, done.after))


def _merged(
    configuration: Configuration, done: Done, before: Mapping[str, Json], after: Mapping[str, Json]
) -> Mapping[str, Json]:
    """The thing's document as it is now, with the fields that the revision changed as they were before it.

    What was changed later in other fields stays. Raises NotFound, and Conflict for a field that was changed again.
    """
    now = _DOCUMENTS[done.kind](configuration, done.key)
    changed = [name for name in before if differences(before[name], after.get(name))]
    again = [name for name in changed if differences(now.get(name), after.get(name))]
    if again:
        raise Conflict(
            f"{done.kind} {done.key!r}: {', '.join(again)} changed again since; revert the later revision first"
        )
    return {**now, **{name: before[name] for name in changed}}


def _move_back(
    configuration: Configuration, done: Done, was: str, became: str, metrics: Collection[str]
) -> Configuration:
    if (was, became) == (Status.RUNNING, Status.PAUSED):
        return lifecycle.resume(configuration, done.key)
    if (was, became) == (Status.PAUSED, Status.RUNNING):
        return lifecycle.pause(configuration, done.key)
    if (was, became) == (Status.DRAFT, Status.SCHEDULED):
        return lifecycle.unschedule(configuration, done.key)
    if (was, became) == (Status.SCHEDULED, Status.DRAFT):
        return lifecycle.schedule(configuration, done.key, metrics=metrics)
    legal = ", ".join(lifecycle.LEGAL[experiment_of(configuration, done.key).status]) or "none, it is final"
    raise Conflict(f"experiment {done.key!r}: the move from {was} to {became} cannot be undone; legal now: {legal}")
