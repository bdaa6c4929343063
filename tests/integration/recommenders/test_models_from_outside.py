"""A model leaves as files, comes back as files, and answers the same: by weights and by ONNX."""

import functools
import hashlib
import importlib
import io
import json
import warnings
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnxruntime import InferenceSession

from contract.recommenders.kind_laws import planted, planted_dataset
from lamella.errors import Conflict, InvalidInput, ModelCorrupt, ModelFailed
from lamella.recommenders.blobs import FolderBlobs
from lamella.recommenders.exporting import export_version
from lamella.recommenders.keras_runtime import start
from lamella.recommenders.kinds import KINDS
from lamella.recommenders.registry import FolderRegistry
from lamella.recommenders.sided import SIDED
from lamella.recommenders.table_rows import rows_of_dataset
from lamella.recommenders.trainer import KerasTrainer
from lamella.recommenders.uploads import Uploads
from lamella.services.model_ports import TrainingRun
from lamella.services.training import PUBLISHING
from lamella.services.uploading import Upload, plan_upload
from lamella.testing.fakes import MemoryModelCatalogue, MemoryTrainingRuns
from lamella.testing.weights import pack_safetensors

NOW = datetime(2026, 3, 2, tzinfo=UTC)
RUN = TrainingRun(
    id="run",
    kind="mf",
    name="mf",
    hyperparameters={},
    seed=1,
    status="running",
    progress=0.0,
    message="",
    requested_at=NOW,
    requested_by="ann",
)
OTHERS = ("mf", "dot", "fm", "ncf", "twotower")
SMALL = {"epochs": 1, "batch_size": 4096, "embedding_size": 4}


class Bench:
    def __init__(self, folder: Path) -> None:
        self.models, self.runs = MemoryModelCatalogue(), MemoryTrainingRuns()
        self.registry = FolderRegistry(folder / "models", self.models)
        self.uploads = Uploads(FolderBlobs(folder / "models"), self.registry, most_bytes=50_000_000)
        self.count, self.told = 0, []

    def train(self, kind: str, **hyperparameters):
        run = TrainingRun(**{**_fields(RUN), "kind": kind, "name": kind, "hyperparameters": hyperparameters})
        trainer = KerasTrainer(self.registry)
        return trainer.train(run, planted().log, planted().items, at=NOW, progress=lambda *_: None)

    def upload(self, kind: str, weights: bytes, rows: bytes, *, sha256: str | None = None, **hyperparameters):
        self.count += 1
        given = Upload(
            kind=kind,
            name="theirs",
            hyperparameters=hyperparameters,
            sha256=sha256 or hashlib.sha256(weights).hexdigest(),
            by="ann",
            weights=weights,
            rows=rows,
        )
        run = plan_upload(given, run_id=f"up-{self.count}", uploads=self.uploads, runs=self.runs, at=NOW)
        return self.uploads.build(run, at=NOW, progress=lambda share, _message: self.told.append(share))


def _fields(run: TrainingRun) -> dict[str, object]:
    return {name: getattr(run, name) for name in run.__slots__}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory):
    """A bench, and the version of a kind that it trained once."""
    bench = Bench(tmp_path_factory.mktemp("trained"))

    @functools.cache
    def version_of(kind: str):
        return bench.train(kind, **small(kind))

    return bench, version_of


def small(kind: str) -> dict[str, int]:
    return {**SMALL, "batch_size": 64} if kind == "textcnn" else SMALL


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["deep", "textcnn", *(pytest.param(each, marks=pytest.mark.long) for each in OTHERS)])
def test_the_weights_of_a_published_network_come_back_as_the_same_model(trained, kind: str) -> None:
    bench, version_of = trained
    ours = version_of(kind)
    network, rows = bench.registry.read(ours, "model.keras"), bench.registry.read(ours, "rows.json")
    theirs = bench.upload(kind, network, rows, **small(kind))
    assert theirs.stage == "candidate"
    assert bench.registry.manifest(theirs)["probe_max_error"] < 1e-4
    first, second = bench.registry.load(ours), bench.registry.load(theirs)
    for user in (*first.user_ids[:5], "nobody"):
        np.testing.assert_allclose(second.logits(user), first.logits(user), atol=1e-6)


def mf_weights(users: int, items: int, size: int = 4) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    shapes = {"user_vectors": (users, size), "item_vectors": (items, size), "user_bias": (users, 1)}
    shapes |= {"item_bias": (items, 1), "rank_bias": (50, 1)}
    return {f"{name}/embeddings": rng.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}


ROWS = json.dumps({"users": ["u", "v"], "items": ["x", "y", "z"]}).encode()


