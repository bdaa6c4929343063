"""What a shadow would have answered, beside what was."""

from apiflask import APIBlueprint
from flask.typing import ResponseReturnValue

from lamella.errors import NotFound, Unavailable
from lamella.services.shadow_ports import shadow_document
from lamella.web.auth import needs
from lamella.web.wiring import services

blueprint = APIBlueprint("shadows", __name__, url_prefix="/v1/admin", tag="Items and models")


@blueprint.get("/models/<reference>/shadow")
@needs("viewer")
def show_shadow(reference: str) -> ResponseReturnValue:
    """Overlap@k, rank correlation, times, errors and coverage of a shadow, by live version and stage."""
    held = services()
    if "@" not in reference or held.models.find(reference) is None:
        raise NotFound("model version", reference, next_step="GET /v1/admin/models lists what is published")
    if held.shadows is None:
        raise Unavailable("nothing here keeps what shadows do")
    if held.shadowing is not None:
        held.shadowing.flush()
    return shadow_document(reference, held.shadows.read(reference))
