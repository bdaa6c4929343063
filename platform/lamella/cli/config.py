"""`lamella config`: the whole configuration as YAML, so that experiments can live in git."""

from collections.abc import Sequence
from pathlib import Path

import click
import orjson

from lamella.cli.auditing import audited
from lamella.cli.options import current_user, data_dir, example, settings_of
from lamella.errors import InvalidInput
from lamella.experiments.differences import Difference, differences


@click.group()
@example("lamella config export --out experiments.yaml")
def config() -> None:
    """Export the configuration as YAML, and make it what a file says."""


@config.command()
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write.  [default: the terminal]")
@data_dir
@example("lamella config export > experiments.yaml")
def export(out: Path | None, data_dir: Path | None) -> None:
    """Write everything that is configured: domains, layers, parameters, experiments, holdouts, kill switch."""
    from lamella.adapters.yaml_text import write_yaml
    from lamella.bootstrap.tools import open_tools
    from lamella.experiments.declaring import declaration

    with open_tools(settings_of(data_dir=data_dir)) as tools:
        text = write_yaml(declaration(tools.configuration.load()))
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{out}: cannot be written ({error.strerror})") from None
    click.echo(f"wrote {out}", err=True)


@config.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@data_dir
@example("lamella config apply experiments.yaml --dry-run", "lamella config apply experiments.yaml")
def apply(file: Path, *, dry_run: bool, data_dir: Path | None) -> None:
    """Make the configuration what FILE says, as one version, or refuse it with every reason and change nothing.

    Phases are the record's and stay. What ran and is left out stays too, once it is stopped or archived.
    """
    from lamella.adapters.yaml_text import read_yaml
    from lamella.bootstrap.tools import open_tools
    from lamella.experiments.declaring import declaration
    from lamella.services.changes import Change

    change = Change(operation="configure", body=read_yaml(_text(file), where=str(file)))
    with open_tools(settings_of(data_dir=data_dir)) as tools:
        before = tools.configuration.load()
        after = tools.changes.preview(change)
        found = differences(declaration(before), declaration(after))
        for line in lines(found):
            click.echo(line)
        if not found:
            click.echo("nothing to change")
        elif dry_run:
            click.echo(f"{len(found)} changes; nothing was changed (--dry-run)")
        elif tools.changes.needs_approval(change):
            with audited(tools, "config apply", str(file)):
                proposal = tools.changes.propose(change, author=current_user())
            click.echo(f"proposed as {proposal.id}; a second person has to approve it")
        else:
            with audited(tools, "config apply", str(file)):
                done = tools.changes.perform(change, author=current_user(), expected=before.version)
            click.echo(f"{len(found)} changes; the configuration is at version {done.version}")


def lines(found: Sequence[Difference]) -> list[str]:
    """A line for each value that differs: + added, - removed, ~ changed."""
    shown = []
    for each in found:
        if each.is_added:
            shown.append(f"+ {each.path}: {_value(each.after)}")
        elif each.is_removed:
            shown.append(f"- {each.path}: {_value(each.before)}")
        else:
            shown.append(f"~ {each.path}: {_value(each.before)} -> {_value(each.after)}")
    return shown


def _value(value: object) -> str:
    return orjson.dumps(value).decode()


def _text(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{file}: cannot be read ({error.strerror})") from None