@pytest.mark.slow
def test_safetensors_of_anybody_serve_as_their_formula_says(bench: Bench) -> None:
    weights = mf_weights(2, 3)
    version = bench.upload("mf", pack_safetensors(weights), ROWS, embedding_size=4)
    served = bench.registry.load(version).score("v", ["x", "y", "z"])
    w = {name.partition("/")[0]: each.astype(np.float64) for name, each in weights.items()}
    logits = (
        w["item_vectors"] @ w["user_vectors"][1] + w["item_bias"][:, 0] + w["user_bias"][1, 0] + w["rank_bias"][0, 0]
    )
    np.testing.assert_allclose(served, 1 / (1 + np.exp(-logits)), atol=1e-6)


@pytest.mark.slow
def test_weights_that_do_not_fit_or_are_no_numbers_are_refused_and_publish_nothing(bench: Bench) -> None:
    with pytest.raises(ModelFailed, match="user_vectors/embeddings has shape"):
        bench.upload("mf", pack_safetensors(mf_weights(3, 3)), ROWS, embedding_size=4)
    missing = mf_weights(2, 3)
    del missing["item_bias/embeddings"]
    with pytest.raises(ModelFailed, match="item_bias/embeddings is missing"):
        bench.upload("mf", pack_safetensors(missing), ROWS, embedding_size=4)
    poisoned = mf_weights(2, 3)
    poisoned["item_bias/embeddings"][1] = np.nan
    with pytest.raises(ModelFailed, match="NaN"):
        bench.upload("mf", pack_safetensors(poisoned), ROWS, embedding_size=4)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["vars"] = h5py.ExternalLink("/etc/passwd", "/")
    with pytest.raises(InvalidInput, match="/vars is a link"):
        bench.upload("mf", buffer.getvalue(), ROWS, embedding_size=4)
    assert bench.models.all() == []


@pytest.mark.slow
def test_a_version_goes_out_in_each_form_and_says_what_keras_says(trained, tmp_path: Path) -> None:
    bench, version_of = trained
    version, out = version_of("deep"), tmp_path / "out"
    for wanted in ("keras", "savedmodel", "onnx"):
        assert export_version(bench.registry, version, wanted=wanted, out=out / wanted) <= 1e-4
        with pytest.raises(Conflict, match="exists"):
            export_version(bench.registry, version, wanted=wanted, out=out / wanted)
    names = [f"{each}{end}" for each in ("keras", "onnx", "savedmodel") for end in ("", ".inputs.json", ".rows.json")]
    assert sorted(each.name for each in out.iterdir()) == names


def numbers_in(field: dict, value: object) -> list[int]:
    """The numbers of a value as the manual has them, without a line of the package."""
    if field["kind"] == "number":
        return [] if value is None else [1 + sum(edge <= value for edge in field["edges"])]
    given = list(dict.fromkeys(value.lower().split())) if field["kind"] == "words" else value or []
    return [1 + field["values"].index(each) for each in given if each in field["values"]][: field["slots"]]


@pytest.mark.slow
def test_the_files_of_an_export_are_all_that_a_stranger_needs_to_feed_it(trained, tmp_path: Path) -> None:
    bench, version_of = trained
    version, out = version_of("deep"), tmp_path / "deep.onnx"
    export_version(bench.registry, version, wanted="onnx", out=out)
    rows = json.loads((tmp_path / "deep.onnx.rows.json").read_bytes())
    inputs = json.loads((tmp_path / "deep.onnx.inputs.json").read_bytes())
    user, items = 7, [each for each in range(len(rows["items"])) if each not in rows["unseen_items"]]
    people, things = [rows["user_attributes"][user]] * len(items), [{"title": rows["titles"][each]} for each in items]
    given = {"rank": np.zeros(len(items), dtype=np.int32)}
    for side, places, attributes in (("user", [user] * len(items), people), ("item", items, things)):
        given[inputs[side]["input"]] = np.array(places, dtype=np.int32) + 1
        for field in inputs[side]["fields"]:
            taken, weights = np.zeros((2, len(places), field["slots"]))
            for at, each in enumerate(attributes):
                found = numbers_in(field, each.get(field["name"]))
                taken[at, : len(found)], weights[at, : len(found)] = found, 1 / max(len(found), 1)
            given[field["input"]], given[field["weights"]] = taken.astype(np.int32), weights.astype(np.float32)
    assert {field["name"] for side in inputs.values() for field in side["fields"]} == {"age", "interests", "title"}
    answer = InferenceSession(out.read_bytes(), providers=["CPUExecutionProvider"]).run(None, given)[0]
    served = bench.registry.load(version).score(rows["users"][user], [rows["items"][each] for each in items])
    np.testing.assert_allclose(answer.reshape(-1), served, atol=1e-5)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_kinds_whose_inputs_are_written_down_are_those_that_take_attributes(kind: str) -> None:
    module = importlib.import_module(f"lamella.recommenders.{kind}")
    assert (kind in SIDED) == hasattr(module, "sides_of")


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".weights.h5", ".h5"])
def test_weights_come_in_from_both_of_keras_own_files(bench: Bench, tmp_path: Path, suffix: str) -> None:
    taken = bench.upload("mf", pack_safetensors(mf_weights(2, 3)), ROWS, embedding_size=4)
    (tmp_path / "m.keras").write_bytes(bench.registry.read(taken, "model.keras"))
    network = start(0).keras.models.load_model(tmp_path / "m.keras", compile=False)
    path = tmp_path / f"m{suffix}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (network.save_weights if suffix == ".weights.h5" else network.save)(path)
    again = bench.upload("mf", path.read_bytes(), ROWS, embedding_size=4)
    np.testing.assert_array_equal(bench.registry.load(again).logits("u"), bench.registry.load(taken).logits("u"))


