"""Both modes of the SDK on the golden vectors: through HTTP and in process, the parameters that were written down."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from integration.client.conftest import Service
from integration.web.conftest import make_lab
from lamella.client import InProcessClient, RemoteClient
from lamella.experiments.document import configuration_from_document

FILE: Final = Path(__file__).parents[1] / "experiments" / "assignment_vectors.json"
VECTORS: Final[dict[str, Any]] = orjson.loads(FILE.read_bytes())


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    made = Service(make_lab())
    store = made.lab.services.configuration
    store._newest = configuration_from_document({**VECTORS["configuration"], "version": store.version() + 1})
    made.lab.services.snapshots.refresh()
    made.up()
    yield made
    made.down()


def test_both_modes_give_what_was_written_down(service: Service, tmp_path: Path) -> None:
    assert any(not vector["unit"].isascii() for vector in VECTORS["decisions"])
    with (
        closing(RemoteClient(service.url, service.key)) as remote,
        InProcessClient(service.url, service.key, tmp_path) as local,
    ):
        for vector in VECTORS["decisions"]:
            unit, wanted = vector["unit"], vector["parameters"]
            context = {**vector["context"], "targetingKey": unit}
            assert local.assign(unit, vector["context"]).parameters == wanted
            assert [one._asdict() for one in local.assign(unit, vector["context"]).assignments] == vector["assignments"]
            for key, value in wanted.items():
                here, there = local.flag(key, context, expose=False), remote.flag(key, context)
                assert here[:4] == there[:4]
                assert here.value == value
