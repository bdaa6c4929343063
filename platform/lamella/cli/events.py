"""`lamella events`: the past into the record, what was refused, and what left for the archive."""

import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from lamella.cli.auditing import audited
from lamella.cli.options import as_json, data_dir, example, print_json, print_table, settings_of
from lamella.cli.rows import Rows
from lamella.errors import Conflict, InvalidInput, Overloaded
from lamella.events.codec import Record, encode
from lamella.services.importing import Imported, Importing

if TYPE_CHECKING:
    from lamella.bootstrap.tools import Tools

BATCH: Final = 1_000
_BATCHES_TILL_INGEST: Final = 20
_SHOWN_FAULTS: Final = 20


@click.group()
@example("lamella events import clicks.parquet")
def events() -> None:
    """Import past events, show what was refused, move old facts to the archive."""


@events.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--faults", type=click.Path(path_type=Path, dir_okay=False), help="Write every fault there, as JSONL.")
@data_dir
@example("lamella events import history.jsonl --faults refused.jsonl")
def import_events(file: Path, faults: Path | None, data_dir: Path | None) -> None:
    """Import FILE, a .csv with a header, a .jsonl or a .parquet, whose rows are events, impressions or slates.

    Each row has a `kind`: click, read, interaction, custom or exposure, as in POST /v1/events, of whatever age;
    impression (rows with one request_id that follow each other are one slate); or slate. A row that breaks the contract
    is reported with its number, and the others are imported; the exit code is then 1. What is known already changes
    nothing. Killed at any moment, the same command goes on where it stood.
    """
    from lamella.bootstrap.tools import open_tools

    settings = settings_of(data_dir=data_dir)
    rows = Rows(file)
    with open_tools(settings) as tools, audited(tools, "events import", str(file)), _faults_to(faults) as report:
        progress = _Progress(settings.data_dir / "imports", file, settings.sql_url)
        done = progress.rows
        if done:
            click.echo(f"goes on after row {done}", err=True)
        importing = Importing(tools.configuration.load(), tools.clock.now())
        run = _Run(tools, progress, report)
        with _bar() as bar:
            task = bar.add_task(file.name, total=1.0)
            lines = (line for line in rows.lines() if line.number > done)
            for imported in importing.records(lines):
                if run.take(imported):
                    bar.update(task, completed=rows.share)
            run.finish()
        tools.journal.close()
        click.echo(run.summary())
        if run.refused:
            raise Conflict(f"{run.refused} rows of {file} were refused; mend them and import the file again")


@events.command()
@click.option("--reason", help="Only records that were refused for this reason.")
@click.option("--limit", type=click.IntRange(1, 1_000), default=20, show_default=True, help="How many to show.")
@as_json
@data_dir
@example("lamella events quarantine --reason unknown_request")
def quarantine(reason: str | None, limit: int, *, as_json: bool, data_dir: Path | None) -> None:
    """Show the newest records that could not be stored, and how many there are for each reason."""
    from lamella.bootstrap.tools import open_tools

    with open_tools(settings_of(data_dir=data_dir)) as tools:
        counts = dict(tools.quarantine.counts())
        found = tools.quarantine.newest(reason=reason, limit=limit)
    records = [
        {"at": each.at.isoformat(), "reason": each.reason, "kind": each.kind, "key": each.key, "detail": each.detail}
        for each in found
    ]
    if as_json:
        print_json({"counts": counts, "quarantine": records})
        return
    print_table(("reason", "records"), [{"reason": name, "records": number} for name, number in counts.items()])
    print_table(("at", "reason", "kind", "key", "detail"), records)


@events.command()
@click.option("--days", type=click.IntRange(1), help="Keep this many days.  [default: $LAMELLA_RETENTION_DAYS]")
@click.option("--verify", is_flag=True, help="Read every file of the archive, and move nothing.")
@data_dir
@example("lamella events archive --days 400")
def archive(days: int | None, *, verify: bool, data_dir: Path | None) -> None:
    """Move the months of facts that ended before the retention to Parquet files; workers do it every hour."""
    from lamella.bootstrap.tools import open_tools

    settings = settings_of(data_dir=data_dir, retention_days=days)
    if not settings.retention_days and not verify:
        raise InvalidInput("no retention is set; give --days, or set LAMELLA_RETENTION_DAYS")
    with open_tools(settings) as tools:
        if verify:
            files = tools.old_facts.files()
            tools.archive.verify(files)
            click.echo(f"{len(files)} files are what the store says")
            return
        with audited(tools, "events archive", f"--days {settings.retention_days}"):
            for moved in tools.retention.archive():
                rows = f"{moved.file.rows} rows to {moved.file.path}" if moved.file else f"stays: {moved.why}"
                click.echo(f"{moved.month.fact} {moved.month.since:%Y-%m}: {rows}")


