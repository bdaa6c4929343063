"""`lamella train`: a model from the record."""

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from lamella.cli.auditing import audited
from lamella.cli.options import current_user, data_dir, example, settings_of
from lamella.config import Settings
from lamella.errors import InvalidInput, TrainingFault
from lamella.experiments.model import Json
from lamella.services.model_ports import TrainingRun
from lamella.services.training import DONE, STAGES, Order, plan_training, queue_training

if TYPE_CHECKING:
    from lamella.bootstrap.tools import Tools


_RATINGS: Final = "Learn from this ratings file (CSV, Parquet, MovieLens) in place of the record."
_ITEMS: Final = "Table of the ratings' items.  [default: movies.dat, u.item or movies.csv beside the ratings]"
_USERS: Final = "Table of the ratings' users.  [default: users.dat or u.user beside the ratings]"


@click.command()
@click.argument("kind")
@click.option("--name", help="Name to publish under.  [default: the kind]")
@click.option("--set", "pairs", multiple=True, metavar="NAME=VALUE", help="A hyperparameter; may be repeated.")
@click.option("--seed", default=0, show_default=True, help="Seed of everything that is random.")
@click.option("--ratings", type=click.Path(exists=True, dir_okay=False, path_type=Path), help=_RATINGS)
@click.option(
    "--goal",
    type=click.Choice(["rating", "choice"]),
    help="What to learn of a ratings file: the ratings, or what is chosen.  [default: rating]",
)
@click.option(
    "--split",
    type=click.Choice(["time", "random", "last"]),
    help="What of a ratings file is held out: the newest tenth, a random fifth of each rating, each user's last."
    "  [default: random for ratings, last for choices]",
)
@click.option("--items", type=click.Path(exists=True, dir_okay=False, path_type=Path), help=_ITEMS)
@click.option("--users", type=click.Path(exists=True, dir_okay=False, path_type=Path), help=_USERS)
@click.option(
    "--stage",
    type=click.Choice(STAGES),
    default=STAGES[0],
    show_default=True,
    help="Where the version stands once it is published.",
)
@click.option("--queue", "is_queued", is_flag=True, help="Leave it to a worker and return at once.")
@data_dir
@example(
    "lamella train mf --set embedding_size=32 --set epochs=5",
    "lamella train textcnn --name titles --stage candidate --queue",
    "lamella train gru --ratings ml-1m/ratings.dat --goal choice",
)
def train(
    kind: str,
    name: str | None,
    pairs: tuple[str, ...],
    seed: int,
    *,
    stage: str,
    is_queued: bool,
    data_dir: Path | None,
    **source: Path | str | None,
) -> None:
    """Train a model of KIND on the record, or on a ratings file, and publish it as a version.

    KIND is newest, popularity, dot, mf, deep, fm, ncf, twotower, textcnn, cnn, gru or lstm.

    It runs in this process, over the store of the settings.
    """
    from lamella.bootstrap.tools import open_tools

    order = Order(
        kind=kind,
        name=name or kind,
        hyperparameters=parse_pairs(pairs),
        seed=seed,
        by=f"cli:{current_user()}",
        source=_source(**source),
        stage=stage,
    )
    settings = settings_of(data_dir=data_dir)
    with open_tools(settings) as tools, audited(tools, "train", order.name):
        if is_queued:
            _queue(order, settings, tools)
        else:
            _carry_out(order, tools)


def _queue(order: Order, settings: Settings, tools: "Tools") -> None:
    from lamella.bootstrap.connections import task_queue

    run = queue_training(
        order,
        run_id=uuid.uuid4().hex,
        trainer=tools.trainer,
        runs=tools.trainings,
        tasks=task_queue(settings),
        at=tools.clock.now(),
    )
    click.echo(f"training {run.id} is queued")


def _carry_out(order: Order, tools: "Tools") -> None:
    run = plan_training(order, run_id=uuid.uuid4().hex, trainer=tools.trainer, at=tools.clock.now())
    tools.trainings.put(run)
    ended = watched(run, tools)
    if ended.status != DONE:
        raise TrainingFault(ended.message)
    click.echo(ended.message)
    version = tools.models.find(ended.reference or "")
    for metric, value in version.metrics.items() if version else ():
        click.echo(f"  {metric}: {value:.4g}")


def watched(run: TrainingRun, tools: "Tools") -> TrainingRun:
    """The run as it ended, after a progress bar on standard error."""
    columns = (
        TextColumn(run.kind),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[now]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(run.kind, total=1.0, now="reading")
        return tools.training.carry_out(
            run.id, watch=lambda share, message: progress.update(bar, completed=share, now=message)
        )


def _source(
    *,
    ratings: Path | str | None,
    goal: Path | str | None,
    split: Path | str | None,
    items: Path | str | None,
    users: Path | str | None,
) -> Mapping[str, Json]:
    """The ratings file and what belongs to it, with absolute paths; empty without one. Raises InvalidInput."""
    given: dict[str, Json] = {name: str(word) for name, word in (("goal", goal), ("split", split)) if word}
    paths = (("file", ratings), ("items", items), ("users", users))
    given |= {name: str(Path(path).resolve()) for name, path in paths if path}
    if given and ratings is None:
        raise InvalidInput(f"--{next(iter(given))} belongs to a ratings file: add --ratings FILE")
    return given


def parse_pairs(pairs: tuple[str, ...]) -> Mapping[str, Json]:
    """The hyperparameters; a value that is JSON is read as JSON, another one is text. Raises InvalidInput."""
    found: dict[str, Json] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise InvalidInput(f"--set {pair!r} is not NAME=VALUE")
        try:
            found[name] = json.loads(text)
        except ValueError:
            # No JSON, or a number with more digits than Python reads.
            found[name] = text
    return found
