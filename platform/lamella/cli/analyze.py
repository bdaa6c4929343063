"""`lamella analyze`: the report on a file, without a server."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from lamella.cli.options import example, print_json, print_table
from lamella.errors import InvalidInput


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--variant", help="Column of the variant.")
@click.option("--unit", help="Column of the unit that was randomised: the reader, device or session.")
@click.option("--each-row-is-a-unit", is_flag=True, help="There is no such column because no unit has two rows.")
@click.option("--control", help="The variant to compare with.")
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    help="name=mean(col), proportion(col), ratio(a, b), quantile(col, 0.9) or winsorised(col, 0.99); `rows` counts a "
    "unit's rows. Repeatable, the first is primary.",
)
@click.option("--primary", help="The metric that decides.")
@click.option("--guardrail", "guardrails", multiple=True, help="metric=0.02: must not get worse by more than 2 %.")
@click.option("--decrease", multiple=True, help="A metric that should go down.")
@click.option("--covariate", "covariates", multiple=True, help="A column from before the experiment, for CUPED.")
@click.option("--no-covariates", is_flag=True, help="Do not adjust by columns called pre_… or before_….")
@click.option("--segment", "segments", multiple=True, help="Report by the values of this column too.")
@click.option("--weights", help="Promised shares, such as control=95,treatment=5.  [default: equal]")
@click.option(
    "--method",
    type=click.Choice(["fixed_horizon", "group_sequential", "always_valid"]),
    default="fixed_horizon",
    show_default=True,
    help="How peeking is paid for.",
)
@click.option("--look", type=int, help="Which of the planned looks this is (group_sequential).  [default: the last]")
@click.option("--looks", type=click.IntRange(1, 100), default=5, show_default=True, help="Looks planned.")
@click.option("--alpha", type=float, default=0.05, show_default=True, help="Two-sided level.")
@click.option(
    "--correction",
    type=click.Choice(["none", "bonferroni", "holm", "hochberg", "bh", "by"]),
    default="holm",
    show_default=True,
    help="For several variants.",
)
@click.option("--minimum-effect", type=float, default=0.02, show_default=True, help="Least relative lift that matters.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "html", "csv"]),
    default="table",
    show_default=True,
    help="How to show it.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--lang", type=click.Choice(["en", "zh"]), default="en", show_default=True, help="Language of labels.")
@example(
    "lamella analyze readers.csv --unit user_id --metric 'ctr=ratio(clicks, impressions)'",
    "lamella analyze events.parquet --metric 'wait=quantile(latency_ms, 0.9)' --decrease wait --format html > out.html",
)  # fmt: skip
def analyze(file: Path, form: str, lang: str, *, as_json: bool, **options: Any) -> None:
    """Compare the variants in FILE: CSV or Parquet, one row a unit or one row an event.

    The engine and the report are those of a live experiment. Rows are summed up by unit first; what is not said is
    guessed, and the guesses are told on standard error (in JSON under `notes`).
    """
    from lamella.files.analysis import Asked, analyse_file
    from lamella.reporting import csv, html, terminal
    from lamella.stats.standard import Method

    asked = Asked(
        weights=None if options["weights"] is None else numbers(options["weights"], "--weights"),
        guardrails=numbers(",".join(options["guardrails"]), "--guardrail") if options["guardrails"] else None,
        method=Method(options["method"]),
        guess_covariates=not options["no_covariates"],
        **{name: options[name] for name in _PLAIN},
    )
    document = analyse_file(file, asked, datetime.now(UTC))
    if as_json or form == "json":
        print_json(document)
        return
    for note in _notes(document):
        click.echo(f"note: {note}", err=True)
    if form == "table":
        terminal.render([document], lang=lang)
        if rows := _segment_rows(document):
            print_table(list(rows[0]), rows)
    elif form == "html":
        click.echo(html.render_page([(document, ())], lang=lang))
    else:
        click.echo(csv.render(document), nl=False)


_PLAIN: Final = (
    "variant",
    "unit",
    "each_row_is_a_unit",
    "control",
    "metrics",
    "primary",
    "decrease",
    "covariates",
    "segments",
    "alpha",
    "correction",
    "minimum_effect",
    "looks",
    "look",
)


def numbers(text: str, option: str) -> dict[str, float]:
    """`a=1,b=2` as numbers by name. Raises InvalidInput that shows the form.

    >>> numbers("control=95,treatment=5", "--weights")
    {'control': 95.0, 'treatment': 5.0}
    """
    found = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            raise InvalidInput(f"{option} {part.strip()!r} is not of the form name=number, such as a=1") from None
    return found


def _notes(document: Mapping[str, Any]) -> list[str]:
    return [str(each) for each in document["notes"]]


def _segment_rows(document: Mapping[str, Any]) -> list[dict[str, object]]:
    """One row for each segment, metric and treatment; all of them exploratory."""
    return [
        {
            "segment": f"{part['segment']}={part['value']}",
            "metric": metric["metric"],
            "variant": row["variant"],
            "units": sum(arm["units"] for arm in metric["arms"]),
            "lift": _percent(row["relative_lift"]),
            "from": _percent(row["ci"][0]),
            "to": _percent(row["ci"][1]),
            "p": row["undefined"] if row["p"] is None else f"{row['p']:.2g}",
        }
        for part in document["segments"]
        for metric in part["metrics"]
        for row in metric["comparisons"]
    ]


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:+.2%}"
