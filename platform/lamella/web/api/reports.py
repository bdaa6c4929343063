"""Reports of experiments: the latest, all looks of the current phase, and a fresh one on demand."""

from apiflask import APIBlueprint
from flask.typing import ResponseReturnValue

from lamella.errors import Conflict, InvalidInput, NotFound
from lamella.experiments.selection import experiment_of, near
from lamella.metrics.definitions import METRICS
from lamella.web.auth import needs
from lamella.web.queries import SegmentsQuery
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


@blueprint.get("/segments")
@blueprint.input(SegmentsQuery, location="query")
@blueprint.doc(responses={409: "It has not started", 429: "Others are at work"})
@needs("viewer", scope=of_experiment)
def show_segments(key: str, query_data: SegmentsQuery) -> ResponseReturnValue:
    """The current phase within segments by one or two attributes of the first list's context, as of now.

    `metric` names metrics, declared ones too; without it those of the plan are shown. Exploratory: it decides nothing.
    """
    now = services().configuration.load()
    found = experiment_of(now, key)
    by, metrics = _names(query_data.by), _names(query_data.metric)
    known = [*METRICS, *(each.key for each in now.metrics)]
    if unknown := [name for name in metrics if name not in known]:
        raise InvalidInput(*(f"metric: no metric {name!r}; {near(name, known)}" for name in unknown))
    if not found.phases:
        raise Conflict(f"experiment {key!r} is {found.status}; start it before it is analysed")
    return services().segments(found.key, by, metrics)


@blueprint.post("/analyse")
@blueprint.doc(responses={202: "Asked for; GET .../report shows it once a worker has written it"})
@needs("experimenter", scope=of_experiment)
def request_analysis(key: str) -> ResponseReturnValue:
    """Asks a worker for a fresh report now."""
    found = experiment_of(services().configuration.load(), key)
    services().tasks.analyse(found.key)
    return {"experiment": found.key, "status": "queued"}, 202, {"Location": f"/v1/admin/experiments/{found.key}/report"}


def _names(text: str) -> list[str]:
    return [name for name in (each.strip() for each in text.split(",")) if name]
