"""Versions as files for other programs: the Keras network as it is, as SavedModel, or as ONNX."""

import contextlib
import importlib
import io
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lamella.errors import Conflict, InvalidInput, ModelFailed, NotFound, TrainingFault, Unavailable
from lamella.recommenders.input_names import INPUTS, inputs_of
from lamella.recommenders.keras_runtime import Runtime, start
from lamella.recommenders.onnx_network import closed_options
from lamella.recommenders.registry import MOST_PROBE_ERROR, Registry
from lamella.recommenders.sided import SIDED
from lamella.recommenders.table_rows import ROWS
from lamella.recommenders.weight_files import ONNX
from lamella.services.model_ports import ModelVersion

NETWORK: Final = "model.keras"
SAVED_MODEL: Final = "savedmodel"
_PROBE_SIZE: Final = 64
_OPSET: Final = 18

Batch = Mapping[str, NDArray[np.generic]]


def export_version(registry: Registry, version: ModelVersion, *, wanted: str, out: Path) -> float:
    """The greatest difference of the outputs from Keras over a probe batch; `out` is there, whole, and its rows.

    `rows.json` comes to stand beside `out` as `<out>.rows.json`, and for a network with attributes what its inputs
    mean as `<out>.inputs.json`. Only networks that the registry itself published are opened. Raises Conflict where
    `out` exists, InvalidInput where the version has no such form, ModelFailed where the outputs differ by more than
    1e-4; nothing is left behind then.
    """
    if out.exists():
        raise Conflict(f"{out} exists; name another file")
    if version.kind == ONNX and wanted != ONNX:
        raise InvalidInput(f"{version.reference} is an ONNX model; it goes out as onnx")
    partial = out.with_name(f".{out.name}.{uuid.uuid4().hex}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        error = _write(registry, version, wanted, partial)
        partial.replace(out)
    except OSError as fault:
        raise Unavailable(f"{out} cannot be written: {fault.strerror or fault}") from fault
    finally:
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        partial.unlink(missing_ok=True)
    with contextlib.suppress(NotFound):
        rows = registry.read(version, ROWS)
        out.with_name(f"{out.name}.{ROWS}").write_bytes(rows)
        if version.kind in SIDED:
            out.with_name(f"{out.name}.{INPUTS}").write_bytes(inputs_of(rows))
    return error


def _write(registry: Registry, version: ModelVersion, wanted: str, path: Path) -> float:
    if version.kind == ONNX:
        path.write_bytes(registry.read(version, "model.onnx"))
        return 0.0
    try:
        content = registry.read(version, NETWORK)
    except NotFound:
        raise InvalidInput(f"{version.reference} is a {version.kind}, which has no network to export") from None
    if wanted == "keras":
        path.write_bytes(content)
        return 0.0
    runtime = start(0)
    network = _opened(runtime, content)
    batch = _probe(network)
    expected = np.ravel(network.predict_on_batch(list(batch.values())))
    answer = _saved_model if wanted == SAVED_MODEL else _onnx
    error = float(np.abs(np.ravel(answer(runtime, network, batch, path)).astype(np.float64) - expected).max())
    if not error <= MOST_PROBE_ERROR:
        raise ModelFailed(
            f"{version.reference} as {wanted} differs from Keras by {error:.2g}, over {MOST_PROBE_ERROR:g}"
        )
    return error


def _opened(runtime: Runtime, content: bytes) -> Any:
    """The network of a file whose digest is the registry's: our own kinds wrote it."""
    with tempfile.TemporaryDirectory(prefix="lamella-") as folder:
        path = Path(folder) / NETWORK
        path.write_bytes(content)
        return runtime.keras.models.load_model(path, compile=False, safe_mode=True)


def _probe(network: Any) -> Batch:
    """A batch for the inputs by name: rows that every table has, small weights."""
    rng = np.random.default_rng(0)
    smallest = min((layer.input_dim for layer in network._flatten_layers() if hasattr(layer, "input_dim")), default=2)  # noqa: SLF001 - Keras shows nested layers nowhere else
    batch: dict[str, NDArray[np.generic]] = {}
    for each in network.inputs:
        shape = (_PROBE_SIZE, *(size or 1 for size in each.shape[1:]))
        is_rows = "int" in str(each.dtype)
        drawn = rng.integers(0, smallest, shape) if is_rows else rng.random(shape)
        batch[each.name] = drawn.astype(np.int32 if is_rows else np.float32)
    return batch


def _saved_model(runtime: Runtime, network: Any, batch: Batch, path: Path) -> NDArray[np.float32]:
    tf = runtime.tf
    with _quiet():
        network.export(path, format="tf_saved_model", verbose=False)
        loaded = tf.saved_model.load(str(path))  # held, because its variables go with it
    found: NDArray[np.float32] = loaded.serve([tf.constant(each) for each in batch.values()]).numpy()
    return found


def _onnx(runtime: Runtime, network: Any, batch: Batch, path: Path) -> NDArray[np.float32]:
    """Converted from a traced function whose inputs keep their names; answers are those of ONNX Runtime."""
    try:
        tf2onnx, onnxruntime = importlib.import_module("tf2onnx"), importlib.import_module("onnxruntime")
    except ImportError as error:
        raise TrainingFault(f"ONNX needs its extra ({error}); run: pip install 'lamella[onnx]'") from error
    tf = runtime.tf
    signature = [tf.TensorSpec([None, *each.shape[1:]], each.dtype, name=each.name) for each in network.inputs]
    with _quiet():
        traced = tf.function(lambda *inputs: network(list(inputs), training=False), input_signature=signature)
        tf2onnx.convert.from_function(traced, input_signature=signature, opset=_OPSET, output_path=str(path))
    session = onnxruntime.InferenceSession(
        path.read_bytes(), closed_options(onnxruntime), providers=["CPUExecutionProvider"]
    )
    given = {each.name: batch[each.name.partition(":")[0]] for each in session.get_inputs()}
    found: NDArray[np.float32] = session.run(None, given)[0]
    return found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """A block in which the converters neither warn nor print."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
