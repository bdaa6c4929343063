"""The hash that decides everything: murmur3-32 over canonical CBOR of `salt:unit`, scaled with integers only.

This is flagd's published `fractional` operation, so that flagd's own evaluator agrees on every unit.
Sources: murmur3_x86_32 by Appleby; RFC 8949 section 4.2 for canonical CBOR.
"""

import struct
from typing import Final

import mmh3

from lamella.errors import InvalidInput
from lamella.experiments.coercion import Number

HASHES: Final = 2**32
# Units of up to this many bytes get a prepared header; a UUID has 36.
_PREPARED: Final = 48


def cbor(value: str | Number) -> bytes:
    """The canonical CBOR encoding of a JSON scalar. Raises InvalidInput for what has none.

    >>> cbor("ranking:ü").hex()
    '6a72616e6b696e673ac3bc'
    """
    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, str):
        encoded = encode_unit(value)
        return _head(0x60, len(encoded)) + encoded
    if isinstance(value, float) and not (value.is_integer() and -(2**63) <= value < 2**64):
        return _cbor_float(value)
    whole = int(value)
    if not -(2**64) <= whole < 2**64:
        raise InvalidInput(f"{whole} does not fit into 64 bits; hash text instead")
    return _head(0x00, whole) if whole >= 0 else _head(0x20, -1 - whole)


def encode_unit(unit: str) -> bytes:
    """The unit as UTF-8. Raises InvalidInput for half of a surrogate pair."""
    try:
        return unit.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"unit {unit!r} is not valid Unicode; send proper UTF-8") from None


def hash32(salt: str, unit: str) -> int:
    """The hash of `salt:unit`, 0 up to, not including, 2**32.

    >>> hash32("ranking", "reader-1")
    4294109195
    """
    return mmh3.mmh3_32_uintdigest(cbor(f"{salt}:{unit}"))


def scale(hashed: int, total: int) -> int:
    """Where `hashed` falls among `total` equal parts, 0 up to, not including, `total`; integers only."""
    return (hashed * total) >> 32


class Salt:
    """A salt made ready: `hash(unit.encode())` equals `hash32(salt, unit)`, without building text again."""

    __slots__ = ("_prefix", "_ready", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._prefix = encode_unit(text + ":")
        size = len(self._prefix)
        self._ready = tuple(_head(0x60, size + n) + self._prefix for n in range(_PREPARED))

    def head(self, size: int) -> bytes:
        """What comes before a unit of `size` bytes in the text that is hashed."""
        return self._ready[size] if size < _PREPARED else _head(0x60, len(self._prefix) + size) + self._prefix

    def hash(self, unit: bytes) -> int:
        """The hash of `salt:unit` for a unit already in UTF-8."""
        size = len(unit)
        return mmh3.mmh3_32_uintdigest((self._ready[size] if size < _PREPARED else self.head(size)) + unit)


def _head(major: int, count: int) -> bytes:
    """The shortest CBOR head of a major type with its count."""
    if count < 24:
        return bytes((major | count,))
    for marker, size in ((24, 1), (25, 2), (26, 4)):
        if count < 1 << (8 * size):
            return bytes((major | marker,)) + count.to_bytes(size, "big")
    return bytes((major | 27,)) + count.to_bytes(8, "big")


def _cbor_float(value: float) -> bytes:
    """The shortest of the three float encodings that keeps `value` exactly."""
    if value != value:  # noqa: PLR0124 - only NaN differs from itself
        return b"\xf9\x7e\x00"
    for marker, layout in ((b"\xf9", ">e"), (b"\xfa", ">f")):
        try:
            packed = struct.pack(layout, value)
        except OverflowError:
            continue
        if struct.unpack(layout, packed)[0] == value:
            return marker + packed
    return b"\xfb" + struct.pack(">d", value)
