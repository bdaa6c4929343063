"""Domains and holdouts: how traffic is split before layers, and who is kept out of experiments."""

from apiflask import APIBlueprint
from flask.typing import ResponseReturnValue

from lamella.experiments.document import (
    domain_document,
    holdout_document,
)
from lamella.experiments.model import Configuration, Json
from lamella.experiments.selection import domain_of, holdout_of
from lamella.services.things import CREATE, DELETE, UPDATE
from lamella.web.approvals import submit_thing
from lamella.web.auth import needs
from lamella.web.paging import page
from lamella.web.preconditions import shown
from lamella.web.queries import PageQuery
from lamella.web.schemas import DomainBody, DomainPatch, HoldoutBody, HoldoutPatch
from lamella.web.wiring import services

blueprint = APIBlueprint("spaces", __name__, url_prefix="/v1/admin", tag="Configuration")

_PROPOSED = "Proposed; a second person has to approve it"
_CHANGE = {202: _PROPOSED, 409: "Something still needs it, and is named", 412: "It is not what If-Match names"}


@blueprint.get("/domains")
@blueprint.input(PageQuery, location="query")
@needs("viewer")
def list_domains(query_data: PageQuery) -> ResponseReturnValue:
    """Every domain with its share of traffic."""
    domains, cursor = page(services().configuration.load().domains, query_data, lambda each: each.key)
    return {"domains": [domain_document(each) for each in domains], "next_cursor": cursor}


@blueprint.post("/domains")
@blueprint.input(DomainBody)
@blueprint.doc(responses={201: "The domain as stored", 202: _PROPOSED, 409: "The key is taken"})
@needs("experimenter")
def create_domain(json_data: DomainBody) -> ResponseReturnValue:
    """Adds a domain on buckets of the root space, or of a layer that it is nested in."""
    return submit_thing("domain", CREATE, json_data.key, json_data.model_dump(exclude_unset=True))


@blueprint.get("/domains/<key>")
@needs("viewer")
def show_domain(key: str) -> ResponseReturnValue:
    """The domain, and its ETag."""
    return shown(_domain(services().configuration.load(), key))


@blueprint.patch("/domains/<key>")
@blueprint.input(DomainPatch)
@blueprint.doc(responses=_CHANGE)
@needs("experimenter")
def update_domain(key: str, json_data: DomainPatch) -> ResponseReturnValue:
    """Changes a domain; what would move units of a live experiment is refused."""
    return submit_thing("domain", UPDATE, key, json_data.model_dump(exclude_unset=True))


@blueprint.delete("/domains/<key>")
@blueprint.doc(responses={204: "The domain is gone", **_CHANGE})
@needs("experimenter")
def delete_domain(key: str) -> ResponseReturnValue:
    """Removes a domain that no layer and no holdout lies in."""
    return submit_thing("domain", DELETE, key)


@blueprint.get("/holdouts")
@blueprint.input(PageQuery, location="query")
@needs("viewer")
def list_holdouts(query_data: PageQuery) -> ResponseReturnValue:
    """Every holdout with its buckets and its period."""
    holdouts, cursor = page(services().configuration.load().holdouts, query_data, lambda each: each.key)
    return {"holdouts": [holdout_document(each) for each in holdouts], "next_cursor": cursor}


@blueprint.post("/holdouts")
@blueprint.input(HoldoutBody)
@blueprint.doc(responses={201: "The holdout as stored", 202: _PROPOSED, 409: "The key is taken"})
@needs("experimenter")
def create_holdout(json_data: HoldoutBody) -> ResponseReturnValue:
    """Keeps a share of units out of the experiments of a domain, or of all."""
    return submit_thing("holdout", CREATE, json_data.key, json_data.model_dump(exclude_unset=True))


@blueprint.get("/holdouts/<key>")
@needs("viewer")
def show_holdout(key: str) -> ResponseReturnValue:
    """The holdout, and its ETag."""
    return shown(_holdout(services().configuration.load(), key))


@blueprint.patch("/holdouts/<key>")
@blueprint.input(HoldoutPatch)
@blueprint.doc(responses=_CHANGE)
@needs("experimenter")
def update_holdout(key: str, json_data: HoldoutPatch) -> ResponseReturnValue:
    """Changes a holdout; what would move units of a live experiment is refused."""
    return submit_thing("holdout", UPDATE, key, json_data.model_dump(exclude_unset=True))


@blueprint.delete("/holdouts/<key>")
@blueprint.doc(responses={204: "The holdout is gone", **_CHANGE})
@needs("experimenter")
def delete_holdout(key: str) -> ResponseReturnValue:
    """Removes a holdout; its units take part in experiments from now on."""
    return submit_thing("holdout", DELETE, key)


def _domain(now: Configuration, key: str) -> dict[str, Json]:
    return domain_document(domain_of(now, key))


def _holdout(now: Configuration, key: str) -> dict[str, Json]:
    return holdout_document(holdout_of(now, key))
