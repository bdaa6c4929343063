"""`lamella report`: the newest report of an experiment."""

from pathlib import Path

import click

from lamella.cli.options import data_dir, example, print_json, settings_of
from lamella.errors import NotFound
from lamella.experiments.selection import experiment_of
from lamella.reporting.parts import PARTS


@click.command()
@click.argument("key")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "html", "csv"]),
    default="table",
    show_default=True,
    help="How to show it; html is a self-contained page.",
)
@click.option(
    "--part",
    type=click.Choice(PARTS),
    help="With csv: what was explored besides the plan, instead of the metrics.",
)
@click.option("--lang", type=click.Choice(["en", "zh"]), default="en", show_default=True, help="Language of labels.")
@data_dir
@example("lamella report ranking-textcnn", "lamella report ranking-textcnn --format html > report.html")
def report(key: str, form: str, part: str | None, lang: str, data_dir: Path | None) -> None:
    """Show the newest report on the experiment KEY: what was measured, checked and concluded."""
    from lamella.bootstrap.tools import open_tools
    from lamella.reporting import csv, html, terminal

    with open_tools(settings_of(data_dir=data_dir)) as tools:
        experiment = experiment_of(tools.configuration.load(), key)
        document = tools.analysis.latest_report(key)
        looks = tools.analysis.reports(key, experiment.phases[-1].id) if experiment.phases else ()
    if document is None:
        raise NotFound(
            "report of experiment", key, next_step="a worker writes the first one soon after the experiment started"
        )
    if form == "table":
        terminal.render([document], lang=lang)
    elif form == "json":
        print_json(document)
    elif form == "html":
        click.echo(html.render_page([(document, looks)], lang=lang))
    else:
        click.echo(csv.render(document, part), nl=False)
