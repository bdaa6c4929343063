"""Webhooks: subscriptions and their deliveries."""

from apiflask import APIBlueprint
from flask.typing import ResponseReturnValue

from lamella.experiments.model import Json
from lamella.services.admin_ports import Delivery, Webhook
from lamella.web.auth import needs, principal
from lamella.web.paging import before, next_number, page
from lamella.web.queries import PageQuery
from lamella.web.schemas import WebhookBody, WebhookPatch
from lamella.web.wiring import services

blueprint = APIBlueprint("webhooks", __name__, url_prefix="/v1/admin/webhooks", tag="Webhooks")


@blueprint.get("")
@blueprint.input(PageQuery, location="query")
@needs("admin")
def list_webhooks(query_data: PageQuery) -> ResponseReturnValue:
    """Every subscription, oldest first, without its secret."""
    webhooks, cursor = page(services().webhooks.all(), query_data, lambda each: each.id)
    return {"webhooks": [_webhook(each) for each in webhooks], "next_cursor": cursor}


@blueprint.post("")
@blueprint.input(WebhookBody)
@blueprint.doc(responses={201: "The subscription with its secret: keep it, nobody can read it again"})
@needs("admin")
def create_webhook(json_data: WebhookBody) -> ResponseReturnValue:
    """Tells this URL about these events from now on, signed with the secret that is shown once."""
    found = services().webhooks.subscribe(json_data.url, json_data.events, by=principal().name)
    return {**_webhook(found), "secret": found.secret}, 201, {"Cache-Control": "no-store"}


@blueprint.get("/<webhook>")
@needs("admin")
def show_webhook(webhook: str) -> ResponseReturnValue:
    """One subscription, without its secret."""
    return _webhook(services().webhooks.find(webhook))


@blueprint.patch("/<webhook>")
@blueprint.input(WebhookPatch)
@needs("admin")
def update_webhook(webhook: str, json_data: WebhookPatch) -> ResponseReturnValue:
    """Changes the fields that the body names; the secret stays."""
    changed = services().webhooks.change(
        webhook, url=json_data.url, events=json_data.events, is_active=json_data.is_active
    )
    return _webhook(changed)


@blueprint.delete("/<webhook>")
@blueprint.doc(responses={204: "The subscription and its deliveries are gone"})
@needs("admin")
def delete_webhook(webhook: str) -> ResponseReturnValue:
    """Ends the subscription."""
    services().webhooks.cancel(webhook)
    return "", 204


@blueprint.get("/<webhook>/deliveries")
@blueprint.input(PageQuery, location="query")
@needs("admin")
def list_deliveries(webhook: str, query_data: PageQuery) -> ResponseReturnValue:
    """What was and is to be sent, newest first, with how the last try went."""
    found = services().webhooks.deliveries(webhook, before=before(query_data), limit=query_data.limit)
    cursor = next_number([each.number for each in found], query_data)
    return {"deliveries": [_delivery(each) for each in found], "next_cursor": cursor}


def _webhook(webhook: Webhook) -> dict[str, Json]:
    return {
        "id": webhook.id,
        "url": webhook.url,
        "events": list(webhook.events),
        "created_at": webhook.created_at.isoformat(),
        "created_by": webhook.created_by,
        "is_active": webhook.is_active,
    }


def _delivery(delivery: Delivery) -> dict[str, Json]:
    return {
        "number": delivery.number,
        "event": delivery.event,
        "body": dict(delivery.body),
        "created_at": delivery.created_at.isoformat(),
        "due_at": delivery.due_at.isoformat(),
        "status": delivery.status,
        "tries": delivery.tries,
        "answer": delivery.answer,
    }
