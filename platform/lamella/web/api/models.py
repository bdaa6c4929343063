"""Items, model versions, trainings, and what the record holds."""

import uuid

from apiflask import APIBlueprint
from flask.typing import ResponseReturnValue

from lamella.errors import NotFound
from lamella.experiments.fields import plain
from lamella.services.cancelling import cancel_training as cancel_run
from lamella.services.model_ports import Item, ModelVersion, TrainingRun
from lamella.services.training import Order, queue_training
from lamella.web.auth import needs, principal
from lamella.web.paging import page
from lamella.web.queries import ModelsQuery, PageQuery
from lamella.web.schemas import ItemBody, ItemsBody, StageBody, TrainingBody
from lamella.web.scopes import own_scope
from lamella.web.wiring import refresh_snapshot, services

blueprint = APIBlueprint("models", __name__, url_prefix="/v1/admin", tag="Items and models")


@blueprint.put("/items")
@blueprint.input(ItemsBody)
@needs("experimenter")
def put_items(json_data: ItemsBody) -> ResponseReturnValue:
    """Inserts or replaces items by key, all of them or, if one is refused, none."""
    return {"stored": services().catalogue.put([_item(each) for each in json_data.items])}


@blueprint.get("/models")
@blueprint.input(ModelsQuery, location="query")
@needs("viewer", scope=own_scope)
def list_models(query_data: ModelsQuery) -> ResponseReturnValue:
    """Every published model version, newest first, with its offline metrics, or those of a name or a kind."""
    found = [
        each
        for each in services().models.all()
        if query_data.name in (None, each.name) and query_data.kind in (None, each.kind)
    ]
    models, cursor = page(found, query_data, lambda each: each.reference)
    return {"models": [version_document(each) for each in models], "next_cursor": cursor}


@blueprint.post("/models/<reference>/stage")
@blueprint.input(StageBody)
@needs("approver")
def stage_model(reference: str, json_data: StageBody) -> ResponseReturnValue:
    """Moves a version to another stage; the version that it replaces as the live one of its name is retired."""
    moved = services().staging.move(reference, json_data.stage, share=json_data.share, author=principal().name)
    refresh_snapshot()
    return version_document(moved)


@blueprint.post("/trainings")
@blueprint.input(TrainingBody)
@blueprint.doc(responses={202: "Queued; Location is where to follow it"})
@needs("experimenter")
def request_training(json_data: TrainingBody) -> ResponseReturnValue:
    """Queues a training; a worker carries it out and publishes a model version."""
    order = Order(
        kind=json_data.kind,
        name=json_data.name,
        hyperparameters=json_data.hyperparameters,
        seed=json_data.seed,
        by=principal().name,
        stage=json_data.stage,
    )
    run = queue_training(
        order,
        run_id=uuid.uuid4().hex,
        trainer=services().trainer,
        runs=services().trainings,
        tasks=services().tasks,
        at=services().clock.now(),
    )
    return run_document(run), 202, {"Location": f"/v1/admin/trainings/{run.id}"}


@blueprint.get("/trainings")
@blueprint.input(PageQuery, location="query")
@needs("viewer")
def list_trainings(query_data: PageQuery) -> ResponseReturnValue:
    """The newest thousand trainings, newest first."""
    trainings, cursor = page(services().trainings.all(limit=1_000), query_data, lambda each: each.id)
    return {"trainings": [run_document(each) for each in trainings], "next_cursor": cursor}


@blueprint.get("/trainings/<run_id>")
@needs("viewer")
def show_training(run_id: str) -> ResponseReturnValue:
    """How far one training is."""
    run = services().trainings.find(run_id)
    if run is None:
        raise NotFound("training", run_id, next_step="GET /v1/admin/trainings lists the newest")
    return run_document(run)


@blueprint.post("/trainings/<run_id>/cancel")
@blueprint.doc(responses={200: "Cancelled, or cancelling until its worker stops it", 409: "It has ended"})
@needs("experimenter")
def cancel_training(run_id: str) -> ResponseReturnValue:
    """Cancels a training: one that is queued at once, one that runs at its worker's next word of progress.

    One that publishes before it hears of it ends as done.
    """
    return run_document(cancel_run(run_id, runs=services().trainings, uploads=services().uploads))


@blueprint.get("/record/counts")
@needs("viewer")
def count_record() -> ResponseReturnValue:
    """Rows of each fact, of the exposures, of the quarantine and of the inbox.

    What this machine acknowledged before is in one of them: the journal on its disk is forwarded first.
    """
    left = services().left
    if left is not None:
        left.settle()
    return dict(services().record.counts())


def _item(body: ItemBody) -> Item:
    return Item(
        key=body.key,
        title=body.title,
        published_at=body.published_at or services().clock.now(),
        attributes=body.attributes,
    )


def version_document(version: ModelVersion) -> dict[str, object]:
    """A version as the API shows it."""
    return {
        "reference": version.reference,
        "name": version.name,
        "number": version.number,
        "kind": version.kind,
        "created_at": version.created_at,
        "digest": version.digest,
        "size_bytes": version.size_bytes,
        "hyperparameters": plain(version.hyperparameters),
        "metrics": dict(version.metrics),
        "stamp": plain(version.stamp),
        "stage": version.stage,
        "share": version.share,
        "reason": version.reason,
    }


def run_document(run: TrainingRun) -> dict[str, object]:
    """A training as the API shows it."""
    return {
        "id": run.id,
        "kind": run.kind,
        "name": run.name,
        "hyperparameters": plain(run.hyperparameters),
        "seed": run.seed,
        "status": run.status,
        "progress": run.progress,
        "message": run.message,
        "requested_at": run.requested_at,
        "requested_by": run.requested_by,
        "reference": run.reference,
        "stage": run.stage,
    }
