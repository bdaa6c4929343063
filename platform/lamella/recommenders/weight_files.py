"""Weights out of files from outside: numbers only. Nothing that a file says is executed or built.

Read are safetensors, Keras' `.weights.h5` and `.h5`, and of a `.keras` archive the weights alone. An architecture in a
file is never looked at: the network is built by the registered kind.
"""

import io
import json
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lamella.errors import InvalidInput, ModelFailed
from lamella.recommenders.keras_runtime import Network

SAFETENSORS: Final = "safetensors"
H5: Final = "h5"
KERAS: Final = "keras"
ONNX: Final = "onnx"

_H5_SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
_ZIP_SIGNATURE: Final = b"PK\x03\x04"
_ARCHIVED: Final = "model.weights.h5"
_LONGEST_HEADER: Final = 16 * 1024 * 1024
_TYPES: Final[Mapping[str, str]] = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}
_MOST_GROWTH: Final = 8
"""How many times its own size a compressed file of weights may hold."""
_MOST_MEMBERS: Final = 10_000
_DEEPEST: Final = 16
_MOST_FAULTS: Final = 8

Tensors = Mapping[str, NDArray[np.float32]]


def format_of(content: bytes) -> str:
    """The format of a file of weights, told by its content. Raises InvalidInput where it is none that is taken.

    Safetensors are read whole, an archive's list too; what an HDF5 file holds is looked at when it is built.
    """
    if content.startswith(_H5_SIGNATURE):
        return H5
    if content.startswith(_ZIP_SIGNATURE):
        weights_in_archive(content)
        return KERAS
    read_safetensors(content)
    return SAFETENSORS


def check_onnx_start(content: bytes) -> None:
    """Nothing. Raises InvalidInput unless `content` begins as an ONNX model does: with its IR version."""
    if len(content) < 16 or content[0] != 0x08 or not 3 <= content[1] <= 64:
        raise InvalidInput("the file is not an ONNX model: it does not begin with an IR version")


def read_safetensors(content: bytes) -> Tensors:
    """The tensors by name, float32. Raises InvalidInput where the file is malformed or holds other types."""
    try:
        length = int.from_bytes(content[:8], "little")
        if len(content) < 8 or not 2 <= length <= min(_LONGEST_HEADER, len(content) - 8):
            raise InvalidInput("the weights are none of .safetensors, .weights.h5, .h5 and .keras")
        header = json.loads(content[8 : 8 + length])
        body, ends, found = memoryview(content)[8 + length :], [], {}
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            start, end = entry["data_offsets"]
            found[str(name)] = _tensor(body, entry, start, end)
            ends.append((start, end))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise InvalidInput(f"the safetensors file is malformed or holds other than F16, F32, F64: {error!r}") from None
    ends.sort()
    if any(later[0] < sooner[1] for sooner, later in pairwise(ends)):
        raise InvalidInput("the safetensors file is malformed: tensors overlap")
    return found


def _tensor(body: memoryview, entry: Mapping[str, Any], start: int, end: int) -> NDArray[np.float32]:
    kind, shape = np.dtype(_TYPES[entry["dtype"]]), tuple(int(each) for each in entry["shape"])
    if not 0 <= start <= end <= len(body) or min(shape, default=1) < 0:
        raise ValueError("a tensor lies outside the file")
    return np.frombuffer(body[start:end], dtype=kind).reshape(shape).astype(np.float32)


