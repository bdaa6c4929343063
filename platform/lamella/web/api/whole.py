"""The whole configuration in one document, JSON or YAML, so that experiments can live in git."""

from typing import Final

from apiflask import APIBlueprint
from flask import Response, request
from flask.typing import ResponseReturnValue

from lamella.experiments.declaring import declaration
from lamella.experiments.differences import differences
from lamella.experiments.model import Configuration, Json
from lamella.services.changes import Change
from lamella.web.approvals import propose
from lamella.web.auth import needs
from lamella.web.preconditions import changed, check_if_match, tagged
from lamella.web.queries import ConfigurationQuery
from lamella.web.requests import read_object
from lamella.web.wiring import services

blueprint = APIBlueprint("whole", __name__, url_prefix="/v1/admin", tag="Configuration")

YAML_TYPES: Final = frozenset({"application/yaml", "application/x-yaml", "text/yaml"})


@blueprint.get("/configuration")
@blueprint.input(ConfigurationQuery, location="query")
@needs("viewer")
def show_configuration(query_data: ConfigurationQuery) -> ResponseReturnValue:
    """Everything that is configured, in one document with an ETag; as YAML with `format=yaml` or that Accept."""
    document = declaration(services().configuration.load())
    wants_yaml = request.accept_mimetypes.best_match(["application/json", *sorted(YAML_TYPES)]) in YAML_TYPES
    if query_data.format == "yaml" or (query_data.format is None and wants_yaml):
        from lamella.adapters.yaml_text import write_yaml

        return Response(write_yaml(document), content_type="application/yaml", headers=tagged(document))
    return document, 200, tagged(document)


@blueprint.put("/configuration")
@blueprint.input(ConfigurationQuery, location="query")
@blueprint.doc(responses={202: "Proposed; a second person has to approve it", 412: "It is not what If-Match names"})
@needs("experimenter")
def put_configuration(query_data: ConfigurationQuery) -> ResponseReturnValue:
    """Makes the configuration what the document says, all of it as one version or none; `dry_run` only says how.

    Phases and what has a record stay. Every reason why it cannot be is listed.
    """
    change = Change(operation="configure", body=_body())
    before = services().configuration.load()
    if query_data.dry_run:
        check_if_match(declaration(before))
        return _shown(before, services().changes.preview(change), is_done=False)
    if services().changes.needs_approval(change):
        return propose(change, declaration(before))
    after = changed(lambda **options: services().changes.perform(change, **options), declaration)
    return _shown(before, after, is_done=True)


def _shown(before: Configuration, after: Configuration, *, is_done: bool) -> ResponseReturnValue:
    changes: list[Json] = [
        {"path": each.path, "before": each.before, "after": each.after}
        for each in differences(declaration(before), declaration(after))
    ]
    body = {"version": after.version, "dry_run": not is_done, "changes": changes}
    return body, 200, tagged(declaration(after if is_done else before))


def _body() -> dict[str, Json]:
    body = request.get_data()
    if request.mimetype in YAML_TYPES:
        from lamella.adapters.yaml_text import read_yaml

        return dict(read_yaml(body, where="body"))
    found: dict[str, Json] = dict(read_object(body))  # type: ignore[arg-type]  # JSON holds JSON values only
    return found
