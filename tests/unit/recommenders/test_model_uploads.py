"""Models from outside: numbers are taken, programs are not, and nothing is left of what was refused."""

import hashlib
import io
import json
import pickle
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from lamella.errors import InvalidInput
from lamella.recommenders.blobs import Blobs, FolderBlobs, UrlBlobs
from lamella.recommenders.registry import FolderRegistry
from lamella.recommenders.uploads import UPLOADS, Uploads
from lamella.recommenders.weight_files import read_safetensors
from lamella.services.training import FAILED, QUEUED
from lamella.services.uploading import Upload, plan_upload, queue_upload, sweep_uploads
from lamella.testing.fakes import MemoryModelCatalogue, MemoryTaskQueue, MemoryTrainingRuns
from lamella.testing.weights import pack_safetensors

NOW = datetime(2026, 3, 2, tzinfo=UTC)
ROWS = json.dumps({"users": ["u", "v"], "items": ["x", "y", "z"]}).encode()
WEIGHTS = pack_safetensors({"user_vectors/embeddings": np.ones((2, 4), dtype=np.float32)})


def upload_of(weights: bytes = WEIGHTS, *, rows: bytes = ROWS, kind: str = "mf", **changed) -> Upload:
    made = Upload(
        kind=kind,
        name="mine",
        hyperparameters={},
        sha256=hashlib.sha256(weights).hexdigest(),
        by="ann",
        weights=weights,
        rows=rows,
    )
    return replace(made, **changed)


class Bench:
    def __init__(self, folder: Path, blobs: Blobs) -> None:
        self.folder, self.now, self.blobs = folder, 1e9, blobs
        self.models, self.runs, self.tasks = MemoryModelCatalogue(), MemoryTrainingRuns(), MemoryTaskQueue()
        registry = FolderRegistry(folder, self.models)
        self.uploads = Uploads(blobs, registry, most_bytes=10_000, clock=lambda: self.now)

    def queue(self, upload: Upload, run_id: str = "run-1"):
        return queue_upload(upload, run_id=run_id, uploads=self.uploads, runs=self.runs, tasks=self.tasks, at=NOW)

    def left(self) -> list[str]:
        return [str(each.relative_to(self.folder)) for each in self.folder.rglob("*") if each.is_file()]


