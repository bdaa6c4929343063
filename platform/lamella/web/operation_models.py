"""What the operations of the OpenAPI document take and answer: access, errors, and bodies that views read by hand.

Imported when the document is asked for.
"""

from collections.abc import Mapping
from typing import Any, Final

from apiflask import APIFlask
from pydantic import BaseModel

from lamella.web.answers import ANSWERS, PROPOSING, ConfigurationBody
from lamella.web.auth import PAGES, PUBLIC, access_of
from lamella.web.openapi import BEARER, QUERY, operations
from lamella.web.problems import MEDIA_TYPE
from lamella.web.schemas import StartBody, UploadForm
from lamella.web.serving_schemas import (
    EvaluationBody,
    EvaluationFailure,
    EventsBody,
    ExplainBody,
    ExposuresBody,
    Problem,
    RecommendationBody,
    RecommendationsBody,
)

HAND_PARSED: Final[Mapping[str, type[BaseModel]]] = {
    "recommendations.recommend": RecommendationBody,
    "recommendations.recommend_many": RecommendationsBody,
    "configuration.explain_body": ExplainBody,
    "experiments.schedule_experiment": StartBody,
    "experiments.start_experiment": StartBody,
    "serving.take_events": EventsBody,
    "whole.put_configuration": ConfigurationBody,
    "exposures.take_exposures": ExposuresBody,
    "ofrep.evaluate_flag": EvaluationBody,
    "ofrep.evaluate_flags": EvaluationBody,
}
"""Routes that read their body themselves, with the model that says what they accept."""

FORMS: Final[Mapping[str, type[BaseModel]]] = {"uploads.upload_model": UploadForm}
"""Routes that take a form with files."""

BODY_OPTIONAL: Final = frozenset({"experiments.schedule_experiment", "experiments.start_experiment"})

AS_TEXT: Final = frozenset({"serving.take_events"})
"""Routes that take their JSON as text/plain too, with a collector's key in the query: what a beacon can send."""

_OF_MODELS: Final = ("models.", "uploads.")
_SHARED_ANSWERS: Final[Mapping[str, str]] = {
    "401": "No usable key",
    "403": "The key's role does not reach this far",
    "503": "Something that lamella needs does not answer; see Retry-After",
}
_BODY_ANSWERS: Final[Mapping[str, str]] = {
    "400": "The input breaks its contract; `faults` lists everything that is wrong",
    "413": "The body is too large",
    "415": "The body is declared as something that is not read here",
}


def complete_operations(app: APIFlask, spec: dict[str, Any]) -> None:
    """Completes every operation of the document, and registers the models that it then refers to."""
    schemas = spec.setdefault("components", {}).setdefault("schemas", {})
    _register(schemas, Problem)
    _register(schemas, EvaluationFailure)
    for endpoint, _, operation in operations(app, spec):
        _complete(app, schemas, endpoint, operation)


def _complete(app: APIFlask, schemas: dict[str, Any], endpoint: str, operation: dict[str, Any]) -> None:
    access = access_of(app, endpoint)
    if access not in (PUBLIC, PAGES):
        operation["security"] = [{BEARER: []}]
        operation["x-role"] = access
    _describe_body(schemas, endpoint, operation)
    answers = operation.setdefault("responses", {})
    if not any(status < "300" for status in answers):
        answers["200"] = {"description": "Done", "content": {"application/json": {"schema": {"type": "object"}}}}
    _describe_good_answers(schemas, endpoint, answers)
    if access not in (PUBLIC, PAGES):
        _add_problems(answers, _SHARED_ANSWERS)
        if "requestBody" in operation:
            operation["requestBody"]["required"] = endpoint not in BODY_OPTIONAL
            _add_problems(answers, _BODY_ANSWERS)
        elif any(parameter["in"] == "query" for parameter in operation.get("parameters", ())):
            _add_problems(answers, {"400": _BODY_ANSWERS["400"]})
        if any(parameter["in"] == "path" for parameter in operation.get("parameters", ())):
            _add_problems(answers, {"404": "There is no such thing"})
    for status, answer in answers.items():
        if endpoint == "health.readyz":
            answer["content"] = {"application/json": {"schema": {"type": "object"}}}
        elif status >= "400" and endpoint.startswith("ofrep."):
            answer["content"] = {"application/json": {"schema": _reference(EvaluationFailure)}}
        elif status >= "400":
            answer["content"] = {MEDIA_TYPE: {"schema": _reference(Problem)}}
    operation["responses"] = dict(sorted(answers.items()))


def _describe_body(schemas: dict[str, Any], endpoint: str, operation: dict[str, Any]) -> None:
    """Gives routes that read their body themselves its schema."""
    if endpoint in HAND_PARSED:
        model = HAND_PARSED[endpoint]
        _register(schemas, model)
        operation["requestBody"] = {
            "required": endpoint not in BODY_OPTIONAL,
            "content": {"application/json": {"schema": _reference(model)}},
        }
    if endpoint in FORMS:
        _register(schemas, FORMS[endpoint])
        content = {"multipart/form-data": {"schema": _reference(FORMS[endpoint])}}
        operation["requestBody"] = {"required": True, "content": content}
    if endpoint in AS_TEXT:
        operation["security"].append({QUERY: []})
        operation["requestBody"]["content"]["text/plain"] = {"schema": {"type": "string"}}


def _describe_good_answers(schemas: dict[str, Any], endpoint: str, answers: dict[str, Any]) -> None:
    """Gives each 2xx of a route with a model in ANSWERS its schema; a 202 of a change shows the proposal."""
    model = ANSWERS.get(endpoint)
    if model is None:
        return
    has_done = any(status in ("200", "201") for status in answers)
    if not has_done and not endpoint.startswith(_OF_MODELS):
        answers["200"] = {"description": "Done"}
    for status, answer in answers.items():
        if status < "300" and status != "204":
            shown = PROPOSING if status == "202" and not endpoint.startswith(_OF_MODELS) else model
            _register(schemas, shown)
            answer["content"] = {"application/json": {"schema": _reference(shown)}}


def _add_problems(answers: dict[str, Any], described: Mapping[str, str]) -> None:
    for status, description in described.items():
        answers.setdefault(status, {"description": description})


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _register(schemas: dict[str, Any], model: type[BaseModel]) -> None:
    schema = model.model_json_schema(by_alias=True, ref_template=f"#/components/schemas/{model.__name__}.{{model}}")
    for name, nested in schema.pop("$defs", {}).items():
        schemas[f"{model.__name__}.{name}"] = nested
    schemas[model.__name__] = schema
