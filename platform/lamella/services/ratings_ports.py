"""Ratings files, as trainings see them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from lamella.experiments.model import Json
from lamella.services.model_ports import Item


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratings:
    """The ratings of a file as parallel columns, and what the files beside it say of items and users.

    `times` are POSIX seconds, or any numbers that rise with time. `stamp` says which files these are.
    """

    units: Sequence[str]
    items: Sequence[str]
    ratings: Sequence[float]
    times: Sequence[float]
    catalogue: Sequence[Item]
    attributes: Mapping[str, Mapping[str, Json]]
    stamp: Mapping[str, Json]


class RatingsReader(Protocol):
    """Reads ratings files."""

    def read(self, path: str, *, items: str | None = None, users: str | None = None) -> Ratings:
        """The ratings of `path`, CSV, Parquet or as MovieLens writes them. Raises InvalidInput with the reason."""
        ...
