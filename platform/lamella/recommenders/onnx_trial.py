"""The first scores of an ONNX model from outside, in a process of its own with bounded memory and time.

What a model takes cannot be read off its file: 300 bytes may ask for gigabytes at every score. So it is asked here
before it is published, for as many pairs at once as it will ever be.
"""

import importlib
import io
import json
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from lamella.errors import ModelFailed, ModelFault
from lamella.recommenders.artifact import sigmoid
from lamella.recommenders.layers import Floats
from lamella.recommenders.onnx_network import BATCH, OnnxNetwork, network_of

MOST_BYTES: Final = 256_000_000
"""What a model may take, beside four times the size of its file."""
MOST_SECONDS: Final = 300
_COPIES: Final = 4
_PROBE_USERS: Final = 16
_PROBE_ITEMS: Final = 64
_GIVEN: Final = "given.npz"
_SCORES: Final = "scores.npz"
_FAULT: Final = "fault.json"
_STATUS: Final = Path("/proc/self/status")
_TOO_LARGE: Final = ("bad_alloc", "MemoryError", "ailed to allocate")


class Trial(NamedTuple):
    """The mean logit of each item over up to 16 users, and how far a batch's chances are from those of single pairs."""

    means: Floats
    difference: float


def tried(network: OnnxNetwork, *, seconds: float = MOST_SECONDS) -> Trial:
    """The scores of every item for up to 16 users, after every user was scored once.

    Raises ModelFailed where the network does not answer one finite number a pair, or takes over 256 MB and four times
    its size, or over `seconds`.
    """
    with tempfile.TemporaryDirectory(prefix="lamella-") as place:
        folder = Path(place)
        np.savez(folder / _GIVEN, **network.arrays())  # type: ignore[arg-type]  # its names are no keywords
        # -P keeps the working folder off the path of imports.
        program = [sys.executable, "-P", "-m", __name__, place, str(int(seconds) + 1)]
        try:
            child = subprocess.run(program, capture_output=True, check=False, timeout=seconds)  # noqa: S603 - our own
        except subprocess.TimeoutExpired:
            raise ModelFailed(f"the ONNX model took over {seconds:g} seconds for its first scores") from None
        if child.returncode == 0 and (folder / _SCORES).exists():
            with np.load(folder / _SCORES, allow_pickle=False) as found:
                return Trial(found["means"], float(found["difference"]))
        raise ModelFailed(_reason(folder, child, len(network.model)))


def _reason(folder: Path, child: "subprocess.CompletedProcess[bytes]", size: int) -> str:
    last = (child.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1][:200]
    fault = json.loads((folder / _FAULT).read_bytes()) if (folder / _FAULT).exists() else None
    if any(each in (fault or last) for each in _TOO_LARGE):
        allowed = (MOST_BYTES + _COPIES * size) // 1_000_000
        return f"the ONNX model takes over {allowed} MB of memory to score {BATCH} pairs"
    if fault is not None:
        return str(fault)
    ended = signal.Signals(-child.returncode).name if child.returncode < 0 else str(child.returncode)
    return f"the ONNX model ended the process of its first scores ({ended}): {last}"


def _scored(network: OnnxNetwork) -> Trial:
    users, items = np.arange(len(network.user_features)), np.arange(len(network.item_features))
    network.pair_logits(np.resize(users, max(len(users), BATCH)), np.resize(items, max(len(users), BATCH)))
    asked = np.unique(np.linspace(0, len(users) - 1, _PROBE_USERS).astype(np.int64))
    total = np.zeros(len(items))
    for user in asked.tolist():
        total += network.logits(user, items)
    some = items[np.unique(np.linspace(0, len(items) - 1, _PROBE_ITEMS).astype(np.int64))]
    together = sigmoid(network.logits(int(asked[-1]), some))
    alone = np.concatenate([sigmoid(network.logits(int(asked[-1]), some[at : at + 1])) for at in range(len(some))])
    difference = float(np.abs(together.astype(np.float64) - alone).max())
    return Trial((total / len(asked)).astype(np.float32), difference)


def _bound(size: int, seconds: int) -> None:
    """From now on this process gets so much more memory, and is ended after so many seconds of work.

    Memory is bounded on Linux alone: elsewhere the limit does not count what is mapped.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    if _STATUS.exists():
        held = next(line.split()[1] for line in _STATUS.read_text().splitlines() if line.startswith("VmData:"))
        most = int(held) * 1024 + MOST_BYTES + _COPIES * size
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _main(place: str, seconds: str) -> None:
    folder = Path(place)
    with np.load(folder / _GIVEN, allow_pickle=False) as given:
        network = network_of({name: given[name] for name in given.files})
    if network is None:
        raise ValueError(f"{folder / _GIVEN} holds no ONNX network")
    importlib.import_module("onnxruntime")
    _bound(len(network.model), int(seconds))
    try:
        means, difference = _scored(network)
    except (ModelFault, MemoryError) as error:
        (folder / _FAULT).write_text(json.dumps(str(error) or repr(error)))
        return
    buffer = io.BytesIO()
    np.savez(buffer, means=means, difference=np.float64(difference))
    (folder / _SCORES).write_bytes(buffer.getvalue())


if __name__ == "__main__":
    _main(*sys.argv[1:])
