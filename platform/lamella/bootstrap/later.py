"""What a process may never need is made, and its modules are imported, when it is first used."""

import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

T = TypeVar("T")


def later(make: Callable[[], T]) -> T:
    """Stands for what `make` returns, which is called once, by the first thread that uses an attribute of it.

    For ports, whose use is calling their methods: it is not an instance of their class. What `make` raises is raised
    at that use, and the next one tries again.

    >>> said = later(lambda: "hello")
    >>> said.upper()
    'HELLO'
    """
    return cast("T", _Later(make))


class _Later:
    def __init__(self, make: Callable[[], object]) -> None:
        self._make = make
        self._made: object | None = None
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        with self._lock:
            if self._made is None:
                self._made = self._make()
        return getattr(self._made, name)