def weights_in_archive(content: bytes) -> bytes:
    """The HDF5 file of weights in a `.keras` archive. Raises InvalidInput where there is none, or a bomb."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = archive.getinfo(_ARCHIVED).file_size
            if size > _MOST_GROWTH * len(content):
                raise InvalidInput(f"the .keras archive unpacks to {size} bytes, over {_MOST_GROWTH} times its size")
            with archive.open(_ARCHIVED) as member:
                found = member.read(size + 1)
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError, OSError, EOFError, ValueError) as error:
        raise InvalidInput(f"the archive holds no readable {_ARCHIVED}: {error}") from None
    if len(found) != size or not found.startswith(_H5_SIGNATURE):
        raise InvalidInput(f"the archive's {_ARCHIVED} is not an HDF5 file")
    return found


def fill(network: Network, content: bytes) -> None:
    """Every weight of the network replaced by those in the file.

    Raises InvalidInput where the file is not sound, ModelFailed where it does not fit the network.
    """
    found = format_of(content)
    if found == SAFETENSORS:
        _assign(network, read_safetensors(content))
    else:
        _load(network, weights_in_archive(content) if found == KERAS else content)


def _assign(network: Network, tensors: Tensors) -> None:
    variables = {each.path: each for each in network.weights}
    faults = [f"{name} is missing" for name in sorted(variables.keys() - tensors.keys())]
    faults += [f"{name} is not one of its weights" for name in sorted(tensors.keys() - variables.keys())]
    faults += [
        f"{name} has shape {tensors[name].shape}, not {tuple(variables[name].shape)}"
        for name in sorted(variables.keys() & tensors.keys())
        if tensors[name].shape != tuple(variables[name].shape)
    ]
    if faults:
        raise ModelFailed(f"the weights do not fit the network: {'; '.join(faults)}")
    for name, variable in variables.items():
        variable.assign(tensors[name])


def _load(network: Network, content: bytes) -> None:
    suffix = _check_h5(content)
    with tempfile.TemporaryDirectory(prefix="lamella-") as folder:
        path = Path(folder) / f"given{suffix}"
        path.write_bytes(content)
        try:
            network.load_weights(path)
        except (ValueError, KeyError, OSError, TypeError, AttributeError, IndexError) as error:
            reason = " ".join(str(error).split())[:300]
            raise ModelFailed(f"the weights do not fit the network: {reason}") from error


def _check_h5(content: bytes) -> str:
    """The suffix by which Keras knows the file. Raises InvalidInput for links, external or virtual data, or objects."""
    import h5py

    faults: list[str] = []
    size = 0
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            for path, member in _h5_members(file, h5py):
                if isinstance(member, str):
                    faults.append(f"{path} {member}")
                elif isinstance(member, h5py.Dataset) and _holds_numbers(member):
                    size += member.size * member.dtype.itemsize
                else:
                    faults.append(f"{path} does not hold numbers of its own")
                if len(faults) > _MOST_FAULTS:
                    break
            is_legacy = "layer_names" in file.attrs or "model_weights" in file
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise InvalidInput(f"the HDF5 file cannot be read: {error}") from None
    if size > _MOST_GROWTH * len(content):
        faults.append(f"it holds {size} bytes, over {_MOST_GROWTH} times its size")
    if faults:
        raise InvalidInput(f"the HDF5 file of weights is refused: {'; '.join(faults[:_MOST_FAULTS])}")
    return ".h5" if is_legacy else ".weights.h5"


def _holds_numbers(member: Any) -> bool:
    return not (member.external or member.is_virtual) and member.dtype.kind in "fiub"


def _h5_members(file: Any, h5py: ModuleType) -> Iterator[tuple[str, Any]]:
    """What is no group in the file, by its path; a sentence's end in its place where it may not be what it is.

    Nothing is met twice and the walk is bounded: of names for one object a small file can have more than can be walked.
    """
    met = {h5py.h5o.get_info(file.id).addr}
    pending = [("", file)]
    while pending:
        place, group = pending.pop()
        for name in group:
            path = f"{place}/{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                yield path, "is a link"
                continue
            member = group[name]
            address = h5py.h5o.get_info(member.id).addr
            if address in met:
                yield path, "is another name for what the file has already"
            elif len(met) > _MOST_MEMBERS:
                yield path, f"comes after {_MOST_MEMBERS} others, which is too many"
                return
            elif isinstance(member, h5py.Group) and path.count("/") > _DEEPEST:
                yield path, "lies too deep"
            elif isinstance(member, h5py.Group):
                pending.append((path, member))
            else:
                yield path, member
            met.add(address)
