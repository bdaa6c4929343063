"""`lamella trainings`: the trainings that were asked for."""

from dataclasses import asdict
from pathlib import Path

import click

from lamella.cli.auditing import audited
from lamella.cli.options import as_json, data_dir, example, print_json, print_table, settings_of
from lamella.services.cancelling import cancel_training
from lamella.services.model_ports import TrainingRun
from lamella.services.training import CANCELLED


@click.group()
@example("lamella trainings list")
def trainings() -> None:
    """List and cancel trainings."""


@trainings.command("list")
@as_json
@data_dir
@example("lamella trainings list --json")
def list_trainings(*, as_json: bool, data_dir: Path | None) -> None:
    """Show the newest hundred trainings, newest first, and how far each is."""
    from lamella.bootstrap.tools import open_tools

    with open_tools(settings_of(data_dir=data_dir)) as tools:
        found = tools.trainings.all()
    if as_json:
        print_json([asdict(run) for run in found])
    else:
        print_table(("training", "kind", "name", "requested", "status", "progress", "message"), map(_row, found))


@trainings.command()
@click.argument("run")
@data_dir
@example("lamella trainings cancel 5f0c8a1e2b7d4c3f9a6e1d2b3c4f5a60")
def cancel(run: str, data_dir: Path | None) -> None:
    """Cancel the training RUN: at once where it waits, at its worker's next word of progress where it runs."""
    from lamella.bootstrap.tools import open_tools

    with open_tools(settings_of(data_dir=data_dir)) as tools, audited(tools, "trainings cancel", run):
        left = cancel_training(run, runs=tools.trainings, uploads=tools.uploads)
    then = "" if left.status == CANCELLED else f": {left.message}"
    click.echo(f"training {left.id} is {left.status}{then}")


def _row(run: TrainingRun) -> dict[str, object]:
    return {
        "training": run.id,
        "kind": run.kind,
        "name": run.reference or run.name,
        "requested": f"{run.requested_at:%Y-%m-%d %H:%M}",
        "status": run.status,
        "progress": f"{run.progress:.0%}",
        "message": run.message,
    }
