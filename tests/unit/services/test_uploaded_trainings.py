"""The life of a training that builds what was uploaded."""

from dataclasses import replace
from datetime import datetime

import pytest

from lamella.errors import LamellaError, ModelFailed
from lamella.services.model_ports import ModelVersion, TrainingRun
from lamella.services.training import Progress, Training
from lamella.testing.fakes import MemoryModelCatalogue
from training_bench import Bench, published


@pytest.fixture
def bench() -> Bench:
    return Bench()


class FakeBuilder:
    """Publishes a candidate of what was uploaded, and remembers what was discarded."""

    def __init__(self, models: MemoryModelCatalogue) -> None:
        self.models, self.built, self.discarded = models, 0, []
        self.error: LamellaError | None = None

    def build(self, run: TrainingRun, *, at: datetime, progress: Progress) -> ModelVersion:
        self.built += 1
        progress(0.5, "building")
        if self.error is not None:
            raise self.error
        return published(self.models, run, at)

    def discard(self, upload: str) -> None:
        self.discarded.append(upload)


def uploading(bench: Bench) -> tuple[Training, FakeBuilder]:
    builder = FakeBuilder(bench.models)
    training = bench.training_with(builder=builder)
    run = replace(bench.queue(), id="up-1", source={"upload": "up-1"}, stage="candidate")
    bench.runs.put(run)
    return training, builder


def test_what_was_uploaded_is_built_once_and_its_files_go(bench: Bench) -> None:
    training, builder = uploading(bench)
    assert training.carry_out("up-1").message == "published mf@1 as a candidate"
    bench.runs.put(replace(bench.runs.find("up-1"), status="running"))
    assert training.carry_out("up-1").reference == "mf@1"
    assert (builder.built, set(builder.discarded), bench.trainer.trained) == (1, {"up-1"}, 0)


def test_an_upload_that_cannot_be_built_fails_with_the_reason_and_its_files_go(bench: Bench) -> None:
    training, builder = uploading(bench)
    builder.error = ModelFailed("the weights do not fit")
    ended = training.carry_out("up-1")
    assert (ended.status, ended.message, builder.discarded) == ("failed", "the weights do not fit", ["up-1"])


def test_an_upload_that_failed_is_not_built_again_when_its_task_comes_back(bench: Bench) -> None:
    training, builder = uploading(bench)
    builder.error = ModelFailed("the weights do not fit")
    ended = training.carry_out("up-1")
    assert training.carry_out("up-1") == ended
    assert builder.built == 1
