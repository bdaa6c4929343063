"""`lamella experiments`: what runs, started and stopped from a shell."""

from pathlib import Path

import click

from lamella.cli.options import as_json, current_user, data_dir, example, print_json, print_table, settings_of
from lamella.experiments.document import experiment_document
from lamella.experiments.model import BUCKETS, Experiment
from lamella.experiments.selection import experiment_of


@click.group()
@example("lamella experiments list")
def experiments() -> None:
    """List, show, start and stop experiments."""


@experiments.command("list")
@as_json
@data_dir
@example("lamella experiments list --json")
def list_experiments(*, as_json: bool, data_dir: Path | None) -> None:
    """Show every experiment: layer, status, phase and share of traffic."""
    from lamella.bootstrap.tools import open_tools

    with open_tools(settings_of(data_dir=data_dir)) as tools:
        found = tools.configuration.load().experiments
    if as_json:
        print_json([experiment_document(experiment) for experiment in found])
    else:
        print_table(("key", "layer", "status", "phase", "traffic", "primary metric", "name"), map(_row, found))


@experiments.command()
@click.argument("key")
@data_dir
@example("lamella experiments show ranking-textcnn")
def show(key: str, data_dir: Path | None) -> None:
    """Show the experiment KEY with its variants, plan and phases, as JSON."""
    from lamella.bootstrap.tools import open_tools

    with open_tools(settings_of(data_dir=data_dir)) as tools:
        print_json(experiment_document(experiment_of(tools.configuration.load(), key)))


@experiments.command()
@click.argument("key")
@data_dir
@example("lamella experiments start ranking-textcnn")
def start(key: str, data_dir: Path | None) -> None:
    """Start the experiment KEY: its plan is fixed and it begins to assign units."""
    _move(key, "start", data_dir)


@experiments.command()
@click.argument("key")
@data_dir
@example("lamella experiments stop ranking-textcnn")
def stop(key: str, data_dir: Path | None) -> None:
    """Stop the experiment KEY for good: its units get the defaults again."""
    _move(key, "stop", data_dir)


def _move(key: str, move: str, data_dir: Path | None) -> None:
    from lamella.bootstrap.tools import open_tools

    with open_tools(settings_of(data_dir=data_dir)) as tools:
        moved = tools.configuring.transition(key, move, author=f"cli:{current_user()}")
    click.echo(f"experiment {moved.key!r} is {moved.status.value}")


def _row(experiment: Experiment) -> dict[str, object]:
    buckets = sum(one.stop - one.start for one in experiment.ranges)
    return {
        "key": experiment.key,
        "layer": experiment.layer,
        "status": experiment.status.value,
        "phase": experiment.phases[-1].number if experiment.phases else None,
        "traffic": f"{buckets / BUCKETS:.1%}",
        "primary metric": experiment.plan.primary_metric,
        "name": experiment.name,
    }
