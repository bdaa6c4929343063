"""`lamella models`: the published model versions."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lamella.cli.auditing import audited
from lamella.cli.insight import insight, nearest
from lamella.cli.model_files import export, upload
from lamella.cli.options import as_json, current_user, data_dir, example, print_json, print_table, settings_of
from lamella.cli.shadow import shadow
from lamella.errors import ModelCorrupt, ModelFault, NotFound
from lamella.services.model_ports import ModelCatalogue, ModelVersion
from lamella.services.staging import Stage

if TYPE_CHECKING:
    from lamella.recommenders.registry import Registry


@click.group()
@example("lamella models list")
def models() -> None:
    """List, show, verify, upload and export model versions."""


models.add_command(insight)
models.add_command(nearest)
models.add_command(shadow)
models.add_command(upload)
models.add_command(export)


@models.command("list")
@as_json
@data_dir
@example("lamella models list --json")
def list_models(*, as_json: bool, data_dir: Path | None) -> None:
    """Show every version, newest first, with its offline metrics."""
    from lamella.bootstrap.tools import open_tools

    with open_tools(settings_of(data_dir=data_dir)) as tools:
        found = tools.models.all()
    if as_json:
        print_json([_document(version) for version in found])
    else:
        print_table(("version", "stage", "kind", "created", "kB", "metrics"), map(_row, found))


@models.command()
@click.argument("reference")
@data_dir
@example("lamella models show mf@3")
def show(reference: str, data_dir: Path | None) -> None:
    """Show the version REFERENCE ("mf@3", or "mf" for its live one) with its manifest as JSON."""
    from lamella.bootstrap.tools import open_tools

    with open_tools(settings_of(data_dir=data_dir)) as tools:
        version = _find(tools.models, reference)
        print_json(_document(version) | {"manifest": tools.registry.manifest(version)})


@models.command()
@click.argument("reference")
@click.argument("stage", type=click.Choice([each.value for each in Stage]))
@click.option("--share", type=float, default=0.0, help="Share of the traffic, for shadow and canary.")
@data_dir
@example("lamella models stage mf@4 canary --share 0.05", "lamella models stage mf@4 live")
def stage(reference: str, stage: str, share: float, data_dir: Path | None) -> None:
    """Move the version REFERENCE ("mf@4") to STAGE; the live version that it replaces is retired."""
    from lamella.bootstrap.tools import open_tools

    with open_tools(settings_of(data_dir=data_dir)) as tools, audited(tools, "models stage", reference):
        moved = tools.staging.move(reference, stage, share=share, author=f"cli:{current_user()}")
    click.echo(f"{moved.reference} is {moved.stage}" + (f" on {moved.share:.1%}" if moved.share else ""))


@models.command()
@click.argument("reference", required=False)
@data_dir
@example("lamella models verify", "lamella models verify mf@3")
def verify(reference: str | None, data_dir: Path | None) -> None:
    """Compare every file of REFERENCE, or of every version, with the digest that was recorded.

    Exit with 1 where any is not what was published, once all were looked at.
    """
    from lamella.bootstrap.tools import open_tools

    faults: list[str] = []
    with open_tools(settings_of(data_dir=data_dir)) as tools:
        for version in [_find(tools.models, reference)] if reference else tools.models.all():
            try:
                _verify(tools.registry, version)
            except ModelFault as error:
                faults.append(str(error))
            else:
                click.echo(f"{version.reference}: intact")
    if faults:
        raise ModelCorrupt("; ".join(faults))


def _verify(registry: "Registry", version: ModelVersion) -> None:
    registry.load(version)
    files = registry.manifest(version).get("files")
    for filename in files if isinstance(files, dict) else ():
        registry.read(version, filename)


def _find(catalogue: ModelCatalogue, reference: str) -> ModelVersion:
    version = catalogue.find(reference)
    if version is None:
        known = sorted({each.reference for each in catalogue.all()})
        raise NotFound("model", reference, next_step=f"there is {', '.join(known) if known else 'none yet'}")
    return version


def _document(version: ModelVersion) -> dict[str, object]:
    return {"reference": version.reference, **asdict(version)}


def _row(version: ModelVersion) -> dict[str, object]:
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in version.metrics.items())
    return {
        "version": version.reference,
        "stage": version.stage
        + (f" {version.share:.1%}" if version.share else "")
        + (f": {version.reason}" if version.reason else ""),
        "kind": version.kind,
        "created": f"{version.created_at:%Y-%m-%d %H:%M}",
        "kB": f"{version.size_bytes / 1000:.0f}",
        "metrics": metrics,
    }
