"""Changes as values: an operation, the experiment it concerns and what it needs, done at once or proposed for approval.

What starts or changes what units get waits for a second person where that is asked for; what takes units out of an
experiment (pause, stop, the kill switch) never waits.
"""

import hashlib
import json
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from lamella.errors import Conflict, Forbidden, NotFound
from lamella.experiments import declaring, editing, lifecycle, promoting, reverting
from lamella.experiments.allocation import HOLDING
from lamella.experiments.document import experiment_document, experiment_from_document
from lamella.experiments.model import Configuration, Json
from lamella.experiments.selection import experiment_of
from lamella.services.admin_ports import Approval, Proposal, ProposalStore
from lamella.services.configuring import MOVES, Configuring
from lamella.services.ports import Clock, ConfigurationStore
from lamella.services.things import action_of, edit_thing, is_thing, needs_second_person, thing_document

_ALWAYS: Final = frozenset(
    {"schedule", "start", "resume", "new_phase", "ramp", "promote", "unkill", "configure", "revert"}
)
_WHILE_HELD: Final = frozenset({"update", "override"})
# What a revision calls it, where that is not the operation's own name.
_ACTIONS: Final = {"configure": "apply"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change, by the name of its operation.

    There are the moves of the life cycle, update, override, new_phase, ramp, promote, delete; kill, unkill; revert;
    configure; and those of `services.things`. `key` is the experiment's or the thing's, the revision's number for
    revert, else empty.
    """

    operation: str
    key: str = ""
    body: Mapping[str, Json] = field(default_factory=dict)


class Changes:
    """Carries changes out, and keeps those that wait for a second person.

    `metrics` are the keys of the known metrics.
    """

    def __init__(
        self,
        store: ConfigurationStore,
        configuring: Configuring,
        proposals: ProposalStore,
        clock: Clock,
        metrics: Collection[str],
        *,
        approvals_required: bool,
    ) -> None:
        self._store, self._configuring, self._proposals, self._clock = store, configuring, proposals, clock
        self._metrics, self._approvals_required = tuple(metrics), approvals_required

    def needs_approval(self, change: Change) -> bool:
        """Whether a second person has to approve it. Raises NotFound."""
        if not self._approvals_required or change.operation in ("kill", "pause", "stop"):
            return False
        if change.operation in _ALWAYS or needs_second_person(change.operation):
            return True
        return change.operation in _WHILE_HELD and experiment_of(self._store.load(), change.key).status in HOLDING

    def perform(self, change: Change, *, author: str, expected: int | None = None) -> Configuration:
        """The configuration after the change. Raises what `Configuring` raises, and InvalidInput."""
        return self._configuring.apply(
            _action(change), lambda now: self._edit(change, now), author=author, expected=expected
        )

    def preview(self, change: Change) -> Configuration:
        """The configuration as it would be after the change; nothing is stored. Raises what `perform` raises."""
        return self._edit(change, self._store.load())

    def propose(self, change: Change, *, author: str) -> Proposal:
        """The open proposal, tried against the newest configuration. Raises what `perform` raises."""
        self.preview(change)
        proposal = Proposal(
            id=uuid.uuid4().hex,
            operation=change.operation,
            key=change.key,
            body=change.body,
            etag=_state_of(change, self._store.load()),
            author=author,
            created_at=self._clock.now(),
        )
        self._proposals.add(proposal)
        return proposal

    def approve(self, proposal_id: str, *, by: str) -> Configuration:
        """The configuration after the proposed change, which the same transaction marks applied.

        A change that is refused leaves the proposal open.

        Raises NotFound, Forbidden for the author, Conflict where it is decided or its experiment changed meanwhile, and
        what `perform` raises.
        """
        proposal = self.find(proposal_id)
        if proposal.author == by:
            raise Forbidden(f"{by!r} proposed this change; a second person has to approve it")
        change = Change(operation=proposal.operation, key=proposal.key, body=proposal.body)
        if proposal.status != "open":
            raise Conflict(f"proposal {proposal_id!r} is {proposal.status}, not open; nothing was changed")

        def edit(now: Configuration) -> Configuration:
            if _state_of(change, now) != proposal.etag:
                raise Conflict(f"{proposal.key!r} changed since this was proposed; withdraw it and propose again")
            return self._edit(change, now)

        author = f"{proposal.author}, approved by {by}"
        return self._configuring.apply(
            _action(change), edit, author=author, approval=Approval(proposal=proposal_id, by=by)
        )

    def reject(self, proposal_id: str, *, by: str) -> Proposal:
        """The proposal, rejected; withdrawn where its author does it. Raises NotFound, Conflict."""
        proposal = self.find(proposal_id)
        status = "withdrawn" if proposal.author == by else "rejected"
        self._proposals.decide(proposal_id, status, by=by, at=self._clock.now())
        return self.find(proposal_id)

    def find(self, proposal_id: str) -> Proposal:
        """The proposal. Raises NotFound."""
        found = self._proposals.find(proposal_id)
        if found is None:
            raise NotFound("proposal", proposal_id, next_step="GET /v1/admin/proposals lists them")
        return found

    def proposals(self) -> Sequence[Proposal]:
        """Every proposal, newest first."""
        return self._proposals.all()

    def _edit(self, change: Change, now: Configuration) -> Configuration:
        """The configuration after the change, as a pure function of the one before."""
        at = self._clock.now()
        if is_thing(change.operation):
            return edit_thing(now, change.operation, change.key, change.body)
        if change.operation in MOVES:
            accepts = change.body.get("accept_underpowered") is True
            return self._configuring.moved(now, change.key, change.operation, accept_underpowered=accepts)
        edits: Mapping[str, Callable[[], Configuration]] = {
            "update": lambda: lifecycle.update_experiment(now, experiment_from_document(change.body)),
            "delete": lambda: editing.remove_experiment(now, change.key),
            "override": lambda: _override(now, change),
            "new_phase": lambda: self._new_phase(now, change, at),
            "ramp": lambda: _ramp(now, change, at),
            "promote": lambda: promoting.promote(now, change.key, str(change.body["variant"]), at=at),
            "kill": lambda: lifecycle.kill(now),
            "unkill": lambda: lifecycle.unkill(now),
            "revert": lambda: self._revert(now, change),
            "configure": lambda: declaring.declare(
                now, change.body, at=at, metrics=self._metrics, power_faults=self._configuring.power_faults
            ),
        }
        return edits[change.operation]()

    def _new_phase(self, now: Configuration, change: Change, at: datetime) -> Configuration:
        before = experiment_of(now, change.key)
        body = dict(change.body)
        rerandomise, salt = body.pop("rerandomise", True), body.pop("salt", None)
        if rerandomise is False and salt is None and before.phases:
            salt = before.phases[-1].salt
        wanted = experiment_from_document({**experiment_document(before), **body})
        chosen = None if salt is None else str(salt)
        return lifecycle.new_phase(now, wanted, at=at, metrics=self._metrics, salt=chosen)

    def _revert(self, now: Configuration, change: Change) -> Configuration:
        number = int(change.key) if change.key.isdecimal() and len(change.key) < 19 else 0
        found = self._store.revision(number)
        if found is None:
            raise NotFound("revision", change.key, next_step="GET /v1/admin/revisions lists them")
        done = reverting.Done(
            action=found.action, kind=found.kind, key=found.key, before=found.before, after=found.after
        )
        return reverting.revert(now, done, metrics=self._metrics)


def _action(change: Change) -> str:
    """What its revision calls it."""
    return (
        action_of(change.operation) if is_thing(change.operation) else _ACTIONS.get(change.operation, change.operation)
    )


def _state_of(change: Change, now: Configuration) -> str | None:
    """What the experiment, or the thing, looks like now, so that an approval means what was read."""
    if not change.key or change.operation == "revert":
        return None
    if is_thing(change.operation):
        document = thing_document(now, change.operation, change.key)
    else:
        document = experiment_document(experiment_of(now, change.key))
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _override(now: Configuration, change: Change) -> Configuration:
    variant = change.body.get("variant")
    return editing.override(now, change.key, str(change.body["unit"]), None if variant is None else str(variant))


def _ramp(now: Configuration, change: Change, at: datetime) -> Configuration:
    share = change.body["share"]
    return lifecycle.ramp(now, change.key, float(share) if isinstance(share, (int, float)) else 0.0, at=at)
