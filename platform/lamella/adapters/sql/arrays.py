"""Arrays of Arrow: checked and converted in machine code. Only who ingests imports this; the web process never does."""

from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lamella.adapters.sql.columns import MICRO, Integers, only
from lamella.events.validation import TEXT_LIMIT

_MOMENT: Final = pa.timestamp("us", "UTC")
# Of the years 1 to 9999, in microseconds since 1970.
_FIRST: Final = -62_135_596_800 * MICRO
_LAST: Final = 253_402_300_800 * MICRO
_FEW: Final = 2**16
_LINE_END: Final = 0x0A
_DELETE: Final = 0x7F
_C1_LEAD: Final = 0xC2
_C1_END: Final = 0xA0


def strings(column: Sequence[Any], *, optional: bool = False) -> Any:
    """Texts as an array, None among them only where `optional`.

    Raises TypeError or ValueError where one is no text that UTF-8 can carry.
    """
    found = pa.array(column, pa.string())
    if found.null_count and not optional:
        raise TypeError("a text is missing")
    return found


def lines(texts: Sequence[str], counts: Sequence[int]) -> Any:
    """The lines of the texts as one array, as many of each text as `counts` says; an empty text has none.

    Raises TypeError or ValueError where they are not as many, or one is no text that UTF-8 can carry.
    """
    if [text.count("\n") + 1 if text else 0 for text in texts] != list(counts):
        raise ValueError("texts of another number of lines")
    data = np.frombuffer("\n".join(filter(None, texts)).encode(), dtype=np.uint8)
    is_end = data == _LINE_END
    ends = np.append(np.flatnonzero(is_end), data.size) if data.size else np.empty(0, dtype=np.int64)
    # No byte between two lines: each line end moves what is behind it forward by one.
    offsets = np.zeros(ends.size + 1, dtype=np.int32)
    offsets[1:] = ends - np.arange(ends.size)
    return pa.StringArray.from_buffers(ends.size, pa.py_buffer(offsets), pa.py_buffer(data[~is_end]))


def repeated(texts: Sequence[str], counts: Sequence[int]) -> Any:
    """The lines of the texts as `lines` gives them, but a text of one line as often as its count says."""
    if not any("\n" in text for text in texts):
        return strings(texts).take(pa.array(np.repeat(np.arange(len(texts)), counts)))
    parts = [text.split("\n") for text in texts]
    found = [part * count if len(part) == 1 else part for part, count in zip(parts, counts, strict=True)]
    if list(map(len, found)) != list(counts):
        raise ValueError("texts of another number of lines")
    return strings(list(chain.from_iterable(found)))


def joined(arrays: Sequence[Any]) -> Any:
    """The arrays, one behind the other."""
    return arrays[0] if len(arrays) == 1 else pa.concat_arrays(arrays)


def numbers(column: Sequence[Any], *, whole: bool = False) -> NDArray[Any]:
    """Numbers as an array of numpy, floats unless `whole`.

    Raises TypeError, ValueError or OverflowError where one is no such number; a bool is none.
    """
    kinds, wanted = ((int,), pa.int64()) if whole else ((float, int), pa.float64())
    if not only(column, *kinds):
        # Arrow takes a bool among floats for one of them.
        raise TypeError(f"other than {wanted}")
    return np.asarray(pa.array(column, wanted))


def moments_of(times: Sequence[Any]) -> Integers:
    """Times of the batch encoding, as microseconds since 1970.

    Raises ValueError or TypeError if one is no such time; it may be one that reading it by itself would take.
    """
    micros = np.asarray(strings(times).cast(_MOMENT).cast(pa.int64()))
    if micros.size and not _FIRST <= micros.min() <= micros.max() < _LAST:
        raise ValueError("a time outside of the calendar")
    return micros


def order_of(texts: Any) -> Integers:
    """What sorts the texts, by their bytes; equal ones stay in their order."""
    codes, distinct = coded(texts)
    # Short numbers are sorted by counting.
    return np.argsort(codes.astype(np.uint16) if len(distinct) <= _FEW else codes, kind="stable")


def coded(texts: Any) -> tuple[Integers, Any]:
    """The distinct texts of an array, sorted by their bytes, and the number among them of each text."""
    found = texts.dictionary_encode()
    order = pc.sort_indices(found.dictionary)
    numbers = np.empty(len(order), dtype=np.int64)
    numbers[np.asarray(order)] = np.arange(numbers.size)
    return numbers[np.asarray(found.indices)], found.dictionary.take(order)


def are_texts(texts: Any, *, least: int = 1) -> bool:
    """What `columns.are_texts` says, of an array; what is missing is passed over."""
    if len(texts) == texts.null_count:
        return True
    lengths = pc.min_max(pc.utf8_length(texts))
    if lengths["min"].as_py() < least or lengths["max"].as_py() > TEXT_LIMIT:
        return False
    data = np.frombuffer(texts.buffers()[2] or b"", dtype=np.uint8)
    if data.size and (data.min() < ord(" ") or (data == _DELETE).any()):
        return False
    # In UTF-8 the second control set is 0xC2 and a byte from 0x80 to 0x9F.
    return data.max(initial=0) < _C1_LEAD or not ((data[:-1] == _C1_LEAD) & (data[1:] < _C1_END)).any()
