"""Options that several commands share, and the settings that they lead to."""

import getpass
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import orjson

from lamella.config import PREFIX, Settings
from lamella.errors import InvalidInput, InvalidSettings, LamellaError

_PIPE_WIDTH: Final = 1000

Command = TypeVar("Command", bound=Callable[..., Any])

data_dir: Final = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="Folder of the embedded store, models and logs.  [default: $LAMELLA_DATA_DIR or .lamella]",
)

as_json: Final = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


def listening(command: Command) -> Command:
    """`command` with --host and --port."""
    for option in (
        click.option("--port", type=int, help="Port to listen on.  [default: $LAMELLA_PORT or 8000]"),
        click.option("--host", help="Address to listen on.  [default: $LAMELLA_HOST or 127.0.0.1]"),
    ):
        command = option(command)
    return command


def example(*lines: str) -> Callable[[Command], Command]:
    """A decorator that puts the lines under "Example:" in a command's help."""

    def write(command: Command) -> Command:
        # Click keeps the lines of a paragraph that begins with a backspace.
        shown = "\n".join(f"  {line}" for line in lines)
        command.__doc__ = f"{inspect.cleandoc(command.__doc__ or '')}\n\n\b\nExample:\n{shown}"
        return command

    return write


def print_json(document: object) -> None:
    """Print `document` as JSON, indented; what is no JSON value is printed as text."""
    click.echo(orjson.dumps(document, default=str, option=orjson.OPT_INDENT_2).decode())


def print_table(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Print the named columns of the rows, whole: a narrow terminal wraps them, a pipe gets them on one line."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == columns[0])
    for row in rows:
        table.add_row(*(Text("" if row[column] is None else str(row[column])) for column in columns))
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(table)


def exit_code(error: LamellaError) -> int:
    """2 where the caller has to change what it asked for, 1 for everything else."""
    return 2 if isinstance(error, InvalidInput | InvalidSettings) else 1


def current_user() -> str:
    """Who types, for the revisions; a container may have a user without a name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def settings_of(**options: object) -> Settings:
    """The settings of the environment, overridden by the options that were given (not None).

    Raises InvalidSettings, which then names the variable that the option stands for.
    """
    given = {PREFIX + name.upper(): str(value) for name, value in options.items() if value is not None}
    return Settings.from_environment({**os.environ, **given})
