"""Weights as files, for tests."""

import json
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

_TYPES: Final[Mapping[str, str]] = {"float16": "F16", "float32": "F32", "float64": "F64"}


def pack_safetensors(tensors: Mapping[str, NDArray[np.floating]]) -> bytes:
    """The tensors as a safetensors file."""
    header, body = {}, b""
    for name, tensor in tensors.items():
        content = np.ascontiguousarray(tensor).tobytes()
        offsets = [len(body), len(body) + len(content)]
        header[name] = {"dtype": _TYPES[str(tensor.dtype)], "shape": list(tensor.shape), "data_offsets": offsets}
        body += content
    packed = json.dumps(header).encode()
    return len(packed).to_bytes(8, "little") + packed + body
