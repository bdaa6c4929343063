"""The scores of candidates: worked out for those whom somebody looks at."""

from collections.abc import Iterator, Sequence
from typing import overload

from lamella.recommenders.artifact import Floats, sigmoid
from lamella.recommenders.orders import Order


class Chances(Sequence[float]):
    """Chances 0..1, as the logits that they are the sigmoid of, and the order that those are to be read in.

    A request reads those of its slate, not of all. A sequence like any other to whoever reads it.
    """

    __slots__ = ("_given", "_order")

    def __init__(self, logits: Floats, order: Order | None = None) -> None:
        self._given, self._order = logits, order

    @property
    def logits(self) -> Floats:
        """The logits in their order."""
        return self._given if self._order is None else self._given[self._order.whole()]

    def __len__(self) -> int:
        return len(self._given)

    @overload
    def __getitem__(self, place: int) -> float: ...
    @overload
    def __getitem__(self, place: slice) -> "Chances": ...
    def __getitem__(self, place: int | slice) -> "float | Chances":
        if not isinstance(place, slice):
            return float(sigmoid(self.logits[place, None])[0])
        return Chances(self._given[place] if self._order is None else self._order.part(self._given, place))

    def __iter__(self) -> Iterator[float]:
        chances: list[float] = sigmoid(self.logits).tolist()
        return iter(chances)

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # a sequence that compares by its values is not for sets

    def __repr__(self) -> str:
        return repr(list(self))
