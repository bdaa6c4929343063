"""`lamella units`: what is recorded of one unit, exported or erased; and the units that no analysis counts."""

from pathlib import Path

import click

from lamella.cli.auditing import audited
from lamella.cli.options import as_json, current_user, data_dir, example, print_json, print_table, settings_of
from lamella.services.flagging import INTERNAL, REASONS, Flag
from lamella.services.units import digest_of_unit


@click.group()
@example("lamella units export reader-17")
def units() -> None:
    """Export or erase one unit; list, flag and unflag those that no analysis counts."""


@units.command()
@click.argument("unit")
@data_dir
@example("lamella units export reader-17 > reader-17.json")
def export(unit: str, data_dir: Path | None) -> None:
    """Print everything that is recorded of UNIT, in the store and in the archive, as JSON."""
    from lamella.bootstrap.tools import open_tools

    with open_tools(settings_of(data_dir=data_dir)) as tools:
        print_json(tools.units.export(unit))


@units.command()
@click.argument("unit")
@click.option("--yes", is_flag=True, help="Do not ask.")
@data_dir
@example("lamella units erase reader-17 --yes")
def erase(unit: str, *, yes: bool, data_dir: Path | None) -> None:
    """Erase UNIT for good, in the store and in the archive; a row in the audit log names it by its digest."""
    from lamella.bootstrap.tools import open_tools

    if not yes:
        click.confirm("Erase everything that is recorded of this unit?", abort=True, err=True)
    with open_tools(settings_of(data_dir=data_dir)) as tools:
        with audited(tools, "units erase", digest_of_unit(unit)):
            done = tools.units.erase(unit)
        print_json(done)


@units.command()
@click.argument("unit")
@click.option("--reason", type=click.Choice(REASONS), default=INTERNAL, show_default=True, help="Why it is no reader.")
@data_dir
@example("lamella units flag colleague-3")
def flag(unit: str, reason: str, data_dir: Path | None) -> None:
    """Leave UNIT out of every analysis from the next report on."""
    from lamella.bootstrap.tools import open_tools

    with open_tools(settings_of(data_dir=data_dir)) as tools, audited(tools, "units flag", digest_of_unit(unit)):
        tools.flags.put(Flag(unit=unit, reason=reason, detail=f"by {current_user()}", at=tools.clock.now()))
    click.echo(f"{unit} is left out of analyses, as {reason}")


@units.command()
@click.argument("unit")
@data_dir
@example("lamella units unflag colleague-3")
def unflag(unit: str, data_dir: Path | None) -> None:
    """Count UNIT in analyses again."""
    from lamella.bootstrap.tools import open_tools

    with open_tools(settings_of(data_dir=data_dir)) as tools, audited(tools, "units unflag", digest_of_unit(unit)):
        tools.flags.remove(unit)
    click.echo(f"{unit} counts again")


@units.command()
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="How many to show.")
@as_json
@data_dir
@example("lamella units flagged --json")
def flagged(limit: int, *, as_json: bool, data_dir: Path | None) -> None:
    """List the units that no analysis counts."""
    from lamella.bootstrap.tools import open_tools

    with open_tools(settings_of(data_dir=data_dir)) as tools:
        found = tools.flags.all(limit=limit)
    rows = [{"unit": e.unit, "reason": e.reason, "at": e.at.isoformat(), "detail": e.detail} for e in found]
    if as_json:
        print_json(rows)
    else:
        print_table(("unit", "reason", "at", "detail"), rows)
