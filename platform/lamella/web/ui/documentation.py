"""The page /docs: the OpenAPI document, readable without a script or anything from another server."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from apiflask import APIBlueprint, APIFlask
from flask import current_app, render_template
from flask.typing import ResponseReturnValue
from markupsafe import Markup, escape

from lamella.web.auth import PUBLIC, needs
from lamella.web.openapi import operations
from lamella.web.problems import TITLES

blueprint = APIBlueprint("documentation", __name__, enable_openapi=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A body field or parameter, as a row of a table."""

    name: str
    type: str
    required: bool
    default: str = ""
    place: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A route, as a section of the page."""

    anchor: str
    method: str
    path: str
    summary: Markup
    description: Markup
    access: str
    parameters: Sequence[Field]
    fields: Sequence[Field]
    answers: Sequence[tuple[str, Markup]]


@blueprint.get("/docs")
@needs(PUBLIC)
def docs() -> ResponseReturnValue:
    """The documentation page."""
    app = cast("APIFlask", current_app)
    spec = cast("dict[str, Any]", app.spec)
    found = [_operation(endpoint, name, each, spec) for endpoint, name, each in operations(app, spec)]
    return render_template(
        "docs.html",
        spec=spec,
        about=with_code(spec["info"]["description"]),
        operations=found,
        problems=sorted(TITLES.items()),
    )


def with_code(text: str) -> Markup:
    """The text as HTML, with what stands between backticks as code.

    >>> with_code("`a` < b")
    Markup('<code>a</code> &lt; b')
    """
    parts = [escape(part) for part in text.split("`")]
    return Markup().join(Markup("<code>{}</code>").format(part) if i % 2 else part for i, part in enumerate(parts))


def _operation(endpoint: str, name: str, found: Mapping[str, Any], spec: Mapping[str, Any]) -> Operation:
    method, path = name.split(" ")
    role = found.get("x-role")
    return Operation(
        anchor=endpoint.replace(".", "-"),
        method=method,
        path=path,
        summary=with_code(found.get("summary", "")),
        description=with_code(found.get("description", "")),
        access=f"Needs a key with role {role} or higher." if role else "Public.",
        parameters=[
            Field(name=each["name"], type=_type(each["schema"]), required=each["required"], place=each["in"])
            for each in found.get("parameters", ())
        ],
        fields=_fields(found, spec),
        answers=[(status, with_code(answer["description"])) for status, answer in sorted(found["responses"].items())],
    )


def _fields(found: Mapping[str, Any], spec: Mapping[str, Any]) -> Sequence[Field]:
    try:
        reference = found["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    except KeyError:
        return []
    schema = spec["components"]["schemas"][reference.rsplit("/", 1)[-1]]
    required = schema.get("required", ())
    return [
        Field(
            name=name,
            type=_type(each),
            required=name in required,
            default=str(each["default"]) if each.get("default") is not None else "",
        )
        for name, each in schema.get("properties", {}).items()
    ]


def _type(schema: Mapping[str, Any]) -> str:
    """A JSON schema in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit(".", 1)[-1].removesuffix("Body").lower()
    if "enum" in schema:
        return " | ".join(str(each) for each in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(each) for each in schema["anyOf"]))
    if schema.get("type") == "array":
        return f"array of {_type(schema.get('items', {}))}"
    return str(schema.get("type", "any"))
