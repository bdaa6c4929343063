"""`lamella items`: the catalogue."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeAlias

import click

from lamella.cli.auditing import audited
from lamella.cli.options import data_dir, example, settings_of
from lamella.errors import InvalidInput
from lamella.experiments.fields import value_fault
from lamella.experiments.model import Json
from lamella.services.model_ports import Item

Row: TypeAlias = Mapping[str, Json] | ValueError

_SHOWN_FAULTS: Final = 5


@click.group()
@example("lamella items import headlines.csv")
def items() -> None:
    """Fill the catalogue."""


@items.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@data_dir
@example("lamella items import headlines.jsonl")
def import_items(file: Path, data_dir: Path | None) -> None:
    """Insert or replace items from FILE: .csv with a header, or .jsonl with an object a line.

    Columns: key, title, published_at (ISO 8601; now where it is missing); every other one becomes an attribute.
    Nothing is stored where any line is unusable.
    """
    from lamella.bootstrap.tools import open_tools

    with open_tools(settings_of(data_dir=data_dir)) as tools, audited(tools, "items import", str(file)):
        count = tools.catalogue.put(read_items(file, now=tools.clock.now()))
    click.echo(f"{count} items")


def read_items(file: Path, *, now: datetime) -> list[Item]:
    """The items of the file. Raises InvalidInput that names the lines at fault."""
    readers = {".csv": _csv_rows, ".jsonl": _json_rows}
    reader = readers.get(file.suffix.lower())
    if reader is None:
        raise InvalidInput(f"{file}: a file of items ends in .csv or .jsonl")
    found, faults = [], []
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            for number, row in reader(lines):
                try:
                    found.append(_item(row, now))
                except ValueError as error:
                    faults.append(f"{file}:{number}: {error}")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"{file}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if faults:
        more = [f"and {len(faults) - _SHOWN_FAULTS} more lines"] if len(faults) > _SHOWN_FAULTS else []
        raise InvalidInput(*faults[:_SHOWN_FAULTS], *more)
    return found


def _csv_rows(lines: Iterable[str]) -> Iterator[tuple[int, Row]]:
    reader = csv.DictReader(lines)
    for row in reader:
        yield reader.line_num, {name: text for name, text in row.items() if isinstance(name, str) and text}


def _json_rows(lines: Iterable[str]) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except json.JSONDecodeError as error:
                yield number, error


def _item(row: Row, now: datetime) -> Item:
    """The item of a row. Raises ValueError."""
    if isinstance(row, ValueError):
        raise ValueError(f"not JSON: {row}")  # noqa: TRY004 - one kind for all faults of a line
    if not isinstance(row, Mapping):
        raise ValueError(f"not an object: {row!r}")  # noqa: TRY004 - the same
    if fault := value_fault(row):
        raise ValueError(fault)
    missing = [name for name in ("key", "title") if not isinstance(row.get(name), str) or not row[name]]
    if missing:
        raise ValueError(f"needs a text in {' and '.join(missing)}")
    published = now
    if row.get("published_at"):
        published = datetime.fromisoformat(str(row["published_at"]))
        published = published if published.tzinfo else published.replace(tzinfo=UTC)
    known = {"key", "title", "published_at"}
    attributes = {name: value for name, value in row.items() if name not in known}
    return Item(key=str(row["key"]), title=str(row["title"]), published_at=published, attributes=attributes)
