"""`lamella models upload` and `lamella models export`: versions come in and go out as files."""

import hashlib
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lamella.cli.auditing import audited
from lamella.cli.options import current_user, data_dir, example, settings_of
from lamella.cli.train import parse_pairs, watched
from lamella.errors import InvalidInput, NotFound, TrainingFault
from lamella.services.training import DONE
from lamella.services.uploading import Upload, plan_upload, queue_upload

if TYPE_CHECKING:
    from lamella.bootstrap.tools import Tools

FORMATS = ("keras", "savedmodel", "onnx")


@click.command()
@click.argument("kind")
@click.argument("weights", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--rows",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON file that says which user and item each row of the tables is.",
)
@click.option("--name", help="Name to publish under.  [default: the kind]")
@click.option("--set", "pairs", multiple=True, metavar="NAME=VALUE", help="A hyperparameter; may be repeated.")
@click.option("--sha256", help="What the sha256 of WEIGHTS must be.  [default: not compared]")
@click.option("--queue", "is_queued", is_flag=True, help="Leave it to a worker and return at once.")
@data_dir
@example(
    "lamella models upload mf mf.safetensors --rows rows.json --set embedding_size=32",
    "lamella models upload onnx ranker.onnx --rows rows.json --name ranker",
)
def upload(
    kind: str,
    weights: Path,
    *,
    rows: Path,
    name: str | None,
    pairs: tuple[str, ...],
    sha256: str | None,
    is_queued: bool,
    data_dir: Path | None,
) -> None:
    """Publish WEIGHTS of a model of KIND, or an ONNX model (KIND onnx), as a candidate.

    WEIGHTS is .safetensors, .weights.h5, .h5 or .keras; of the last only the weights are read, never an architecture.
    The network is built by the kind, compiled, and compared with what it was compiled from.
    """
    from lamella.bootstrap.tools import open_tools

    content = _read(weights)
    given = Upload(
        kind=kind,
        name=name or kind,
        hyperparameters=parse_pairs(pairs),
        sha256=sha256 or hashlib.sha256(content).hexdigest(),
        by=f"cli:{current_user()}",
        weights=content,
        rows=_read(rows),
    )
    settings = settings_of(data_dir=data_dir)
    with open_tools(settings) as tools, audited(tools, "models upload", given.name):
        if is_queued:
            from lamella.bootstrap.connections import task_queue

            run = queue_upload(
                given,
                run_id=uuid.uuid4().hex,
                uploads=tools.uploads,
                runs=tools.trainings,
                tasks=task_queue(settings),
                at=tools.clock.now(),
            )
            click.echo(f"upload {run.id} is queued")
        else:
            _carry_out(given, tools)


@click.command()
@click.argument("reference")
@click.option("--format", "wanted", type=click.Choice(FORMATS), required=True, help="What to write.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="File, or for savedmodel folder, to write.")
@data_dir
@example(
    "lamella models export mf@3 --format onnx --out mf.onnx",
    "lamella models export mf@3 --format keras --out mf.keras",
)
def export(reference: str, *, wanted: str, out: Path, data_dir: Path | None) -> None:
    """Write the network of the version REFERENCE as .keras file, SavedModel or ONNX, and its rows beside it.

    What is converted is compared with Keras on a probe batch, and removed where it differs by more than 1e-4.
    """
    from lamella.bootstrap.tools import open_tools
    from lamella.recommenders.exporting import export_version

    with open_tools(settings_of(data_dir=data_dir)) as tools:
        version = tools.models.find(reference)
        if version is None:
            raise NotFound("model", reference, next_step="`lamella models list` shows what is published")
        error = export_version(tools.registry, version, wanted=wanted, out=out)
    click.echo(f"{version.reference} is in {out}; greatest difference from Keras {error:.2g}")


def _carry_out(given: Upload, tools: "Tools") -> None:
    run = plan_upload(given, run_id=uuid.uuid4().hex, uploads=tools.uploads, runs=tools.trainings, at=tools.clock.now())
    ended = watched(run, tools)
    if ended.status != DONE:
        raise TrainingFault(ended.message)
    click.echo(ended.message)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from None
