"""The OpenAPI 3.1 document, generated from the routes; what APIFlask does not know is added by `operation_models`."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from apiflask import APIFlask

DESCRIPTION: Final = (
    "Layered online experiments for recommenders. Every error is application/problem+json with a stable `code`; "
    "every answer carries X-Request-Id."
)

BEARER: Final = "bearer"
QUERY: Final = "collector"


def install_openapi(app: APIFlask) -> None:
    """Completes what APIFlask generates."""
    app.description = DESCRIPTION
    app.config["AUTO_SERVERS"] = False
    app.config["AUTO_OPERATION_ID"] = True
    app.config["AUTO_VALIDATION_ERROR_RESPONSE"] = False
    app.config["AUTO_404_RESPONSE"] = False
    app.config["VALIDATION_ERROR_STATUS_CODE"] = 400
    app.security_schemes = {
        BEARER: {"type": "http", "scheme": "bearer", "bearerFormat": "lam_ and 43 characters"},
        QUERY: {"type": "apiKey", "in": "query", "name": "key", "description": "the key of a collector only"},
    }

    @app.spec_processor
    def complete(spec: dict[str, Any] | str) -> dict[str, Any] | str:
        if isinstance(spec, str):
            raise TypeError("the OpenAPI document is made as JSON only; do not set SPEC_FORMAT")
        # Many models, which nothing but the document needs: a process that nobody asks for it never makes them.
        from lamella.web.operation_models import complete_operations

        complete_operations(app, spec)
        # Several blueprints share a heading.
        spec["tags"] = list({each["name"]: each for each in spec.get("tags", ())}.values())
        # APIFlask's own shape of an error, which nothing here answers with.
        spec["components"]["schemas"].pop("HTTPError", None)
        return spec


def operations(app: APIFlask, spec: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Endpoint, "METHOD /path" and operation object of each documented route, by path."""
    endpoints = {
        (openapi_path(rule.rule), method): rule.endpoint
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
    }
    for path, methods in sorted(spec["paths"].items()):
        for method, operation in methods.items():
            yield endpoints[path, method.upper()], f"{method.upper()} {path}", operation


def openapi_path(rule: str) -> str:
    """A Flask rule in OpenAPI's notation.

    >>> openapi_path("/v1/admin/experiments/<key>/<text:rest>")
    '/v1/admin/experiments/{key}/{rest}'
    """
    parts = (part.removeprefix("<").removesuffix(">") for part in rule.split("/"))
    names = (part.rsplit(":", 1)[-1] for part in parts)
    return "/".join(
        f"{{{name}}}" if raw.startswith("<") else raw for name, raw in zip(names, rule.split("/"), strict=True)
    )
