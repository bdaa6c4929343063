"""The demo's stages on the terminal: a progress bar while one runs, a line with its seconds when it is over."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

_WIDTH: Final = 14


class Bar:
    """The progress of the stage that runs. `note` is what its line will say."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task
        self.note = ""

    def move(self, share: float, message: str) -> None:
        """Shows how much is done, 0..1, and a line for people."""
        self._progress.update(self._task, completed=min(max(share, 0.0), 1.0), message=message)


class Stages:
    """Runs stages and remembers how long each took. `seconds` holds them by name, in order."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.seconds: dict[str, float] = {}

    @contextmanager
    def run(self, name: str) -> Iterator[Bar]:
        """The bar of the stage; its seconds count, and its line is printed, when the block ends well."""
        started = time.monotonic()
        columns = (
            TextColumn(f"{name:<{_WIDTH}}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("{task.fields[message]}", markup=False),
        )
        is_shown = self.console.is_terminal
        with Progress(*columns, console=self.console, transient=True, disable=not is_shown) as progress:
            bar = Bar(progress, progress.add_task(name, total=1.0, message=""))
            yield bar
        self.seconds[name] = round(time.monotonic() - started, 2)
        self.console.print(f"{name:<{_WIDTH}}{self.seconds[name]:7.1f} s  {bar.note}", highlight=False, markup=False)

    @property
    def total_seconds(self) -> float:
        """The seconds of all stages together."""
        return sum(self.seconds.values())
