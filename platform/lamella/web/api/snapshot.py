"""The configuration in force, for SDKs that evaluate in their own process."""

from functools import lru_cache

import orjson
from apiflask import APIBlueprint
from flask.typing import ResponseReturnValue

from lamella.errors import Unavailable
from lamella.experiments.snapshot import Snapshot
from lamella.experiments.snapshot_document import snapshot_document
from lamella.web.auth import needs
from lamella.web.tags import entity_tag, tagged
from lamella.web.wiring import services

blueprint = APIBlueprint("snapshot", __name__, url_prefix="/v1", tag="Serving")


@blueprint.get("/snapshot")
@blueprint.doc(responses={200: "The configuration, with a strong ETag", 304: "It is what If-None-Match names"})
@needs("client")
def show_snapshot() -> ResponseReturnValue:
    """The configuration in force, from which the same hash gives the same variants in every process."""
    if not services().snapshots.is_loaded:
        raise Unavailable("no configuration was loaded yet; retry, and see /readyz")
    body, tag = _written(services().snapshots.current())
    return tagged(body, tag)


@lru_cache(maxsize=2)
def _written(snapshot: Snapshot) -> tuple[bytes, str]:
    body = orjson.dumps(snapshot_document(snapshot.configuration))
    return body, entity_tag(body)