class _Run:
    """One import: records go to the inbox in batches, and from there into the facts, so that the inbox stays short."""

    def __init__(self, tools: "Tools", progress: "_Progress", report: "Report") -> None:
        self._tools, self._progress, self._report = tools, progress, report
        self._batch: list[Record] = []
        self._waiting = 0
        self._last = progress.rows
        self.records = self.refused = 0
        self.stored: Counter[str] = Counter()
        self.duplicate: Counter[str] = Counter()
        self.quarantined: Counter[str] = Counter()

    def take(self, imported: Imported) -> bool:
        """Whether a batch was full, and is durable now."""
        if imported.fault is not None:
            self.refused += 1
            self._report.add(imported)
        elif imported.record is not None:
            self._batch.append(imported.record)
        self._last = imported.last
        if len(self._batch) < BATCH:
            return False
        self._send()
        return True

    def finish(self) -> None:
        """Sends the rest and takes everything into the facts."""
        self._send()
        self._ingest()
        self._progress.end()

    def summary(self) -> str:
        """What became of the rows."""
        parts = [f"{self.records} records imported, {self.refused} rows refused"]
        for name, counts in (("stored", self.stored), ("known before", self.duplicate)):
            parts.append(f"{name}: " + (", ".join(f"{n} {kind}" for kind, n in sorted(counts.items())) or "none"))
        if self.quarantined:
            parts.append("in quarantine: " + ", ".join(f"{n} {why}" for why, n in sorted(self.quarantined.items())))
        # The impressions of a slate are stored with it, and are no records of their own.
        here = sum((self.stored + self.duplicate + self.quarantined).values()) - self.stored["impression"]
        if self.records > here:
            parts.append(f"taken by a worker meanwhile: {self.records - here} records, counted by it")
        return "\n".join(parts)

    def _send(self) -> None:
        if self._batch:
            self._append(encode(self._batch))
            self.records += len(self._batch)
            self._batch = []
            self._waiting += 1
        self._progress.keep(self._last)
        if self._waiting >= _BATCHES_TILL_INGEST:
            self._ingest()

    def _append(self, batch: bytes) -> None:
        while True:
            try:
                self._tools.journal.append(batch)
            except Overloaded as full:
                self._ingest()
                sleep(full.retry_after_seconds)
            else:
                return

    def _ingest(self) -> None:
        while True:
            receipt = self._tools.record.ingest(limit=500, now=self._tools.clock.now())
            self.stored.update(receipt.stored)
            self.duplicate.update(receipt.duplicate)
            self.quarantined.update(receipt.quarantined)
            if not receipt.batches:
                self._waiting = 0
                return


class Report:
    """Where faults go: the first ones to standard error, and all of them to a file where one was asked for."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor, self._shown = descriptor, 0

    def add(self, imported: Imported) -> None:
        """Reports one fault."""
        fault = imported.fault
        if fault is None:
            return
        if self._descriptor is not None:
            line = {"row": imported.first, "code": fault.why, "reason": str(fault)}
            os.write(self._descriptor, json.dumps(line).encode() + b"\n")
        self._shown += 1
        if self._shown <= _SHOWN_FAULTS:
            click.echo(f"row {imported.first}: {fault.why}: {fault}", err=True)
        elif self._shown == _SHOWN_FAULTS + 1:
            click.echo("more rows are refused; --faults FILE keeps all of them", err=True)


@contextmanager
def _faults_to(file: Path | None) -> Iterator[Report]:
    if file is None:
        yield Report(None)
        return
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        yield Report(descriptor)
    finally:
        os.close(descriptor)


class _Progress:
    """How many rows of a file are durable in a store, kept beside it until the import is complete."""

    def __init__(self, folder: Path, file: Path, store: str) -> None:
        found = file.stat()
        identity = json.dumps([str(file.resolve()), found.st_size, found.st_mtime_ns, store])
        self._place = folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.json"
        self.rows = _rows_kept(self._place)

    def keep(self, rows: int) -> None:
        """Remembers that so many rows are durable, also after a power cut."""
        self._place.parent.mkdir(parents=True, exist_ok=True)
        new = self._place.with_suffix(".new")
        with new.open("w") as file:
            json.dump({"rows": rows}, file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._place)

    def end(self) -> None:
        """The import is complete: the next one of the same file begins at its first row."""
        self._place.unlink(missing_ok=True)


def _rows_kept(place: Path) -> int:
    try:
        return int(json.loads(place.read_text())["rows"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _bar() -> Progress:
    """A bar on standard error; nothing where that is no terminal."""
    columns: Sequence[TextColumn | BarColumn | TaskProgressColumn | TimeElapsedColumn | TimeRemainingColumn] = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
