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
from lamella.experiments import declaring, editing, lifecycle, reverting
from lamella.experiments.allocation import HOLDING
from lamella.experiments.document import experiment_document, experiment_from_document
from lamella.experiments.model import Configuration, Json
from lamella.experiments.selection import experiment_of
from lamella.services.admin_ports import Proposal, ProposalStore
from lamella.services.configuring import MOVES, Configuring
from lamella.services.ports import Clock, ConfigurationStore

_ALWAYS: Final = frozenset({"schedule", "start", "resume", "new_phase", "ramp", "unkill", "configure", "revert"})
_WHILE_HELD: Final = frozenset({"update", "override"})
# What a revision calls it, where that is not the operation's own name.
_ACTIONS: Final = {"configure": "apply"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change: a move of the life cycle, update, override, new_phase, ramp, delete, kill, unkill, revert, configure.

    `key` is the experiment's, the revision's number for revert, else empty.
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
        if change.operation in _ALWAYS:
            return True
        return change.operation in _WHILE_HELD and experiment_of(self._store.load(), change.key).status in HOLDING

    def perform(self, change: Change, *, author: str, expected: int | None = None) -> Configuration:
        """The configuration after the change. Raises what `Configuring` raises, and InvalidInput."""
        action = _ACTIONS.get(change.operation, change.operation)
        return self._configuring.apply(action, lambda now: self._edit(change, now), author=author, expected=expected)

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
            etag=self._state_of(change),
            author=author,
            created_at=self._clock.now(),
        )
        self._proposals.add(proposal)
        return proposal

    def approve(self, proposal_id: str, *, by: str) -> Configuration:
        """The configuration after the proposed change; a change that is refused leaves the proposal open.

        Raises NotFound, Forbidden for the author, Conflict where it is decided or its experiment changed meanwhile, and
        what `perform` raises.
        """
        proposal = self.find(proposal_id)
        if proposal.author == by:
            raise Forbidden(f"{by!r} proposed this change; a second person has to approve it")
        change = Change(operation=proposal.operation, key=proposal.key, body=proposal.body)
        if proposal.status == "open" and self._state_of(change) != proposal.etag:
            raise Conflict(
                f"experiment {proposal.key!r} changed since this was proposed; withdraw it and propose again"
            )
        now = self._clock.now()
        self._proposals.decide(proposal_id, "applied", by=by, at=now)
        try:
            return self.perform(change, author=f"{proposal.author}, approved by {by}")
        except Exception:
            self._proposals.decide(proposal_id, "open", by=by, at=now, expected="applied")
            raise

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

    def _state_of(self, change: Change) -> str | None:
        """What the experiment looked like, so that an approval means what was read."""
        if not change.key or change.operation == "revert":
            return None
        document = experiment_document(experiment_of(self._store.load(), change.key))
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()

    def _edit(self, change: Change, now: Configuration) -> Configuration:
        """The configuration after the change, as a pure function of the one before."""
        at = self._clock.now()
        if change.operation in MOVES:
            return self._configuring.moved(now, change.key, change.operation)
        edits: Mapping[str, Callable[[], Configuration]] = {
            "update": lambda: lifecycle.update_experiment(now, experiment_from_document(change.body)),
            "delete": lambda: editing.remove_experiment(now, change.key),
            "override": lambda: _override(now, change),
            "new_phase": lambda: self._new_phase(now, change, at),
            "ramp": lambda: _ramp(now, change, at),
            "kill": lambda: lifecycle.kill(now),
            "unkill": lambda: lifecycle.unkill(now),
            "revert": lambda: self._revert(now, change),
            "configure": lambda: declaring.declare(now, change.body, at=at, metrics=self._metrics),
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


def _override(now: Configuration, change: Change) -> Configuration:
    variant = change.body.get("variant")
    return editing.override(now, change.key, str(change.body["unit"]), None if variant is None else str(variant))


def _ramp(now: Configuration, change: Change, at: datetime) -> Configuration:
    share = change.body["share"]
    return lifecycle.ramp(now, change.key, float(share) if isinstance(share, (int, float)) else 0.0, at=at)
