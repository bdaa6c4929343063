"""`lamella keys`: API keys."""

from pathlib import Path

import click

from lamella.cli.options import as_json, data_dir, example, print_json, print_table, settings_of


@click.group()
@example('curl -H "Authorization: Bearer $(lamella keys create | tail -1)" localhost:8000/v1/admin/layers')
def keys() -> None:
    """Create, list and revoke API keys."""


@keys.command()
@click.option(
    "--role", default="admin", show_default=True, help="collector, client, viewer, experimenter, approver or admin."
)
@click.option("--name", help="Name of the key.  [default: the role and a number]")
@data_dir
@example("lamella keys create --role client --name website")
def create(role: str, name: str | None, data_dir: Path | None) -> None:
    """Make a key; it stands alone on the last line and cannot be shown again."""
    from lamella.bootstrap.tools import open_tools

    with open_tools(settings_of(data_dir=data_dir)) as tools:
        chosen = name or _free_name(role, {principal.name for principal in tools.keys.all()})
        key = tools.keys.create(chosen, role)
    click.echo(f"key {chosen!r} with role {role}; send it as `Authorization: Bearer KEY`")
    click.echo(key)


@keys.command("list")
@as_json
@data_dir
@example("lamella keys list")
def list_keys(*, as_json: bool, data_dir: Path | None) -> None:
    """Show the keys that are not revoked: names and roles, never the keys."""
    from lamella.bootstrap.tools import open_tools

    with open_tools(settings_of(data_dir=data_dir)) as tools:
        rows = [{"name": principal.name, "role": principal.role} for principal in tools.keys.all()]
    print_json(rows) if as_json else print_table(("name", "role"), rows)


@keys.command()
@click.argument("name")
@data_dir
@example("lamella keys revoke website")
def revoke(name: str, data_dir: Path | None) -> None:
    """Make the key NAME unknown from now on."""
    from lamella.bootstrap.tools import open_tools

    with open_tools(settings_of(data_dir=data_dir)) as tools:
        tools.keys.revoke(name)
    click.echo(f"key {name!r} is revoked")


def _free_name(role: str, taken: set[str]) -> str:
    """The role, or the role with the least number that is free."""
    number = 1
    while (name := role if number == 1 else f"{role}-{number}") in taken:
        number += 1
    return name
