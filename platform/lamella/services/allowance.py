"""A bounded time for a row of questions: no further one is asked once it is used up."""

import time
from collections.abc import Callable


class Allowance:
    """So many seconds from now on."""

    def __init__(self, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._end = monotonic() + seconds

    @property
    def is_over(self) -> bool:
        """Whether the time is used up."""
        return self._monotonic() >= self._end
