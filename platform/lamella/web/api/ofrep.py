"""The OpenFeature Remote Evaluation Protocol, 0.3: every parameter is a flag. Evaluating records nothing."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import orjson
from apiflask import APIBlueprint
from flask import Flask, Response, g, request
from flask.typing import ResponseReturnValue

from lamella.errors import InvalidInput, NotFound, Unavailable
from lamella.experiments.flags import Evaluation, Flags, units_of
from lamella.experiments.model import Json
from lamella.experiments.snapshot import Decision, Snapshot
from lamella.experiments.targeting import UNIT_ATTRIBUTE
from lamella.services.rates import Rates
from lamella.web.auth import needs
from lamella.web.ofrep_errors import (
    FLAG_NOT_FOUND,
    INVALID_CONTEXT,
    PARSE_ERROR,
    PREFIX,
    TARGETING_KEY_MISSING,
    Refused,
    refuse,
)
from lamella.web.parsing import parse_context
from lamella.web.requests import read_object
from lamella.web.tags import entity_tag, tagged
from lamella.web.wiring import services

FILTER = "flags"
"""The context key that may name the flags that a bulk evaluation is about."""

blueprint = APIBlueprint("ofrep", __name__, url_prefix="/ofrep/v1/evaluate", tag="OFREP")
blueprint.register_error_handler(Refused, refuse)


def install_ofrep(app: Flask, rates: Rates) -> None:
    """Refuses a key that evaluates too often with 429 and Retry-After."""

    @app.before_request
    def take() -> None:
        if request.path.startswith(PREFIX) and "principal" in g:
            rates.take(g.principal.name)


@blueprint.post("/flags/<text:key>")
@blueprint.doc(
    responses={
        200: "key, value, variant, reason and metadata",
        400: "The body or the context is unusable: errorCode says how",
        404: "FLAG_NOT_FOUND: there is no such parameter",
        429: "The key evaluates too often; see Retry-After",
    }
)
@needs("client")
def evaluate_flag(key: str) -> ResponseReturnValue:
    """Evaluates one parameter for the unit `targetingKey` of the context; records nothing."""
    context = _context(_body())
    flags = _flags()
    if key not in flags:
        try:
            flags.flag(key)
        except NotFound as error:
            raise Refused(404, FLAG_NOT_FOUND, str(error)) from None
    (found,) = flags.evaluate(_decide(flags.snapshot, context), [key])
    return Response(orjson.dumps(_document(found, flags.snapshot.version)), content_type="application/json")


@blueprint.post("/flags")
@blueprint.doc(
    responses={
        200: "Every flag, with an ETag over the answer and the context",
        304: "The answer that If-None-Match names still holds",
        400: "The body or the context is unusable: errorCode says how",
        429: "The key evaluates too often; see Retry-After",
    }
)
@needs("client")
def evaluate_flags() -> ResponseReturnValue:
    """Evaluates every parameter, or those that the context key `flags` lists, for one unit; records nothing."""
    context = _context(_body())
    flags = _flags()
    wanted = _wanted(context)
    keys = [key for key in flags if wanted is None or key in wanted]
    found = flags.evaluate(_decide(flags.snapshot, context), keys)
    version = flags.snapshot.version
    document = {"flags": [_document(one, version) for one in found], "metadata": {"snapshot": version}}
    body = orjson.dumps(document)
    return tagged(body, entity_tag(body, orjson.dumps(context, option=orjson.OPT_SORT_KEYS)))


@lru_cache(maxsize=4)
def flags_of(snapshot: Snapshot) -> Flags:
    """The flags of a snapshot, made once."""
    return Flags(snapshot)


def _flags() -> Flags:
    if not services().snapshots.is_loaded:
        raise Unavailable("no configuration was loaded yet; retry, and see /readyz")
    return flags_of(services().snapshots.current())


def _body() -> Mapping[str, object]:
    try:
        return read_object(request.get_data())
    except InvalidInput as error:
        raise Refused(400, PARSE_ERROR, str(error)) from None


def _context(body: Mapping[str, object]) -> Mapping[str, Json]:
    faults: list[str] = []
    context = parse_context({} if body.get("context") is None else body["context"], faults)
    if faults:
        raise Refused(400, INVALID_CONTEXT, "; ".join(faults))
    return context


def _wanted(context: Mapping[str, Json]) -> frozenset[str] | None:
    """The flags that the context asks for; None for all of them."""
    named = context.get(FILTER)
    if named is None:
        return None
    listed = [named] if isinstance(named, str) else named
    if not isinstance(listed, Sequence) or not all(isinstance(one, str) for one in listed):
        raise Refused(
            400, INVALID_CONTEXT, f"context: {FILTER!r} is {named!r:.80}; send a list of flag keys, or nothing"
        )
    return frozenset(str(one) for one in listed)


def _decide(snapshot: Snapshot, context: Mapping[str, Json]) -> Decision:
    user = context.get(UNIT_ATTRIBUTE)
    if user is None or user == "":
        raise Refused(400, TARGETING_KEY_MISSING, f"context: {UNIT_ATTRIBUTE} is missing; send the id of the user")
    try:
        return services().assigning.decide(snapshot, units_of(user, context), context)
    except InvalidInput as error:
        raise Refused(400, INVALID_CONTEXT, f"context: {error}") from None


def _document(found: Evaluation, version: int) -> dict[str, object]:
    return {
        "key": found.key,
        "value": found.value,
        "variant": found.variant,
        "reason": found.reason,
        "metadata": {**found.metadata, "snapshot": version},
    }
