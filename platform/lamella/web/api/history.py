"""Revisions, proposals and the audit log: who changed what, who approved it, and who tried."""

from collections.abc import Mapping
from typing import Any

from apiflask import APIBlueprint
from flask.typing import ResponseReturnValue

from lamella.errors import NotFound
from lamella.experiments.declaring import declaration
from lamella.experiments.differences import differences
from lamella.experiments.model import Configuration, Json
from lamella.services.admin_ports import Deed
from lamella.services.changes import Change
from lamella.services.ports import Revision
from lamella.web.approvals import proposal_document
from lamella.web.auth import needs, principal
from lamella.web.paging import before, next_number, page
from lamella.web.preconditions import changed
from lamella.web.queries import AuditQuery, PageQuery, ProposalsQuery, RevisionsQuery
from lamella.web.wiring import refresh_snapshot, services

blueprint = APIBlueprint("history", __name__, url_prefix="/v1/admin", tag="History")


@blueprint.get("/revisions")
@blueprint.input(RevisionsQuery, location="query")
@needs("viewer")
def list_revisions(query_data: RevisionsQuery) -> ResponseReturnValue:
    """Who changed what and when, with before and after, newest first."""
    paging = PageQuery(limit=query_data.limit, cursor=query_data.cursor)
    found = services().configuration.revisions(
        kind=query_data.kind,
        key=query_data.key,
        author=query_data.author,
        before=before(paging),
        limit=query_data.limit,
    )
    cursor = next_number([each.number for each in found], paging)
    return {"revisions": [_revision(each) for each in found], "next_cursor": cursor}


@blueprint.get("/revisions/<number>")
@needs("viewer")
def show_revision(number: str) -> ResponseReturnValue:
    """One revision."""
    return _revision(_found(number))


@blueprint.get("/revisions/<number>/diff")
@needs("viewer")
def show_difference(number: str) -> ResponseReturnValue:
    """What the revision changed: each JSON path with the value before and after."""
    found = _found(number)
    changes = [
        {
            "path": each.path,
            "before": each.before,
            "after": each.after,
            "change": "added" if each.is_added else "removed" if each.is_removed else "changed",
        }
        for each in differences(found.before, found.after)
    ]
    return {"number": found.number, "kind": found.kind, "key": found.key, "changes": changes}


@blueprint.post("/revisions/<number>/revert")
@blueprint.doc(responses={200: "The revision that undoes it", 202: "Proposed", 409: "It cannot be undone"})
@needs("experimenter")
def revert_revision(number: str) -> ResponseReturnValue:
    """Makes what the revision changed as it was before, as a new revision and under the same laws as any change."""
    done = _found(number)
    change = Change(operation="revert", key=number)
    if services().changes.needs_approval(change):
        proposal = services().changes.propose(change, author=principal().name)
        return proposal_document(proposal), 202, {"Location": f"/v1/admin/proposals/{proposal.id}"}
    version = services().configuration.version()
    after = changed(lambda **options: services().changes.perform(change, **options), lambda now: _thing(now, done))
    found = services().configuration.revisions(limit=1)
    return {"version": after.version, "revision": _revision(found[0]) if after.version != version else None}


@blueprint.get("/proposals")
@blueprint.input(ProposalsQuery, location="query")
@needs("viewer")
def list_proposals(query_data: ProposalsQuery) -> ResponseReturnValue:
    """Changes that wait, or waited, for a second person, newest first."""
    found = [each for each in services().changes.proposals() if query_data.status in (None, each.status)]
    proposals, cursor = page(found, query_data, lambda each: each.id)
    return {"proposals": [proposal_document(each) for each in proposals], "next_cursor": cursor}


@blueprint.get("/proposals/<proposal>")
@needs("viewer")
def show_proposal(proposal: str) -> ResponseReturnValue:
    """One proposal."""
    return proposal_document(services().changes.find(proposal))


@blueprint.post("/proposals/<proposal>/approve")
@blueprint.doc(responses={403: "Its author cannot approve it", 409: "It is decided, or the experiment changed"})
@needs("approver")
def approve_proposal(proposal: str) -> ResponseReturnValue:
    """Carries the proposed change out; not by its author."""
    services().changes.approve(proposal, by=principal().name)
    refresh_snapshot()
    return proposal_document(services().changes.find(proposal))


@blueprint.post("/proposals/<proposal>/reject")
@blueprint.doc(responses={409: "It is decided"})
@needs("approver")
def reject_proposal(proposal: str) -> ResponseReturnValue:
    """Turns the proposal down; by its author, it is withdrawn."""
    return proposal_document(services().changes.reject(proposal, by=principal().name))


@blueprint.get("/audit")
@blueprint.input(AuditQuery, location="query")
@needs("admin")
def list_audit(query_data: AuditQuery) -> ResponseReturnValue:
    """Every request that changed, or would have changed, something: who, when, from where, what, and how it ended."""
    deeds = services().audit.deeds(
        actor=query_data.actor,
        route=query_data.route,
        path=query_data.path,
        before=before(query_data),
        limit=query_data.limit,
    )
    cursor = next_number([each.number for each in deeds], query_data)
    return {"audit": [_deed(each) for each in deeds], "next_cursor": cursor}


def _thing(now: Configuration, revision: Revision) -> Mapping[str, Json]:
    """What the revision changed, as it is now: what If-Match has to name. Empty where it is gone."""
    if revision.kind == "configuration":
        return {"killed": now.killed}
    listed: Any = declaration(now)[f"{revision.kind}s"]
    found: Mapping[str, Json] = next((each for each in listed if each["key"] == revision.key), {})
    return found


def _found(number: str) -> Revision:
    known = number.isdecimal() and len(number) < 19
    found = services().configuration.revision(int(number)) if known else None
    if found is None:
        raise NotFound("revision", number, next_step="GET /v1/admin/revisions lists them")
    return found


def _revision(revision: Revision) -> dict[str, Json]:
    return {
        "number": revision.number,
        "version": revision.version,
        "author": revision.author,
        "at": revision.at.isoformat(),
        "action": revision.action,
        "kind": revision.kind,
        "key": revision.key,
        "before": revision.before,
        "after": revision.after,
    }


def _deed(deed: Deed) -> dict[str, Json]:
    return {
        "number": deed.number,
        "at": deed.at.isoformat(),
        "actor": deed.actor,
        "role": deed.role,
        "address": deed.address,
        "method": deed.method,
        "route": deed.route,
        "path": deed.path,
        "request": deed.request,
        "status": deed.status,
        "code": deed.code,
    }
