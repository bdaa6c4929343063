"""`lamella simulate`: error rates and power, by simulation."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from lamella.cli.options import example, print_json

if TYPE_CHECKING:
    from lamella.simulation.error_rates import Study


@click.command()
@click.argument("question", type=click.Choice(["aa", "effect"]))
@click.option("--runs", type=int, help="Simulated experiments.  [default: 1000, with --whole-path 6]")
@click.option("--units", type=int, help="Readers, all arms.  [default: 2000; effect: 10000; whole path: 300]")
@click.option("--days", type=int, help="Days of an experiment.  [default: 14, with --whole-path 5]")
@click.option(
    "--lift",
    type=float,
    help="Relative lift of the click rate (effect).  [default: what 80 % of the runs find; whole path: 0.5]",
)
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Seed of everything random.")
@click.option("--whole-path", is_flag=True, help="Through real HTTP, store and workers; slower, so fewer runs.")
@click.option(
    "--data-dir", type=click.Path(path_type=Path), help="With --whole-path: folder that is kept, with the logs."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@example("lamella simulate aa --runs 4000", "lamella simulate effect --lift 0.1", "lamella simulate aa --whole-path")
def simulate(question: str, *, whole_path: bool, as_json: bool, **options: Any) -> None:
    """Measure how often equal arms are called different (aa), or how often a planted effect is found (effect).

    Readers are heavy-tailed: pages are log-normal with log-sd 1.0. Every rate has its exact 95 % Monte-Carlo interval.
    """
    console = Console(stderr=True)
    with console.status("simulating") as status:

        def progress(share: float) -> None:
            status.update(f"simulating: {share:.0%}")

        studies = (_whole if whole_path else _fast)(question, options, progress)
    if as_json:
        print_json([each.document() for each in studies])
        return
    for study in studies:
        Console().print(_table(study))


def _fast(question: str, options: dict[str, Any], progress: Callable[[float], None]) -> Sequence["Study"]:
    from lamella.simulation.error_rates import EFFECT_ARENA, coverage_and_power, false_alarms, usable_arena

    runs = 1000 if options["runs"] is None else options["runs"]
    if question == "aa":
        arena = usable_arena(units=options["units"], days=options["days"])
        return [false_alarms(arena, runs=runs, seed=options["seed"], progress=progress)]
    units = options["units"] or EFFECT_ARENA.units
    arena = usable_arena(units=units, days=options["days"], lift=options["lift"])
    return coverage_and_power(arena, runs=runs, seed=options["seed"], progress=progress)


def _whole(question: str, options: dict[str, Any], progress: Callable[[float], None]) -> Sequence["Study"]:
    from lamella.simulation.whole_path import WholePath, run_whole_path

    given = {name: options[name] for name in ("runs", "units", "days", "seed") if options[name] is not None}
    lift = (0.5 if options["lift"] is None else options["lift"]) if question == "effect" else 0.0
    return [run_whole_path(WholePath(lift=lift, **given), data_dir=options["data_dir"], progress=progress)]


def _table(study: "Study") -> Table:
    arena = study.arena
    about = f"{study.runs:,} experiments of {arena.units:,} readers over {arena.days} days, seed {study.seed}"
    planted = f", lift {arena.lift:+.2%}" if arena.lift else ""
    table = Table(box=None, pad_edge=False, title=f"{study.title}: {about}{planted}", title_justify="left")
    for name in ("method", "measured", "95 % Monte-Carlo", "promised", ""):
        table.add_column(name, justify="left" if name == "method" else "right")
    for rate in study.rates:
        low, high = rate.interval
        level = rate.nominal.level
        promised = "" if level is None else f"{rate.nominal.promise.value} {level:.1%}".removeprefix("exact ")
        mark = {True: "✓", False: "✗", None: ""}[rate.agrees]
        table.add_row(rate.name, f"{rate.share:.2%}", f"{low:.2%} to {high:.2%}", promised, mark)
    return table
