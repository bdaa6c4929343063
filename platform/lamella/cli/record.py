"""`lamella record`: what is derived from the facts, checked and made again."""

from pathlib import Path

import click

from lamella.cli.auditing import audited
from lamella.cli.options import data_dir, example, settings_of
from lamella.errors import Conflict
from lamella.services.keeping import Differences


@click.group()
@example("lamella record check")
def record() -> None:
    """Check what is derived from the facts, or make it again."""


@record.command()
@data_dir
@example("lamella record check || lamella record recompute")
def check(data_dir: Path | None) -> None:
    """Compare totals, first exposures and kept moments with the facts; exit with 1 where anything differs.

    Days whose facts were archived are left out, and then the kept moments too.
    """
    from lamella.bootstrap.tools import open_tools

    with open_tools(settings_of(data_dir=data_dir)) as tools:
        found = tools.recomputing.differences()
    if found != Differences(totals=0, exposures=0):
        raise Conflict(
            f"{found.totals} totals, {found.exposures} first exposures and {found.figures} figures of the kept moments "
            f"are not what the facts add up to; run `lamella record recompute`"
        )
    click.echo("totals, first exposures and kept moments are what the facts add up to")


@record.command()
@data_dir
@example("lamella record recompute")
def recompute(data_dir: Path | None) -> None:
    """Make totals, first exposures and kept moments again from the facts, after a restore or a failed check.

    Ingests wait meanwhile. Days whose facts were archived stay as they are.
    """
    from lamella.bootstrap.tools import open_tools

    with open_tools(settings_of(data_dir=data_dir)) as tools, audited(tools, "record recompute"):
        rows = tools.recomputing.recompute(tools.clock.now())
    click.echo(f"{rows.totals} totals and {rows.exposures} first exposures were made from the facts")
