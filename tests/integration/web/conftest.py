"""A whole application over in-memory fakes: every port is a fake that the product ships, every use case is real."""

import itertools
import shutil
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from front_stand import Stand
from lamella.bootstrap.readiness import ReadinessCheck
from lamella.bootstrap.web import Services
from lamella.config import Settings
from lamella.experiments.document import experiment_from_document, layer_from_document, parameter_from_document
from lamella.recommenders.blobs import FolderBlobs
from lamella.recommenders.looking import ModelEyes
from lamella.recommenders.registry import FolderRegistry
from lamella.recommenders.uploads import Uploads
from lamella.services.assigning import Assigning, SnapshotHolder
from lamella.services.canaries import Canaries
from lamella.services.cascade import Cascade
from lamella.services.changes import Changes
from lamella.services.configuring import Configuring
from lamella.services.exposing import Exposing
from lamella.services.foreseeing import Foreseeing
from lamella.services.idempotency import Idempotency
from lamella.services.insight import Insight
from lamella.services.keys import ROLES, Keys
from lamella.services.previewing import Previews
from lamella.services.recommending import Recommending
from lamella.services.recording import Recording
from lamella.services.shadowing import Shadowing
from lamella.services.staging import Staging
from lamella.services.units import Units
from lamella.services.webhooks import Webhooks
from lamella.testing.admin import MemoryAnswerStore, MemoryAuditLog, MemoryProposalStore, MemoryWebhookStore
from lamella.testing.analysis import MemoryAnalysisStore
from lamella.testing.configurations import MemoryConfigurationStore
from lamella.testing.fakes import (
    FakeClock,
    FakeTrainer,
    MemoryCatalogue,
    MemoryKeyStore,
    MemoryModelCatalogue,
    MemoryTaskQueue,
    MemoryTrainingRuns,
)
from lamella.testing.models import MemoryVersionFiles
from lamella.testing.recommender import FakeRecommender
from lamella.testing.record import MemoryRecord
from lamella.testing.shadows import MemoryShadowStore
from lamella.testing.units import (
    MemoryArchive,
    MemoryFlagStore,
    MemoryOldFacts,
    MemoryQuarantine,
    MemoryUnitRecords,
)
from lamella.web.app import create_app
from unit.reporting import samples

ITEMS = [f"item-{number:02}" for number in range(40)]
SECRET = b"0" * 32
RANKING = {"key": "ranking", "salt": "ranking"}
PARAMETERS = [
    {"key": "recall.model", "type": "string", "default": "popularity@1", "layer": "recall"},
    {"key": "recall.count", "type": "integer", "default": 20, "layer": "recall"},
    {"key": "rank.model", "type": "string", "default": "popularity@1", "layer": "ranking"},
    {"key": "slate.size", "type": "integer", "default": 5, "layer": "ranking"},
]
EXPERIMENT = {
    "key": "ranking-mf",
    "layer": "ranking",
    "name": "Rank by matrix factorisation",
    "hypothesis": "Personal ranking raises the click-through rate",
    "ranges": [{"start": 0, "stop": 10_000}],
    "variants": [
        {"key": "popularity", "weight": 1, "is_control": True, "values": {"rank.model": "popularity@1"}},
        {"key": "mf", "weight": 1, "values": {"rank.model": "mf@1"}},
    ],
    "plan": {"primary_metric": "ctr"},
}


@dataclass(frozen=True)
class Lab:
    """The application with everything behind it."""

    app: APIFlask
    services: Services
    record: MemoryRecord
    files: MemoryVersionFiles
    recommender: FakeRecommender
    tasks: MemoryTaskQueue
    keys: dict[str, str]

    def client(self) -> FlaskClient:
        return self.app.test_client()

    def bearer(self, role: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.keys[role]}"}

    def call(self, method: str, path: str, *, role: str = "admin", **options):
        headers = {**self.bearer(role), **options.pop("headers", {})}
        return self.client().open(path, method=method, headers=headers, **options)

    def ingest(self) -> None:
        self.record.ingest(limit=1_000, now=self.services.clock.now())


class Secrets:
    """A SecretStore with one secret for every name."""

    def secret(self, name: str) -> bytes:
        return name.encode().ljust(32, b"\0")


