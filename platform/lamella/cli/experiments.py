"""`lamella experiments`: what runs, started and stopped from a shell."""

from pathlib import Path

import click

from lamella.cli.auditing import audited
from lamella.cli.options import as_json, current_user, data_dir, example, print_json, print_table, settings_of
from lamella.experiments.document import experiment_document
from lamella.experiments.model import BUCKETS, Experiment, Json
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
@click.option("--accept-underpowered", is_flag=True, help="Start although the measured traffic is too small.")
@data_dir
@example("lamella experiments start ranking-textcnn")
def start(key: str, *, accept_underpowered: bool, data_dir: Path | None) -> None:
    """Start the experiment KEY: its plan is fixed and it begins to assign units."""
    _move(key, "start", data_dir, accept_underpowered=accept_underpowered)


@experiments.command()
@click.argument("key")
@data_dir
@example("lamella experiments stop ranking-textcnn")
def stop(key: str, data_dir: Path | None) -> None:
    """Stop the experiment KEY for good: its units get the defaults again."""
    _move(key, "stop", data_dir)


def _move(key: str, move: str, data_dir: Path | None, *, accept_underpowered: bool = False) -> None:
    from lamella.bootstrap.tools import open_tools
    from lamella.services.changes import Change

    body: dict[str, Json] = {"accept_underpowered": True} if accept_underpowered else {}
    change = Change(operation=move, key=key, body=body)
    author = f"cli:{current_user()}"
    with open_tools(settings_of(data_dir=data_dir)) as tools, audited(tools, f"experiments {move}", key):
        if tools.changes.needs_approval(change):
            proposal = tools.changes.propose(change, author=author)
            click.echo(f"proposed as {proposal.id}; a second person has to approve it")
            return
        moved = experiment_of(tools.changes.perform(change, author=author), key)
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
