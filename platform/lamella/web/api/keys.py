"""API keys: made once, shown once, revoked by name."""

from apiflask import APIBlueprint
from flask.typing import ResponseReturnValue

from lamella.experiments.model import Json
from lamella.services.ports import Principal
from lamella.web.auth import needs
from lamella.web.paging import page
from lamella.web.queries import PageQuery
from lamella.web.schemas import KeyBody
from lamella.web.wiring import services

blueprint = APIBlueprint("keys", __name__, url_prefix="/v1/admin/keys", tag="Keys")


@blueprint.get("")
@blueprint.input(PageQuery, location="query")
@needs("admin")
def list_keys(query_data: PageQuery) -> ResponseReturnValue:
    """Every key's name, role, projects and expiry; the keys themselves are not stored."""
    keys, cursor = page(services().keys.all(), query_data, lambda each: each.name)
    return {"keys": [_document(each) for each in keys], "next_cursor": cursor}


@blueprint.post("")
@blueprint.input(KeyBody)
@blueprint.doc(responses={201: "The key: keep it, nobody can read it again", 409: "The name is taken"})
@needs("admin")
def create_key(json_data: KeyBody) -> ResponseReturnValue:
    """Makes a key and shows it once; with `projects` it reaches those only, and from `expires_at` on it is refused."""
    key = services().keys.create(
        json_data.name, json_data.role, projects=json_data.projects, expires_at=json_data.expires_at
    )
    made = next(each for each in services().keys.all() if each.name == json_data.name)
    return {**_document(made), "key": key}, 201, {"Cache-Control": "no-store"}


@blueprint.delete("/<name>")
@blueprint.doc(responses={204: "The key is unknown from now on, within seconds in every process"})
@needs("admin")
def revoke_key(name: str) -> ResponseReturnValue:
    """Revokes the key of this name."""
    services().keys.revoke(name)
    return "", 204


def _document(holder: Principal) -> dict[str, Json]:
    return {
        "name": holder.name,
        "role": holder.role,
        "projects": None if holder.projects is None else list(holder.projects),
        "expires_at": None if holder.expires_at is None else holder.expires_at.isoformat(),
    }
