"""The running configuration as flagd's flags, for evaluators that take theirs over HTTP."""

from functools import lru_cache

import orjson
from apiflask import APIBlueprint
from flask.typing import ResponseReturnValue

from lamella.errors import Unavailable
from lamella.experiments.flagd_export import flagd_document
from lamella.experiments.snapshot import Snapshot
from lamella.web.auth import needs
from lamella.web.tags import entity_tag, tagged
from lamella.web.wiring import services

blueprint = APIBlueprint("flagd", __name__, url_prefix="/flagd", tag="Open standards")


@blueprint.get("/flags.json")
@blueprint.doc(responses={200: "Flags with nested `fractional`", 304: "They are what If-None-Match names"})
@needs("client")
def flagd_flags() -> ResponseReturnValue:
    """The running configuration as flagd flags; the metadata names the version of the hash."""
    if not services().snapshots.is_loaded:
        raise Unavailable("no configuration was loaded yet; retry, and see /readyz")
    body, tag = _exported(services().snapshots.current())
    return tagged(body, tag)


@lru_cache(maxsize=2)
def _exported(snapshot: Snapshot) -> tuple[bytes, str]:
    body = orjson.dumps(flagd_document(snapshot))
    return body, entity_tag(body)
