"""`lamella power`: units, days and detectable lifts, from numbers, a file, or the store's own traffic."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from lamella.cli.analyze import numbers
from lamella.cli.options import data_dir, example, print_json, settings_of
from lamella.errors import InvalidInput, NotFound
from lamella.experiments.model import Json

if TYPE_CHECKING:
    from lamella.stats.power import Baseline


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--experiment", help="Take metric, variance and traffic from this experiment's reports in the store.")
@click.option(
    "--metric",
    help="With FILE: as for `lamella analyze`, such as 'ctr=ratio(clicks, impressions)'. "
    "With --experiment: a metric's key.",
)
@click.option("--unit", help="With FILE: column of the unit.")
@click.option("--each-row-is-a-unit", is_flag=True, help="With FILE: no unit has two rows.")
@click.option("--covariate", "covariates", multiple=True, help="With FILE: a column from before, for CUPED.")
@click.option("--rate", type=float, help="Baseline of a proportion over units, such as 0.04.")
@click.option("--mean", type=float, help="Baseline of a mean; needs --deviation.")
@click.option(
    "--ratio",
    help="Baseline of a ratio over units: means, deviations and correlation of numerator and denominator, "
    "such as x=0.5,d=10,sx=1,sd=12,r=0.8.",
)
@click.option("--deviation", type=float, help="Standard deviation of one unit's value.")
@click.option(
    "--variance-reduction", type=float, default=0.0, show_default=True, help="Share that CUPED takes off the variance."
)
@click.option("--lift", type=float, help="Relative lift to find, such as 0.02.")
@click.option("--units", type=int, help="Units of all arms together: what lift can they find?")
@click.option("--days", type=int, help="Days of traffic: what lift can they find?")
@click.option("--traffic", type=int, help="New units a day.")
@click.option("--alpha", type=float, default=0.05, show_default=True, help="Two-sided level.")
@click.option("--power", "wanted", type=float, default=0.8, show_default=True, help="Chance to find the lift.")
@click.option("--treatments", type=int, default=1, show_default=True, help="Treatments that share the control.")
@click.option(
    "--allocation", type=float, default=1.0, show_default=True, help="Units of a treatment per unit of control."
)
@click.option("--looks", type=click.IntRange(1, 50), default=5, show_default=True, help="Looks; 1 is a fixed horizon.")
@click.option(
    "--spending",
    type=click.Choice(["obrien_fleming", "pocock"]),
    default="obrien_fleming",
    show_default=True,
    help="How the looks spend alpha.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of sentences.")
@data_dir
@example(
    "lamella power --rate 0.04 --lift 0.05 --traffic 2000",
    "lamella power readers.csv --metric 'ctr=ratio(clicks, impressions)' --units 50000",
    "lamella power --experiment ranking-textcnn --lift 0.02",
)  # fmt: skip
def power(file: Path | None, *, as_json: bool, **options: Any) -> None:
    """Say how many units and days find a lift, or what lift so many units or days can find.

    Units are those of all arms together. Several treatments share alpha (Bonferroni, the safe side), looks cost what
    their boundaries cost.
    """
    from lamella.services.planning import Sizing, sizing_document
    from lamella.stats.sequential import Spending

    found = _known(file, options)
    traffic = (options["traffic"],) if options["traffic"] else found.traffic
    if options["traffic"] is not None and options["traffic"] < 1:
        raise InvalidInput(f"--traffic is {options['traffic']}; at least 1 new unit a day is needed")
    asked = Sizing(
        lift=options["lift"],
        units=options["units"],
        days=options["days"],
        alpha=options["alpha"],
        power=options["wanted"],
        treatments=options["treatments"],
        allocation=options["allocation"],
        looks=options["looks"],
        spending=Spending(options["spending"]),
        cumulative_units=traffic,
    )
    known, raw = _reduced(found, options["variance_reduction"])
    document = {"metric": found.metric, "source": found.source, **sizing_document(known, asked, raw=raw)}
    document["notes"] = list(found.notes)
    if as_json:
        print_json(document)
        return
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
    for line in _sentences(document):
        click.echo(line)


class _Known(NamedTuple):
    metric: str
    source: str
    known: "Baseline"
    raw: "Baseline | None" = None
    traffic: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def _known(file: Path | None, options: Mapping[str, Any]) -> _Known:
    """The baseline, from the one source that was given."""
    given = [name for name in ("experiment", "rate", "mean", "ratio") if options[name] is not None]
    given += ["FILE"] if file is not None else []
    if len(given) != 1:
        raise InvalidInput("give one source: a FILE with --metric, --experiment, --rate, --mean or --ratio")
    if file is not None:
        return _of_file(file, options)
    if options["experiment"] is not None:
        return _of_store(options)
    return _of_numbers(options)


def _of_numbers(options: Mapping[str, Any]) -> _Known:
    from lamella.stats.power import Baseline

    if options["rate"] is not None:
        rate = options["rate"]
        if not 0.0 < rate < 1.0:
            raise InvalidInput(f"--rate is {rate:g}; it must lie between 0 and 1, such as 0.04")
        return _Known("proportion", "numbers", Baseline(value=rate, deviation=math.sqrt(rate * (1.0 - rate))))
    if options["mean"] is not None:
        if options["deviation"] is None or not options["deviation"] > 0.0:
            raise InvalidInput("--mean needs --deviation above 0: the standard deviation of one unit's value")
        return _Known("mean", "numbers", Baseline(value=options["mean"], deviation=options["deviation"]))
    given = numbers(options["ratio"], "--ratio")
    missing = sorted({"x", "d", "sx", "sd", "r"} - set(given))
    if missing or not given["d"] or not -1.0 <= given["r"] <= 1.0:
        raise InvalidInput("--ratio needs x, d, sx, sd and r, d not 0 and r from -1 to 1: x=0.5,d=10,sx=1,sd=12,r=0.8")
    ratio = given["x"] / given["d"]
    joint = given["r"] * given["sx"] * given["sd"]
    variance = (given["sx"] ** 2 - 2.0 * ratio * joint + (ratio * given["sd"]) ** 2) / given["d"] ** 2
    return _Known("ratio", "numbers", Baseline(value=ratio, deviation=math.sqrt(max(variance, 0.0))))


def _of_file(file: Path, options: Mapping[str, Any]) -> _Known:
    from lamella.files.sizing import file_baseline

    if options["metric"] is None:
        raise InvalidInput("a FILE needs --metric, such as 'ctr=ratio(clicks, impressions)'")
    found = file_baseline(
        file,
        options["metric"],
        unit=options["unit"],
        covariates=options["covariates"],
        each_row=options["each_row_is_a_unit"],
    )
    notes = (*found.notes, f"The file holds {found.units} units.")
    return _Known(options["metric"], file.name, found.known, found.raw, notes=notes)


def _of_store(options: Mapping[str, Any]) -> _Known:
    """What the newest report of the experiment measured in control, and its units day by day."""
    from lamella.bootstrap.tools import open_tools
    from lamella.experiments.selection import experiment_of
    from lamella.services.planning import reported_baseline, traffic_by_day

    key = options["experiment"]
    with open_tools(settings_of(data_dir=options["data_dir"])) as tools:
        experiment = experiment_of(tools.configuration.load(), key)
        document = tools.analysis.latest_report(key)
        reports = tools.analysis.reports(key, experiment.phases[-1].id) if experiment.phases else ()
    if document is None or not reports:
        raise NotFound("report of experiment", key, next_step="give the traffic in numbers, or wait for the first one")
    metric = options["metric"] or experiment.plan.primary_metric
    known, raw = reported_baseline(document, metric)
    traffic = traffic_by_day(experiment.phases[-1].started_at, reports)
    notes = (f"Variance and traffic are those that experiment {key!r} measured, control and all arms.",)
    return _Known(metric, f"experiment {key}", known, raw, traffic, notes)


def _reduced(found: _Known, reduction: float) -> "tuple[Baseline, Baseline | None]":
    from lamella.stats.power import Baseline

    if not 0.0 <= reduction < 1.0:
        raise InvalidInput(f"--variance-reduction is {reduction:g}; it must lie in [0, 1)")
    if not reduction:
        return found.known, found.raw
    deviation = found.known.deviation * math.sqrt(1.0 - reduction)
    return Baseline(value=found.known.value, deviation=deviation), found.raw or found.known


def _sentences(document: Mapping[str, Json]) -> list[str]:
    base, design = _part(document, "baseline"), _part(document, "design")
    of, value = f"{document['metric']} ({document['source']})", f"{base['value']:.6g}"
    lines = [f"{of}: {value}, one unit deviates by {base['deviation']:.6g}"]
    raw = document.get("raw_baseline")
    if isinstance(raw, Mapping):
        lines.append(f"  before CUPED it deviates by {raw['deviation']:.6g}")
    lines.append(
        f"  two-sided alpha {design['alpha']:g}, power {design['power']:g}, {design['treatments']} treatment(s), "
        f"{design['looks']} look(s) (x {design['inflation']:.3f} units)"
    )
    if document.get("undefined"):
        lines.append(f"no answer: {document['undefined']}")
    if isinstance(document.get("units"), int):
        days = "" if document["days_needed"] is None else f", {document['days_needed']} days"
        lines.append(
            f"a lift of {document['lift']:+.2%} needs {document['units']:,} units{days} "
            f"(control {document['units_control']:,}, each treatment {document['units_treatment']:,})"
        )
    if isinstance(document.get("detectable_lift"), float):
        lines.append(f"{document['given_units']:,} units find a lift of {document['detectable_lift']:.2%} or more")
    if isinstance(document.get("power_at_lift"), float):
        lines.append(f"  and a lift of {document['lift']:+.2%} with power {document['power_at_lift']:.1%}")
    outlook = document.get("outlook")
    rows = [each for each in outlook if isinstance(each, Mapping)] if isinstance(outlook, list) else []
    return lines + [
        f"  {row['days']:>3} days: {row['given_units']:,} units find {row['detectable_lift']:.2%}"
        for row in rows
        if isinstance(row.get("detectable_lift"), float)
    ]


def _part(document: Mapping[str, Json], name: str) -> Mapping[str, Any]:
    part = document[name]
    return part if isinstance(part, Mapping) else {}