def make_lab(*, settings: Settings | None = None, readiness: tuple[ReadinessCheck, ...] = ()) -> Lab:
    clock = FakeClock()
    proposals = MemoryProposalStore()
    store = MemoryConfigurationStore(proposals=proposals)
    record = MemoryRecord()
    analysis = MemoryAnalysisStore(record)
    configuring = Configuring(store, clock, ["ctr", "reading_depth"], foreseeing=Foreseeing(analysis, clock))
    for key in ("recall", "ranking"):
        configuring.create_layer(layer_from_document({"key": key}), author="test")
    for parameter in PARAMETERS:
        configuring.create_parameter(parameter_from_document(parameter), author="test")
    configuring.create_experiment(experiment_from_document(EXPERIMENT), author="test")
    snapshots = SnapshotHolder(store)
    snapshots.refresh()
    recommender = FakeRecommender(ITEMS, ["popularity@1", "mf@1"])
    keys = Keys(MemoryKeyStore(), clock)
    tasks, models = MemoryTaskQueue(), MemoryModelCatalogue()
    folder = Path(tempfile.mkdtemp(prefix="lamella-lab-"))
    weakref.finalize(models, shutil.rmtree, folder, ignore_errors=True)
    registry = FolderRegistry(folder, models)
    catalogue, files = MemoryCatalogue(), MemoryVersionFiles()
    previews = Previews(Secrets(), clock)
    exposing = Exposing(snapshots, record, clock)
    shadows = MemoryShadowStore()
    services = Services(
        settings=settings or Settings(),
        clock=clock,
        snapshots=snapshots,
        assigning=Assigning(snapshots, previews=previews),
        previews=previews,
        recommending=Recommending(
            snapshots=snapshots,
            previews=previews,
            cascade=Cascade(recommender, deadline_seconds=60.0),
            journal=record,
            clock=clock,
            new_id=map("request-{}".format, itertools.count(1)).__next__,
        ),
        recording=Recording(record, clock, exposures=exposing.reader),
        exposing=exposing,
        configuring=configuring,
        keys=keys,
        configuration=store,
        record=record,
        analysis=analysis,
        catalogue=catalogue,
        models=models,
        insight=Insight(models, catalogue, ModelEyes(files)),
        trainings=MemoryTrainingRuns(),
        staging=Staging(models, store, configuring, clock),
        canaries=Canaries(),
        shadowing=Shadowing(shadows),
        shadows=shadows,
        trainer=FakeTrainer(["mf", "popularity"]),
        uploads=Uploads(FolderBlobs(folder), registry, most_bytes=100_000),
        manifests=registry,
        tasks=tasks,
        audit=MemoryAuditLog(),
        idempotency=Idempotency(MemoryAnswerStore(), clock),
        webhooks=Webhooks(MemoryWebhookStore(), clock),
        changes=Changes(
            store,
            configuring,
            proposals,
            clock,
            ["ctr", "reading_depth"],
            approvals_required=(settings or Settings()).approvals_required,
        ),
        units=Units(MemoryUnitRecords(record), MemoryOldFacts(), MemoryArchive(), store, clock),
        flags=MemoryFlagStore(record),
        quarantine=MemoryQuarantine(record),
        old_facts=MemoryOldFacts(),
        readiness=readiness,
    )
    return Lab(
        app=create_app(services, secret=SECRET),
        services=services,
        record=record,
        files=files,
        recommender=recommender,
        tasks=tasks,
        keys={role: keys.create(role, role) for role in ROLES},
    )


@pytest.fixture
def lab() -> Lab:
    return make_lab()


@pytest.fixture
def report_document() -> dict[str, object]:
    """A complete report document, as a worker stores it."""
    return samples.document()


@pytest.fixture
def make():
    """How a test makes an application of its own."""
    return make_lab


@pytest.fixture
def stand(lab):
    return Stand(lab)


@pytest.fixture(params=["new heads", "known heads"])
def are_heads_known(request, stand) -> None:
    """What holds holds for heads that are read for the first time, and for those that came before."""
    stand.are_heads_known = request.param == "known heads"
