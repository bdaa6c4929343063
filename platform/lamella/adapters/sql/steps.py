"""Work that is done step by step, between other things: a generator that returns what it made."""

from collections.abc import Generator
from typing import TypeAlias, TypeVar

Made = TypeVar("Made")
Steps: TypeAlias = Generator[None, None, Made]
"""Each step takes some milliseconds at most."""


def made_by(steps: Steps[Made]) -> Made:
    """What the steps make, all done at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            made: Made = end.value
            return made
