"""Reports of experiments: the latest, all looks of the current phase, and a fresh one on demand."""

from apiflask import APIBlueprint
from flask.typing import ResponseReturnValue

from lamella.errors import NotFound
from lamella.experiments.selection import experiment_of
from lamella.web.auth import needs
from lamella.web.scopes import of_experiment
from lamella.web.wiring import services

blueprint = APIBlueprint("reports", __name__, url_prefix="/v1/admin/experiments/<key>", tag="Reports")


@blueprint.get("/report")
@needs("viewer", scope=of_experiment)
def show_report(key: str) -> ResponseReturnValue:
    """The latest report."""
    found = experiment_of(services().configuration.load(), key)
    document = services().analysis.latest_report(found.key)
    if document is None:
        raise NotFound("report of experiment", key, next_step="POST .../analyse asks a worker for one")
    return dict(document)


@blueprint.get("/reports")
@needs("viewer", scope=of_experiment)
def list_reports(key: str) -> ResponseReturnValue:
    """Every report of the current phase, oldest first: the looks that were taken."""
    found = experiment_of(services().configuration.load(), key)
    documents = services().analysis.reports(found.key, found.phases[-1].id) if found.phases else ()
    return {"reports": [dict(each) for each in documents]}


@blueprint.post("/analyse")
@blueprint.doc(responses={202: "Asked for; GET .../report shows it once a worker has written it"})
@needs("experimenter", scope=of_experiment)
def request_analysis(key: str) -> ResponseReturnValue:
    """Asks a worker for a fresh report now."""
    found = experiment_of(services().configuration.load(), key)
    services().tasks.analyse(found.key)
    return {"experiment": found.key, "status": "queued"}, 202, {"Location": f"/v1/admin/experiments/{found.key}/report"}
