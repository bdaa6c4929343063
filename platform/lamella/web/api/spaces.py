"""Domains and holdouts: how traffic is split before layers, and who is kept out of experiments."""

from functools import partial

from apiflask import APIBlueprint
from flask.typing import ResponseReturnValue

from lamella.experiments import traffic
from lamella.experiments.document import (
    domain_document,
    domain_from_document,
    holdout_document,
    holdout_from_document,
)
from lamella.experiments.model import Configuration, Json
from lamella.experiments.selection import domain_of, holdout_of
from lamella.web.auth import needs
from lamella.web.paging import page
from lamella.web.preconditions import changed, shown
from lamella.web.queries import PageQuery
from lamella.web.schemas import DomainBody, DomainPatch, HoldoutBody, HoldoutPatch
from lamella.web.wiring import services

blueprint = APIBlueprint("spaces", __name__, url_prefix="/v1/admin", tag="Configuration")

_CHANGE = {409: "Something still needs it, and is named", 412: "It is not what If-Match names"}


@blueprint.get("/domains")
@blueprint.input(PageQuery, location="query")
@needs("viewer")
def list_domains(query_data: PageQuery) -> ResponseReturnValue:
    """Every domain with its share of traffic."""
    domains, cursor = page(services().configuration.load().domains, query_data, lambda each: each.key)
    return {"domains": [domain_document(each) for each in domains], "next_cursor": cursor}


@blueprint.post("/domains")
@blueprint.input(DomainBody)
@blueprint.doc(responses={201: "The domain as stored", 409: "The key is taken"})
@needs("experimenter")
def create_domain(json_data: DomainBody) -> ResponseReturnValue:
    """Adds a domain on buckets of the root space, or of a layer that it is nested in."""
    domain = domain_from_document(json_data.model_dump(exclude_unset=True))
    add = partial(services().configuring.apply, "create", lambda now: traffic.add_domain(now, domain))
    return shown(_domain(changed(add, _nothing), domain.key), 201)


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
    wanted = json_data.model_dump(exclude_unset=True)

    def edit(now: Configuration) -> Configuration:
        return traffic.update_domain(now, domain_from_document({**_domain(now, key), **wanted}))

    after = changed(partial(services().configuring.apply, "update", edit), lambda now: _domain(now, key))
    return shown(_domain(after, key))


@blueprint.delete("/domains/<key>")
@blueprint.doc(responses={204: "The domain is gone", **_CHANGE})
@needs("experimenter")
def delete_domain(key: str) -> ResponseReturnValue:
    """Removes a domain that no layer and no holdout lies in."""
    remove = partial(services().configuring.apply, "delete", lambda now: traffic.remove_domain(now, key))
    changed(remove, lambda now: _domain(now, key))
    return "", 204


@blueprint.get("/holdouts")
@blueprint.input(PageQuery, location="query")
@needs("viewer")
def list_holdouts(query_data: PageQuery) -> ResponseReturnValue:
    """Every holdout with its buckets and its period."""
    holdouts, cursor = page(services().configuration.load().holdouts, query_data, lambda each: each.key)
    return {"holdouts": [holdout_document(each) for each in holdouts], "next_cursor": cursor}


@blueprint.post("/holdouts")
@blueprint.input(HoldoutBody)
@blueprint.doc(responses={201: "The holdout as stored", 409: "The key is taken"})
@needs("experimenter")
def create_holdout(json_data: HoldoutBody) -> ResponseReturnValue:
    """Keeps a share of units out of the experiments of a domain, or of all."""
    holdout = holdout_from_document(json_data.model_dump(exclude_unset=True))
    add = partial(services().configuring.apply, "create", lambda now: traffic.add_holdout(now, holdout))
    return shown(_holdout(changed(add, _nothing), holdout.key), 201)


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
    wanted = json_data.model_dump(exclude_unset=True)

    def edit(now: Configuration) -> Configuration:
        return traffic.update_holdout(now, holdout_from_document({**_holdout(now, key), **wanted}))

    after = changed(partial(services().configuring.apply, "update", edit), lambda now: _holdout(now, key))
    return shown(_holdout(after, key))


@blueprint.delete("/holdouts/<key>")
@blueprint.doc(responses={204: "The holdout is gone", **_CHANGE})
@needs("experimenter")
def delete_holdout(key: str) -> ResponseReturnValue:
    """Removes a holdout; its units take part in experiments from now on."""
    remove = partial(services().configuring.apply, "delete", lambda now: traffic.remove_holdout(now, key))
    changed(remove, lambda now: _holdout(now, key))
    return "", 204


def _domain(now: Configuration, key: str) -> dict[str, Json]:
    return domain_document(domain_of(now, key))


def _holdout(now: Configuration, key: str) -> dict[str, Json]:
    return holdout_document(holdout_of(now, key))


def _nothing(_: Configuration) -> dict[str, Json]:
    """What a creation is made from: If-Match names something that is there, so it never matches."""
    return {}
