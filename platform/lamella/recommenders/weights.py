"""How many bytes a model takes in memory."""

import sys
from collections.abc import Collection
from dataclasses import fields, is_dataclass

import numpy as np

_ENTRY: object = ("", 0)
"""An entry of a table takes about what a pair takes."""


def bytes_of(value: object) -> int:
    """About how many bytes the arrays, keys and tables of a model take.

    >>> bytes_of(np.zeros((10, 4), dtype=np.float32))
    160
    """
    if isinstance(value, np.ndarray):
        return int(value.nbytes)
    if is_dataclass(value) and not isinstance(value, type):
        return sum(bytes_of(getattr(value, each.name)) for each in fields(value))
    if isinstance(value, (str, bytes)):
        return sys.getsizeof(value)
    if isinstance(value, dict):
        return sys.getsizeof(value) + _bytes_of_each(value.values()) + len(value) * sys.getsizeof(_ENTRY)
    if isinstance(value, (tuple, list)):
        return sys.getsizeof(value) + _bytes_of_each(value)
    return 0


def _bytes_of_each(values: Collection[object]) -> int:
    """The sum of `bytes_of`; fast where all are keys or numbers, of which a model has hundreds of thousands."""
    kinds = set(map(type, values))
    if kinds == {str}:
        return sum(map(str.__sizeof__, values))
    return 0 if kinds <= {int, float} else sum(map(bytes_of, values))
