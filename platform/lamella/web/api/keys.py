"""API keys: made once, shown once, revoked by name."""

from apiflask import APIBlueprint
from flask.typing import ResponseReturnValue

from lamella.services.ports import Principal
from lamella.web.auth import needs
from lamella.web.schemas import KeyBody
from lamella.web.wiring import services

blueprint = APIBlueprint("keys", __name__, url_prefix="/v1/admin/keys", tag="Keys")


@blueprint.get("")
@needs("admin")
def list_keys() -> ResponseReturnValue:
    """Every key's name and role; the keys themselves are not stored."""
    return {"keys": [_document(each) for each in services().keys.all()]}


@blueprint.post("")
@blueprint.input(KeyBody)
@blueprint.doc(responses={201: "The key: keep it, nobody can read it again", 409: "The name is taken"})
@needs("admin")
def create_key(json_data: KeyBody) -> ResponseReturnValue:
    """Makes a key and shows it once."""
    key = services().keys.create(json_data.name, json_data.role)
    return {"name": json_data.name, "role": json_data.role, "key": key}, 201, {"Cache-Control": "no-store"}


@blueprint.delete("/<name>")
@blueprint.doc(responses={204: "The key is unknown from now on, within seconds in every process"})
@needs("admin")
def revoke_key(name: str) -> ResponseReturnValue:
    """Revokes the key of this name."""
    services().keys.revoke(name)
    return "", 204


def _document(holder: Principal) -> dict[str, str]:
    return {"name": holder.name, "role": holder.role}