@pytest.fixture(params=["folder", "url"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    return Bench(tmp_path, FolderBlobs(tmp_path) if request.param == "folder" else UrlBlobs(f"local://{tmp_path}"))


def test_sound_weights_wait_for_a_worker(bench: Bench) -> None:
    run = bench.queue(upload_of(hyperparameters={"embedding_size": 4}))
    assert (run.status, run.stage, run.source, run.hyperparameters["embedding_size"]) == (
        QUEUED,
        "candidate",
        {"upload": "1000000000-run-1"},
        4,
    )
    assert bench.tasks.asked == [("train", "run-1")]
    assert len(bench.left()) == 3


def archive(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, content)
    return buffer.getvalue()


BOMB = archive("model.weights.h5", b"\x89HDF\r\n\x1a\n" + b"\0" * 1_000_000)
OVERLAP = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}'


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        (pickle.dumps({"a": 1}), "none of .safetensors"),
        (b"", "none of .safetensors"),
        (archive("config.json", b"{}"), "no readable model.weights.h5"),
        (archive("model.weights.h5", b"not hdf5"), "is not an HDF5 file"),
        (BOMB, "times its size"),
        (WEIGHTS[:-4], "malformed"),
        (len(OVERLAP).to_bytes(8, "little") + OVERLAP + b"\0" * 8, "overlap"),
        ((2**62).to_bytes(8, "little") + b"{}", "none of .safetensors"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 20_000, "allows 10000"),
    ],
)
def test_what_is_no_file_of_numbers_is_refused_with_the_reason_and_nothing_is_left(
    bench: Bench, weights: bytes, reason: str
) -> None:
    with pytest.raises(InvalidInput, match=reason):
        bench.queue(upload_of(weights))
    assert (bench.left(), bench.runs.all(), bench.tasks.asked) == ([], [], [])


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"sha256": "0" * 64}, "was announced"),
        ({"sha256": ""}, "none was announced"),
        ({"kind": "gru"}, "not built from weights; there are"),
        ({"kind": "mff"}, "did you mean"),
        ({"name": "../up"}, "model name"),
        ({"hyperparameters": {"embedding_size": 0}}, "embedding_size=0"),
        ({"hyperparameters": {"lambda": "x"}}, "no hyperparameter"),
        ({"rows": b"[]"}, "not an object"),
        ({"rows": b'{"users": ["u", "u"], "items": ["x"]}'}, "different keys"),
        ({"rows": b'{"users": ["\\ud800"], "items": ["x"]}'}, "different keys"),
        ({"rows": b'{"users": ["u"], "items": ["x"], "until": 1%s}' % (b"0" * 400)}, "until is not a moment"),
        ({"rows": b'{"users": ["u"], "items": ["x"], "published": [1%s]}' % (b"0" * 400)}, "published is not a list"),
        ({"rows": b'{"users": ["u"], "items": ["x"], "code": 1}'}, "unknown name"),
        ({"rows": b'{"users": ["u"], "items": ["x"], "titles": ["a", "b"]}'}, "2 entries for 1 rows"),
        ({"rows": b'{"users": ["u"], "items": ["x"], "unseen_items": [0]}'}, "not all of them"),
        ({"kind": "onnx"}, "not an ONNX model"),
    ],
)
def test_what_does_not_belong_together_is_refused(bench: Bench, changed: dict[str, object], reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        bench.queue(upload_of(**changed))
    assert bench.left() == []


def test_every_fault_is_named_at_once(bench: Bench) -> None:
    with pytest.raises(InvalidInput) as refusal:
        bench.queue(upload_of(pickle.dumps(1), name="../up", sha256="0", rows=b"{}", kind="mff"))
    assert len(refusal.value.faults) >= 6


def test_a_broker_that_is_away_leaves_a_failed_run_and_no_file(bench: Bench) -> None:
    bench.tasks.down = True
    with pytest.raises(Exception, match="broker"):
        bench.queue(upload_of())
    assert (bench.runs.find("run-1").status, bench.left()) == (FAILED, [])


def test_what_a_killed_process_left_is_swept_after_an_hour_and_what_is_awaited_stays(bench: Bench) -> None:
    plan_upload(upload_of(), run_id="awaited", uploads=bench.uploads, runs=bench.runs, at=NOW)
    bench.uploads.keep(upload_of(), "orphan")
    torn = bench.folder / UPLOADS / "1000000000-torn"
    torn.mkdir()
    (torn / ".partial-1").write_bytes(b"half")
    (bench.folder / UPLOADS / "strange").mkdir()
    bench.now += 3_601
    assert sweep_uploads(bench.uploads, bench.runs, now=NOW) == 3
    assert [each.name for each in (bench.folder / UPLOADS).iterdir()] == ["1000000000-awaited"]
    assert sweep_uploads(bench.uploads, bench.runs, now=NOW + timedelta(days=1)) == 1
    assert bench.left() == []


class Interrupted(FolderBlobs):
    """Files in a folder; in the middle of one of them something else happens."""

    def __init__(self, root: Path, *, at: int) -> None:
        super().__init__(root)
        self.root, self.left, self.meanwhile = root, at, lambda: None

    def write(self, path: str, content: bytes) -> None:
        self.left -= 1
        if self.left == 0:
            half = (self.root / path).with_name(".partial-half")
            half.parent.mkdir(parents=True, exist_ok=True)
            half.write_bytes(content[:1])
            self.meanwhile()
            half.unlink()
        super().write(path, content)


@pytest.mark.parametrize("at", [1, 2, 3])
def test_an_upload_that_another_one_overtakes_is_not_swept(tmp_path: Path, at: int) -> None:
    blobs = Interrupted(tmp_path, at=at)
    bench = Bench(tmp_path, blobs)
    blobs.meanwhile = lambda: bench.queue(upload_of(), "other")
    bench.queue(upload_of(), "slow")
    assert len(bench.left()) == 6


def test_what_is_kept_and_not_yet_queued_is_not_swept(bench: Bench) -> None:
    place = bench.uploads.keep(upload_of(), "slow")
    bench.queue(upload_of(), "other")
    assert len(list((bench.folder / UPLOADS / place).iterdir())) == 3


def test_a_digest_in_capitals_is_kept_as_it_is_compared(bench: Bench) -> None:
    run = bench.queue(upload_of(sha256=hashlib.sha256(WEIGHTS).hexdigest().upper()))
    about = json.loads(bench.blobs.read(f"{UPLOADS}/{run.source['upload']}/upload.json"))
    assert about["sha256"] == hashlib.sha256(WEIGHTS).hexdigest()


def test_half_precision_is_read_as_float32() -> None:
    found = read_safetensors(pack_safetensors({"a": np.arange(4, dtype=np.float16).reshape(2, 2)}))
    assert found["a"].dtype == np.float32
    assert found["a"].tolist() == [[0, 1], [2, 3]]