def scorer(*extra: onnx.NodeProto, opset: int = 18, domain: str = "") -> bytes:
    """chance = sigmoid(bias[item] + taste[user])."""
    users, items = np.array([0.5, -0.5], dtype=np.float32), np.array([1.0, 0.0, -2.0], dtype=np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["items", "item"], ["a"]),
            helper.make_node("Gather", ["users", "user"], ["b"]),
            helper.make_node("Add", ["a", "b"], ["logit"]),
            *extra,
            helper.make_node("Sigmoid", ["logit"], ["chance"]),
        ],
        "scorer",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["n"]) for name in ("user", "item")],
        [helper.make_tensor_value_info("chance", TensorProto.FLOAT, ["n"])],
        [onnx.numpy_helper.from_array(users, "users"), onnx.numpy_helper.from_array(items, "items")],
    )
    imports = [helper.make_opsetid("", opset)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    return helper.make_model(graph, opset_imports=imports, ir_version=8).SerializeToString()


SIGNED = json.dumps(
    {
        "users": ["u", "v"],
        "items": ["x", "y", "z"],
        "signature": {"inputs": {"user": "user_row", "item": "item_row"}, "output": "chance"},
    }
).encode()


def test_an_onnx_ranker_serves_known_users_and_a_stranger(bench: Bench) -> None:
    version = bench.upload("onnx", scorer(), SIGNED)
    model = bench.registry.load(version)
    expected = 1 / (1 + np.exp(-np.array([1.5, -1.5])))
    np.testing.assert_allclose(model.score("u", ["x", "z"]), expected, atol=1e-6)
    np.testing.assert_allclose(model.logits("nobody"), [1.0, 0.0, -2.0], atol=1e-5)
    assert np.isfinite(model.score("u", ["unknown"])).all()
    assert version.kind == "onnx"
    assert bench.registry.manifest(version)["signature"]["runtime"] == "onnx"


def test_a_build_tells_that_it_begins_to_publish_when_it_does(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    before: list[float] = []
    publish = bench.registry.publish

    def noting(*given: object, **named: object):
        before.extend(bench.told)
        return publish(*given, **named)

    monkeypatch.setattr(bench.registry, "publish", noting)
    bench.upload("onnx", scorer(), SIGNED)
    assert before[-1] >= PUBLISHING > max(before[:-1])


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (scorer(helper.make_node("Evil", ["logit"], ["w"], domain="com.evil"), domain="com.evil"), "com.evil"),
        (scorer(helper.make_node("RandomNormalLike", ["logit"], ["w"])), "RandomNormalLike is not taken"),
        (scorer(opset=7), "opset 7"),
        (scorer()[:-30], "not a valid ONNX model"),
    ],
)
def test_an_onnx_file_with_anything_else_than_plain_operators_is_refused(
    bench: Bench, model: bytes, reason: str
) -> None:
    with pytest.raises(InvalidInput, match=reason):
        bench.upload("onnx", model, SIGNED)
    assert bench.models.all() == []


def test_an_onnx_file_that_reaches_outside_itself_is_refused(bench: Bench) -> None:
    model = onnx.load_model_from_string(scorer())
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../../etc/passwd"
    with pytest.raises(InvalidInput):
        bench.upload("onnx", model.SerializeToString(), SIGNED)


def test_a_digest_that_is_announced_in_capitals_is_the_same(bench: Bench) -> None:
    digest = hashlib.sha256(scorer()).hexdigest()
    assert bench.upload("onnx", scorer(), SIGNED, sha256=digest.upper()).stamp["sha256"] == digest


def test_an_onnx_file_changed_on_disk_is_corrupt(bench: Bench, tmp_path: Path) -> None:
    version = bench.upload("onnx", scorer(), SIGNED)
    path = tmp_path / "models" / "theirs" / "1" / "serving.npz"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelCorrupt, match="sha256"):
        bench.registry.load(version)


def test_the_rows_of_a_dataset_say_who_has_evidence() -> None:
    document = json.loads(rows_of_dataset(planted_dataset()))
    assert len(document["unseen_items"]) >= 2
    assert set(KINDS) > {"mf"}
