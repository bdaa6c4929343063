"""The optional parts of a serving artifact as plain arrays, and back."""

import json
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lamella.recommenders.encoder import Encoder
from lamella.recommenders.fields import field_of
from lamella.recommenders.layers import Floats, Layer, Tail
from lamella.recommenders.onnx_network import OnnxNetwork, network_of
from lamella.recommenders.side import Side

Arrays = Mapping[str, NDArray[np.generic]]
_IDF: Final = "item_idf"


class Parts(NamedTuple):
    """What a model may have beside its matrices; see FactorModel."""

    tail: Tail | None
    encoder: Encoder | None
    side: Side | None
    item_idf: Floats
    network: OnnxNetwork | None = None


def arrays_of(parts: Parts) -> dict[str, NDArray[np.generic]]:
    """The parts that are there, as arrays by name; none of them needs a pickle."""
    arrays: dict[str, NDArray[np.generic]] = {_IDF: parts.item_idf}
    if parts.tail is not None:
        tail = parts.tail
        arrays |= {"tail.user": tail.user_hidden, "tail.item": tail.item_hidden, "tail.stranger": tail.stranger}
        arrays |= _layer_arrays("tail", tail.layers)
    if parts.encoder is not None:
        encoder = parts.encoder
        document = {
            "kind": encoder.kind,
            "length": encoder.length,
            "dilations": encoder.dilations,
            "weights": len(encoder.weights),
        }
        arrays |= {"encoder": _text(document), "encoder.taste": encoder.taste}
        arrays |= {f"encoder.{at}": each for at, each in enumerate(encoder.weights)}
    if parts.side is not None:
        side = parts.side
        document = {"fields": [each.document() for each in side.fields], "has_squares": side.has_squares}
        arrays |= {"side": _text(document), "side.table": side.table, "side.linear": side.linear}
        arrays |= {"side.start": side.start, "side.bias": np.array([side.start_bias]), "side.centre": side.centre}
        arrays |= _layer_arrays("side", side.layers)
    if parts.network is not None:
        arrays |= parts.network.arrays()
    return arrays


def parts_of(arrays: Arrays) -> Parts:
    """The parts that `arrays_of` wrote. Raises KeyError, TypeError or ValueError where they are none."""
    idf = _floats(arrays[_IDF]) if _IDF in arrays else np.zeros(0, dtype=np.float32)
    return Parts(_tail(arrays), _encoder(arrays), _side(arrays), idf, network_of(arrays))


def _tail(arrays: Arrays) -> Tail | None:
    if "tail.user" not in arrays:
        return None
    return Tail(
        user_hidden=_floats(arrays["tail.user"]),
        item_hidden=_floats(arrays["tail.item"]),
        stranger=_floats(arrays["tail.stranger"]),
        layers=_layers("tail", arrays),
    )


def _encoder(arrays: Arrays) -> Encoder | None:
    if "encoder" not in arrays:
        return None
    document = json.loads(arrays["encoder"].tobytes())
    return Encoder(
        kind=str(document["kind"]),
        length=int(document["length"]),
        weights=tuple(_floats(arrays[f"encoder.{at}"]) for at in range(int(document["weights"]))),
        taste=_floats(arrays["encoder.taste"]),
        dilations=tuple(int(each) for each in document["dilations"]),
    )


def _side(arrays: Arrays) -> Side | None:
    if "side" not in arrays:
        return None
    document = json.loads(arrays["side"].tobytes())
    return Side(
        fields=tuple(field_of(each) for each in document["fields"]),
        table=_floats(arrays["side.table"]),
        linear=_floats(arrays["side.linear"]),
        start=_floats(arrays["side.start"]),
        start_bias=float(arrays["side.bias"].astype(np.float64)[0]),
        centre=_floats(arrays["side.centre"]),
        has_squares=bool(document["has_squares"]),
        layers=_layers("side", arrays),
    )


def _layer_arrays(owner: str, layers: tuple[Layer, ...]) -> dict[str, NDArray[np.generic]]:
    found = {f"{owner}.{at}.{name}": each for at, layer in enumerate(layers) for name, each in layer._asdict().items()}
    return {f"{owner}.layers": np.array([len(layers)]), **found}


def _layers(owner: str, arrays: Arrays) -> tuple[Layer, ...]:
    count = int(arrays[f"{owner}.layers"].astype(np.int64)[0])
    return tuple(
        Layer(_floats(arrays[f"{owner}.{at}.weights"]), _floats(arrays[f"{owner}.{at}.bias"])) for at in range(count)
    )


def _text(document: Mapping[str, object]) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(document, ensure_ascii=False).encode(), dtype=np.uint8)


def _floats(array: NDArray[np.generic]) -> Floats:
    return np.ascontiguousarray(array, dtype=np.float32)
