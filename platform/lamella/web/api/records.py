"""The record under administration: what was refused, what was archived, who is no reader, and one unit's own rows."""

from apiflask import APIBlueprint
from flask.typing import ResponseReturnValue

from lamella.errors import InvalidInput
from lamella.events.validation import read_text
from lamella.experiments.model import Json
from lamella.services.archive_ports import ArchivedFile
from lamella.services.flagging import Flag
from lamella.services.quarantine import Quarantined
from lamella.web.auth import needs, principal
from lamella.web.paging import next_place, page, place_of
from lamella.web.queries import PageQuery, QuarantineQuery
from lamella.web.schemas import FlagBody
from lamella.web.wiring import services

blueprint = APIBlueprint("records", __name__, url_prefix="/v1/admin", tag="Record")


@blueprint.get("/record/quarantine")
@blueprint.input(QuarantineQuery, location="query")
@needs("experimenter")
def list_quarantine(query_data: QuarantineQuery) -> ResponseReturnValue:
    """Records that could not be stored, newest first, with the reason; `counts` has the number of each reason."""
    paging = PageQuery(limit=query_data.limit, cursor=query_data.cursor)
    skip = place_of(paging)
    found = services().quarantine.newest(reason=query_data.reason, skip=skip, limit=query_data.limit)
    return {
        "quarantine": [_quarantined(each) for each in found],
        "counts": dict(services().quarantine.counts()),
        "next_cursor": next_place(skip, len(found), paging),
    }


@blueprint.get("/record/archive")
@blueprint.input(PageQuery, location="query")
@needs("viewer")
def list_archive(query_data: PageQuery) -> ResponseReturnValue:
    """The Parquet files that old facts were moved to."""
    files, cursor = page(services().old_facts.files(), query_data, lambda each: each.path)
    return {"files": [_file(each) for each in files], "next_cursor": cursor}


@blueprint.get("/flags")
@blueprint.input(PageQuery, location="query")
@needs("viewer")
def list_flags(query_data: PageQuery) -> ResponseReturnValue:
    """The units that no analysis counts, by unit."""
    skip = place_of(query_data)
    found = services().flags.all(skip=skip, limit=query_data.limit)
    return {"flags": [_flag(each) for each in found], "next_cursor": next_place(skip, len(found), query_data)}


@blueprint.put("/flags/<text:unit>")
@blueprint.input(FlagBody)
@needs("experimenter")
def put_flag(unit: str, json_data: FlagBody) -> ResponseReturnValue:
    """Leaves a unit out of every analysis, past and future, from the next report on."""
    detail = json_data.detail or f"by {principal().name}"
    flag = Flag(unit=_checked(unit), reason=json_data.reason, detail=detail, at=services().clock.now())
    services().flags.put(flag)
    return _flag(flag)


@blueprint.delete("/flags/<text:unit>")
@blueprint.doc(responses={204: "The unit counts again, from the next report on"})
@needs("experimenter")
def delete_flag(unit: str) -> ResponseReturnValue:
    """Counts the unit again."""
    services().flags.remove(unit)
    return "", 204


@blueprint.get("/units/<text:unit>/export")
@needs("admin")
def export_unit(unit: str) -> ResponseReturnValue:
    """Everything that is recorded of one unit: its rows by table, and those of the archive by fact."""
    return services().units.export(unit), 200, {"Cache-Control": "no-store"}


@blueprint.delete("/units/<text:unit>")
@needs("admin")
def erase_unit(unit: str) -> ResponseReturnValue:
    """Erases one unit everywhere, for good; the audit log keeps a row that names it by its digest only."""
    return services().units.erase(unit)


def _checked(unit: str) -> str:
    """The unit. Raises InvalidInput where no record could have it."""
    try:
        return read_text({"unit": unit}, "unit")
    except InvalidInput as error:
        raise InvalidInput(str(error)) from None


def _quarantined(each: Quarantined) -> dict[str, Json]:
    return {
        "at": each.at.isoformat(),
        "reason": each.reason,
        "detail": each.detail,
        "kind": each.kind,
        "key": each.key,
        "unit": each.unit or None,
        "body": each.body,
    }


def _file(file: ArchivedFile) -> dict[str, Json]:
    return {
        "fact": file.month.fact,
        "month": f"{file.month.since:%Y-%m}",
        "path": file.path,
        "rows": file.rows,
        "sha256": file.digest,
    }


def _flag(flag: Flag) -> dict[str, Json]:
    return {"unit": flag.unit, "reason": flag.reason, "detail": flag.detail, "at": flag.at.isoformat()}
