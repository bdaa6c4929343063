"""A network in ONNX that scores pairs of users and items, run by ONNX Runtime on one thread."""

import importlib
import json
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from lamella.errors import ModelCorrupt, ModelFailed
from lamella.experiments.model import Json
from lamella.recommenders.layers import Floats

ROLES: Final = ("user_row", "item_row", "rank", "user_features", "item_features")
"""What an input may take: a row of the user or item table, the place on the list (0), or a row of features."""
OUTPUTS: Final = ("chance", "logit")
BATCH: Final = 1024
"""So many pairs are scored at once at most, so what a model takes for them bounds what it ever takes."""
_LEAST: Final = 1e-9
_DOCUMENT: Final = "onnx.document"
_MODEL: Final = "onnx.model"
_USER_FEATURES: Final = "onnx.user_features"
_ITEM_FEATURES: Final = "onnx.item_features"
_TYPES: Final[Mapping[str, type[np.generic]]] = {
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
}


class _Argument(Protocol):
    """An input or output of a session."""

    name: str
    type: str
    shape: Sequence[object]


class _Session(Protocol):
    """The part of an ONNX Runtime session that scoring uses."""

    def get_inputs(self) -> Sequence[_Argument]:
        """The inputs."""
        ...

    def run(self, outputs: Sequence[str], inputs: Mapping[str, NDArray[np.generic]]) -> list[NDArray[np.floating]]:
        """The outputs for a batch."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OnnxNetwork:
    """The bytes of an ONNX model with what its inputs mean: `roles` by input name, and what its output is.

    `user_features` (n, f) and `item_features` (m, g) are the rows that inputs of those roles take; (n, 0) where there
    is none. The session begins with the first score and may be used from any thread.
    """

    model: bytes = field(repr=False)
    roles: Mapping[str, str]
    output: str
    output_kind: str
    user_features: Floats
    item_features: Floats
    _session: list[_Session] = field(default_factory=list, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def faults(self, users: int, items: int) -> list[str]:
        """What makes it unusable; empty where it can serve."""
        found = [
            f"{name} has {len(features)} rows, not {rows}"
            for name, features, rows in (
                ("user_features", self.user_features, users),
                ("item_features", self.item_features, items),
            )
            if len(features) != rows
        ]
        if not (np.isfinite(self.user_features).all() and np.isfinite(self.item_features).all()):
            found.append("the features hold NaN or infinity")
        return found

    def start(self) -> _Session:
        """The session. Raises ModelFailed where ONNX Runtime is missing, ModelCorrupt where it refuses the model."""
        with self._lock:
            if not self._session:
                self._session.append(_session_of(self.model))
            return self._session[0]

    def logits(self, user: int, rows: NDArray[np.int64]) -> Floats:
        """The logit of the items in `rows` for the user in row `user`: (len(rows),) float32. Raises ModelFailed."""
        return self.pair_logits(np.full(len(rows), user, dtype=np.int64), rows)

    def pair_logits(self, users: NDArray[np.int64], items: NDArray[np.int64]) -> Floats:
        """The logit of each pair of rows: (len(users),) float32. Raises ModelFailed, also where the shape is off."""
        if not len(items):
            return np.zeros(0, dtype=np.float32)
        starts = range(0, len(items), BATCH)
        return np.concatenate([self._batch(users[at : at + BATCH], items[at : at + BATCH]) for at in starts])

    def _batch(self, users: NDArray[np.int64], items: NDArray[np.int64]) -> Floats:
        session = self.start()
        given = {each.name: self._input(each, users, items) for each in session.get_inputs()}
        try:
            answer = np.asarray(session.run([self.output], given)[0], dtype=np.float32)
        except Exception as error:  # ONNX Runtime's errors share no other base
            raise ModelFailed(f"the ONNX model did not answer: {str(error)[:200]}") from error
        if answer.size != len(items) or answer.shape[:1] != (len(items),):
            raise ModelFailed(f"the ONNX model answered with shape {answer.shape} for {len(items)} items")
        flat = answer.reshape(-1)
        if self.output_kind == "logit":
            return flat
        if not np.isfinite(flat).all() or flat.min() < 0 or flat.max() > 1:
            raise ModelFailed("the ONNX model's chances are NaN or not within 0..1")
        bounded = np.clip(flat.astype(np.float64), _LEAST, 1 - _LEAST)
        logits: Floats = np.log(bounded / (1 - bounded)).astype(np.float32)
        return logits

    def _input(self, argument: _Argument, users: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.generic]:
        role = self.roles.get(argument.name)
        wanted = _TYPES.get(argument.type)
        if role is None or wanted is None:
            raise ModelFailed(f"the ONNX model's input {argument.name!r} ({argument.type}) was not declared")
        if role == "user_features":
            return self.user_features[users].astype(wanted)
        if role == "item_features":
            return self.item_features[items].astype(wanted)
        rows = {"user_row": users, "item_row": items, "rank": np.zeros_like(items)}[role].astype(wanted)
        return rows[:, None] if len(argument.shape) == 2 else rows

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """The network as arrays that need no pickle."""
        document = {"roles": dict(self.roles), "output": self.output, "output_kind": self.output_kind}
        return {
            _DOCUMENT: np.frombuffer(json.dumps(document).encode(), dtype=np.uint8),
            _MODEL: np.frombuffer(self.model, dtype=np.uint8),
            _USER_FEATURES: self.user_features,
            _ITEM_FEATURES: self.item_features,
        }


def network_of(arrays: Mapping[str, NDArray[np.generic]]) -> OnnxNetwork | None:
    """The network that `arrays` wrote, if there is one. Raises KeyError, TypeError or ValueError."""
    if _MODEL not in arrays:
        return None
    document: Mapping[str, Json] = json.loads(arrays[_DOCUMENT].tobytes())
    roles = document["roles"]
    if not isinstance(roles, dict):
        raise TypeError("the roles of the ONNX inputs are not an object")
    return OnnxNetwork(
        model=arrays[_MODEL].tobytes(),
        roles={name: str(role) for name, role in roles.items()},
        output=str(document["output"]),
        output_kind=str(document["output_kind"]),
        user_features=np.ascontiguousarray(arrays[_USER_FEATURES], dtype=np.float32),
        item_features=np.ascontiguousarray(arrays[_ITEM_FEATURES], dtype=np.float32),
    )


def _session_of(model: bytes) -> _Session:
    try:
        runtime = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise ModelFailed(f"ONNX Runtime is not installed ({error}); run: pip install 'lamella[onnx]'") from error
    options = closed_options(runtime)
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 4
    try:
        session: _Session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors share no other base
        raise ModelCorrupt(f"ONNX Runtime refuses the model: {str(error)[:200]}") from error
    return session


def closed_options(runtime: ModuleType) -> Any:
    """The options of a session on one thread that reads no file, whatever its model says.

    ONNX Runtime looks for data outside a model below the working folder, unless it is told another; below the null
    device there can be none.
    """
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    return options
