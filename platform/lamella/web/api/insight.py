"""Looking inside a model version."""

from typing import Annotated

from apiflask import APIBlueprint
from flask.typing import ResponseReturnValue
from pydantic import Field

from lamella.services.insight import MOST_CLUSTERS, MOST_NEIGHBOURS, MOST_POINTS, Wanted
from lamella.web.auth import needs
from lamella.web.queries import Query
from lamella.web.scopes import own_scope
from lamella.web.wiring import services

blueprint = APIBlueprint("insight", __name__, url_prefix="/v1/admin", tag="Items and models")


class InsightQuery(Query):
    """How many clusters, points on the map and entries of each list to show, and the seed of what is drawn."""

    clusters: Annotated[int, Field(ge=2, le=MOST_CLUSTERS)] = 6
    points: Annotated[int, Field(ge=10, le=MOST_POINTS)] = 500
    ends: Annotated[int, Field(ge=1, le=50)] = 10
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0


class NearestQuery(Query):
    """How many items to show."""

    k: Annotated[int, Field(ge=1, le=MOST_NEIGHBOURS)] = 10


@blueprint.get("/models/<reference>/insight")
@blueprint.input(InsightQuery, location="query")
@needs("viewer", scope=own_scope)
def show_insight(reference: str, query_data: InsightQuery) -> ResponseReturnValue:
    """Biases, clusters of the items, a map of them, and the learning curve of a version."""
    return services().insight.show(reference, Wanted(**query_data.model_dump())).document()


@blueprint.get("/models/<reference>/items/<text:item>/nearest")
@blueprint.input(NearestQuery, location="query")
@needs("viewer", scope=own_scope)
def show_nearest(reference: str, item: str, query_data: NearestQuery) -> ResponseReturnValue:
    """The items whose vectors point most in the direction of this one's."""
    return services().insight.nearest(reference, item, query_data.k)
