"""Changes that may wait for a second person: done at once with 200, 201 or 204, or proposed with 202."""

from collections.abc import Mapping

from flask.typing import ResponseReturnValue

from lamella.experiments.document import experiment_document
from lamella.experiments.model import Configuration, Json
from lamella.experiments.selection import experiment_of
from lamella.services.admin_ports import Proposal
from lamella.services.changes import Change
from lamella.services.things import CREATE, DELETE, UPDATE, thing_document
from lamella.web.auth import principal
from lamella.web.preconditions import changed, check_if_match, shown
from lamella.web.wiring import services


def submit(operation: str, key: str = "", body: Mapping[str, Json] | None = None) -> ResponseReturnValue:
    """The answer that shows the experiment (or the kill switch) after the change, or the open proposal (202)."""
    change = Change(operation=operation, key=key, body=body or {})

    def look(now: Configuration) -> Mapping[str, Json]:
        return experiment_document(experiment_of(now, key)) if key else {"killed": now.killed}

    if services().changes.needs_approval(change):
        return propose(change, look(services().configuration.load()))
    after = changed(lambda **options: services().changes.perform(change, **options), look)
    return shown(look(after))


def submit_thing(kind: str, verb: str, key: str, body: Mapping[str, Json] | None = None) -> ResponseReturnValue:
    """The answer that shows the layer, parameter, domain or holdout after the change, or the open proposal (202)."""
    change = Change(operation=f"{kind}.{verb}", key=key, body=body or {})

    def look(now: Configuration) -> Mapping[str, Json]:
        # What is made is made from nothing: If-Match names something that is there, so it never matches.
        return thing_document(now, change.operation, key)

    if services().changes.needs_approval(change):
        return propose(change, look(services().configuration.load()))
    after = changed(lambda **options: services().changes.perform(change, **options), look)
    if verb == DELETE:
        return "", 204
    return shown(thing_document(after, f"{kind}.{UPDATE}", key), 201 if verb == CREATE else 200)


def propose(change: Change, document: Mapping[str, Json]) -> ResponseReturnValue:
    """The answer (202) that shows the new proposal; `document` is what If-Match has to name."""
    check_if_match(document)
    found = services().changes.propose(change, author=principal().name)
    return proposal_document(found), 202, {"Location": f"/v1/admin/proposals/{found.id}"}


def proposal_document(proposal: Proposal) -> dict[str, Json]:
    """The proposal as JSON."""
    decided = proposal.decided_at
    return {
        "id": proposal.id,
        "operation": proposal.operation,
        "key": proposal.key,
        "body": dict(proposal.body),
        "author": proposal.author,
        "created_at": proposal.created_at.isoformat(),
        "status": proposal.status,
        "decided_by": proposal.decided_by,
        "decided_at": None if decided is None else decided.isoformat(),
    }
