"""What lies within an experiment: its variants, phases and forced variants, and the link that previews one."""

from datetime import timedelta
from typing import Any

from apiflask import APIBlueprint
from flask import url_for
from flask.typing import ResponseReturnValue

from lamella.errors import Conflict, InvalidInput, NotFound
from lamella.experiments.document import experiment_document
from lamella.experiments.model import Json
from lamella.experiments.selection import experiment_of, near
from lamella.web.api.previews import ENDPOINT
from lamella.web.approvals import submit
from lamella.web.auth import needs
from lamella.web.paging import page
from lamella.web.parsing import parse_text
from lamella.web.preconditions import tagged
from lamella.web.queries import PageQuery
from lamella.web.schemas import OverrideBody, PhaseBody, PreviewBody, VariantBody
from lamella.web.scopes import of_experiment
from lamella.web.wiring import services

blueprint = APIBlueprint("parts", __name__, url_prefix="/v1/admin/experiments/<key>", tag="Experiments")

_CHANGE = {
    202: "Proposed; a second person has to approve it",
    409: "Its status does not allow the change",
    412: "The experiment is not what If-Match names",
}


@blueprint.get("/variants")
@needs("viewer", scope=of_experiment)
def list_variants(key: str) -> ResponseReturnValue:
    """The experiment's variants; the ETag is the experiment's."""
    document = _document(key)
    return {"variants": document["variants"], "next_cursor": None}, 200, tagged(document)


@blueprint.post("/variants")
@blueprint.input(VariantBody)
@blueprint.doc(responses=_CHANGE)
@needs("experimenter", scope=of_experiment)
def add_variant(key: str, json_data: VariantBody) -> ResponseReturnValue:
    """Adds a variant to a draft; a live experiment gets one in a new phase. Shows the experiment."""
    document = _document(key)
    if any(each["key"] == json_data.key for each in _variants(document)):
        raise Conflict(f"variant {json_data.key!r} exists already; choose another key, or change that one")
    return submit("update", key, {**document, "variants": [*_variants(document), json_data.model_dump()]})


@blueprint.put("/variants/<variant>")
@blueprint.input(VariantBody)
@blueprint.doc(responses=_CHANGE)
@needs("experimenter", scope=of_experiment)
def update_variant(key: str, variant: str, json_data: VariantBody) -> ResponseReturnValue:
    """Replaces a variant of a draft. Shows the experiment."""
    if json_data.key != variant:
        raise InvalidInput(f"key: is {json_data.key!r} in the body and {variant!r} in the path; a key never changes")
    document = _document(key)
    _require_variant(document, variant)
    after = [json_data.model_dump() if each["key"] == variant else each for each in _variants(document)]
    return submit("update", key, {**document, "variants": after})


@blueprint.delete("/variants/<variant>")
@blueprint.doc(responses=_CHANGE)
@needs("experimenter", scope=of_experiment)
def delete_variant(key: str, variant: str) -> ResponseReturnValue:
    """Takes a variant out of a draft. Shows the experiment."""
    document = _document(key)
    _require_variant(document, variant)
    after = [each for each in _variants(document) if each["key"] != variant]
    return submit("update", key, {**document, "variants": after})


@blueprint.get("/phases")
@needs("viewer", scope=of_experiment)
def list_phases(key: str) -> ResponseReturnValue:
    """The experiment's phases, oldest first; the last one is the current."""
    document = _document(key)
    return {"phases": document["phases"], "next_cursor": None}, 200, tagged(document)


@blueprint.post("/phases")
@blueprint.input(PhaseBody)
@blueprint.doc(responses=_CHANGE)
@needs("experimenter", scope=of_experiment)
def open_phase(key: str, json_data: PhaseBody) -> ResponseReturnValue:
    """Opens a new phase of a live experiment with other variants, rule or buckets. Shows the experiment.

    By default every unit gets a fresh variant; with `rerandomise` false those whose weights allow it keep theirs.
    """
    if json_data.salt is not None and not json_data.rerandomise:
        raise InvalidInput("salt: chooses a fresh split, and rerandomise is false; send one of the two")
    body = json_data.model_dump(exclude_unset=True)
    return submit("new_phase", key, {"rerandomise": json_data.rerandomise, **body})


@blueprint.get("/overrides")
@blueprint.input(PageQuery, location="query")
@needs("viewer", scope=of_experiment)
def list_overrides(key: str, query_data: PageQuery) -> ResponseReturnValue:
    """The units that are given a variant by name: logged, but out of the analysis."""
    document = _document(key)
    forced = experiment_of(services().configuration.load(), key).forced
    chosen, cursor = page(sorted(forced), query_data, str)
    listed = [{"unit": unit, "variant": forced[unit]} for unit in chosen]
    return {"overrides": listed, "next_cursor": cursor}, 200, tagged(document)


@blueprint.put("/overrides/<text:unit>")
@blueprint.input(OverrideBody)
@blueprint.doc(responses=_CHANGE)
@needs("experimenter", scope=of_experiment)
def put_override(key: str, unit: str, json_data: OverrideBody) -> ResponseReturnValue:
    """Gives the unit this variant from now on. Shows the experiment."""
    return submit("override", key, {"unit": _unit(unit), "variant": json_data.variant})


@blueprint.delete("/overrides/<text:unit>")
@blueprint.doc(responses=_CHANGE)
@needs("experimenter", scope=of_experiment)
def delete_override(key: str, unit: str) -> ResponseReturnValue:
    """Lets the unit be assigned like every other again. Shows the experiment."""
    forced = _document(key)["forced"]
    if not isinstance(forced, dict) or unit not in forced:
        raise NotFound("override", unit, next_step=f"GET /v1/admin/experiments/{key}/overrides lists them")
    return submit("override", key, {"unit": unit, "variant": None})


@blueprint.post("/preview")
@blueprint.input(PreviewBody)
@blueprint.doc(responses={201: "The signed token, the link that shows it without a key, and when it ends"})
@needs("experimenter", scope=of_experiment)
def make_preview(key: str, json_data: PreviewBody) -> ResponseReturnValue:
    """A signed token that shows one variant to whoever opens its link, or sends it as `preview` with a request.

    What is shown is logged, but out of the analysis.
    """
    _require_variant(_document(key), json_data.variant)
    lasts = timedelta(hours=json_data.hours)
    unit = None if json_data.unit is None else _unit(json_data.unit)
    token = services().previews.make(key, json_data.variant, lasts=lasts, unit=unit)
    body = {
        "experiment": key,
        "variant": json_data.variant,
        "preview": token,
        "url": url_for(ENDPOINT, token=token, _external=True),
        "expires_at": services().previews.open(token).ends_at.isoformat(),
    }
    return body, 201, {"Cache-Control": "no-store"}


def _document(key: str) -> dict[str, Json]:
    return experiment_document(experiment_of(services().configuration.load(), key))


def _variants(document: dict[str, Json]) -> list[dict[str, Any]]:
    found = document["variants"]
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _require_variant(document: dict[str, Json], variant: str) -> None:
    known = [each["key"] for each in _variants(document)]
    if variant not in known:
        raise NotFound("variant", variant, next_step=near(variant, known))


def _unit(unit: str) -> str:
    faults: list[str] = []
    parse_text("unit", unit, faults)
    if faults:
        raise InvalidInput(*faults)
    return unit
