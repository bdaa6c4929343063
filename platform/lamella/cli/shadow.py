"""`lamella models shadow`: what a shadow would have answered, beside what was."""

from pathlib import Path

import click

from lamella.cli.options import as_json, data_dir, example, print_json, print_table, settings_of
from lamella.errors import NotFound
from lamella.services.shadow_ports import ShadowTotal, shadow_document


@click.command()
@click.argument("reference")
@as_json
@data_dir
@example("lamella models shadow mf@4", "lamella models shadow mf@4 --json")
def shadow(reference: str, *, as_json: bool, data_dir: Path | None) -> None:
    """Compare the shadow REFERENCE ("mf@4") with the live versions that it was asked beside."""
    from lamella.bootstrap.tools import open_tools

    with open_tools(settings_of(data_dir=data_dir)) as tools:
        if "@" not in reference or tools.models.find(reference) is None:
            raise NotFound("model version", reference, next_step="name it with its number, see `lamella models list`")
        record = tools.shadows.read(reference)
    document = shadow_document(reference, record)
    if as_json:
        print_json(document)
        return
    if not record.totals:
        click.echo(f"{reference} was not asked yet; see `lamella models stage --help`")
        return
    heads = ("beside", "stage", "requests", "errors", "dropped", "overlap@k", "correlation", "live ms", "shadow ms")
    print_table(heads, map(_row, record.totals))
    click.echo(f"its slates held {record.shown:,} different items of {document['items']:,}")


def _row(total: ShadowTotal) -> dict[str, object]:
    def mean(value: float, number: int, places: int) -> str:
        return f"{value / number:.{places}f}" if number else "-"

    return {
        "beside": total.live,
        "stage": total.stage,
        "requests": total.requests,
        "errors": total.errors,
        "dropped": total.dropped,
        "overlap@k": mean(total.overlap, total.compared, 3),
        "correlation": mean(total.correlation, total.correlated, 3),
        "live ms": mean(total.live_seconds * 1000, total.compared, 2),
        "shadow ms": mean(total.shadow_seconds * 1000, total.compared, 2),
    }
