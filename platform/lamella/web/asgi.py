"""The factory that `lamella web` calls in each of its processes: `lamella.web.asgi:create`."""

from apiflask import APIFlask

from lamella.web import wsgi
from lamella.web.app import answer_headers
from lamella.web.at_once import AtOnce
from lamella.web.bridge import Bridge
from lamella.web.front import Front, Take
from lamella.web.wiring import wired


def create() -> Front:
    """The application with the settings of the LAMELLA_* variables; its poller runs. Raises InvalidSettings."""
    return front(wsgi.create())


def front(app: APIFlask) -> Front:
    """The ASGI application in front of `app`."""
    services, telemetry = wired(app).services, wired(app).telemetry
    groups, routes = services.groups, dict[str, Take]()
    if groups is not None:
        routes["/v1/recommendations"] = AtOnce(services, telemetry, groups).take

    def end() -> None:
        services.recommending.close()
        telemetry.refresh()
        if groups is not None:
            groups.close()

    bridge = Bridge(app, threads=services.settings.web_threads)
    return Front(bridge, routes, telemetry=telemetry, headers=answer_headers(services), end=end)
