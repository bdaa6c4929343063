"""`lamella segments`: an experiment's metrics within segments of its units."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from lamella.cli.options import as_json, data_dir, example, print_json, print_table, settings_of
from lamella.experiments.model import Json


@click.command()
@click.argument("key")
@click.option("--by", "attributes", multiple=True, required=True, help="Attribute of the context; at most two.")
@click.option("--metric", "metrics", multiple=True, help="Metric to show.  [default: those that the plan names]")
@as_json
@data_dir
@example(
    "lamella segments ranking-textcnn --by country", "lamella segments ranking --by country --by device --metric ctr"
)
def segments(
    key: str, attributes: tuple[str, ...], metrics: tuple[str, ...], *, as_json: bool, data_dir: Path | None
) -> None:
    """Show the experiment KEY within segments of its units, by what their first list recorded. Exploratory."""
    from lamella.bootstrap.tools import open_tools
    from lamella.services.slicing import segments_of

    with open_tools(settings_of(data_dir=data_dir)) as tools:
        document = segments_of(
            key, attributes, metrics, configurations=tools.configuration, facts=tools.facts, clock=tools.clock
        )
    if as_json:
        print_json(document)
        return
    rows = [row for segment in _objects(document["segments"]) for row in _rows(segment)]
    print_table(("segment", "metric", "variant", "units", "value", "lift", "p"), rows)


def _rows(segment: Mapping[str, Json]) -> list[dict[str, object]]:
    values = segment["values"]
    named = (
        ", ".join(f"{key} {value or 'unknown'}" for key, value in values.items()) if isinstance(values, Mapping) else ""
    )
    rows: list[dict[str, object]] = []
    for metric in _objects(segment["metrics"]):
        compared = {each["variant"]: each for each in _objects(metric["comparisons"])}
        for arm in _objects(metric["arms"]):
            beside = compared.get(arm["variant"], {})
            rows.append(
                {
                    "segment": named,
                    "metric": metric["metric"],
                    "variant": arm["variant"],
                    "units": arm["units"],
                    "value": _number(arm["value"], "{:.4g}"),
                    "lift": _number(beside.get("relative_lift"), "{:+.2%}"),
                    "p": _number(beside.get("p"), "{:.2g}"),
                }
            )
    return rows


def _objects(value: Json) -> list[Mapping[str, Json]]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return []
    return [each for each in value if isinstance(each, Mapping)]


def _number(value: Json, form: str) -> str:
    return form.format(value) if isinstance(value, int | float) else ""
