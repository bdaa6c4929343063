"""The rate limit of the admin API: a bucket for each key, told in the headers of every answer."""

from typing import Final

from flask import Flask, Response, g, request

from lamella.services.rates import Rates
from lamella.web.auth import ADMIN

_FIELD: Final = "allowance"


def install_limits(app: Flask, rates: Rates) -> None:
    """Refuses a key that asks too often with 429 and Retry-After, and shows each answer what is left."""

    @app.before_request
    def take() -> None:
        g.setdefault(_FIELD, None)
        if request.path.startswith(ADMIN) and "principal" in g:
            g.allowance = rates.take(g.principal.name)

    @app.after_request
    def show(response: Response) -> Response:
        left = g.get(_FIELD)
        if left is not None:
            response.headers["RateLimit-Limit"] = str(left.limit)
            response.headers["RateLimit-Remaining"] = str(left.remaining)
            response.headers["RateLimit-Reset"] = str(left.reset_seconds)
        elif response.status_code == 429 and "Retry-After" in response.headers and request.path.startswith(ADMIN):
            response.headers["RateLimit-Remaining"] = "0"
            response.headers["RateLimit-Reset"] = response.headers["Retry-After"]
        return response
