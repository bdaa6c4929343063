"""Candidates on their way through the stages: rows of the model that proposed them, named only where somebody asks."""

from collections.abc import Iterator, Mapping, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray


class ItemRows(Sequence[str]):
    """Item keys, as the rows that they have in the catalogue `keys` of one model version.

    A sequence like any other to whoever reads it; the next stage takes `rows` instead and looks no key up.
    """

    __slots__ = ("keys", "reference", "rows")

    def __init__(self, reference: str, keys: Sequence[str], rows: NDArray[np.int64]) -> None:
        self.reference, self.keys, self.rows = reference, keys, rows

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> "ItemRows": ...
    def __getitem__(self, place: int | slice) -> "str | ItemRows":
        if isinstance(place, slice):
            return ItemRows(self.reference, self.keys, self.rows[place])
        return self.keys[int(self.rows[place])]

    def __iter__(self) -> Iterator[str]:
        keys = self.keys
        return iter([keys[row] for row in self.rows.tolist()])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and not isinstance(other, str) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # a sequence that compares by its keys is not for sets

    def __repr__(self) -> str:
        return repr(list(self))


class Translations:
    """For two versions, where the rows of the one are in the other; kept for the pairs that requests have used."""

    def __init__(self) -> None:
        self._pairs: dict[tuple[str, str], NDArray[np.int64]] = {}

    def rows(self, items: Sequence[str], reference: str, places: Mapping[str, int]) -> NDArray[np.int64]:
        """The row of each item in `reference`, whose rows by key are `places`; -1 for an unknown one: (len(items),)."""
        if not isinstance(items, ItemRows):
            return look_up(items, places)
        if items.reference == reference:
            return items.rows
        pair = (items.reference, reference)
        known = self._pairs.get(pair)
        if known is None:
            known = self._pairs[pair] = look_up(items.keys, places)
        return known[items.rows]

    def forget(self, reference: str) -> None:
        """Lets go of what it knows of a version that left the memory."""
        self._pairs = {pair: rows for pair, rows in self._pairs.items() if reference not in pair}


def look_up(items: Sequence[str], places: Mapping[str, int]) -> NDArray[np.int64]:
    """The place of each item, -1 for an unknown one: (len(items),)."""
    return np.fromiter((places.get(item, -1) for item in items), dtype=np.int64, count=len(items))
