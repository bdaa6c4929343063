"""`lamella keys`: API keys."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click

from lamella.cli.auditing import audited
from lamella.cli.options import as_json, data_dir, example, print_json, print_table, settings_of
from lamella.errors import InvalidInput
from lamella.services.ports import Principal

_DAYS: Final = re.compile(r"([1-9][0-9]{0,4})d")


@click.group()
@example('curl -H "Authorization: Bearer $(lamella keys create | tail -1)" localhost:8000/v1/admin/layers')
def keys() -> None:
    """Create, list and revoke API keys."""


@keys.command()
@click.option(
    "--role", default="admin", show_default=True, help="collector, client, viewer, experimenter, approver or admin."
)
@click.option("--name", help="Name of the key.  [default: the role and a number]")
@click.option("--project", "projects", multiple=True, help="Project that it reaches; repeatable.  [default: all]")
@click.option("--expires", help="When it ends: 2027-01-31, 2027-01-31T12:00Z, or in days: 90d.  [default: never]")
@data_dir
@example("lamella keys create --role client --name website", "lamella keys create --project news --expires 90d")
def create(role: str, name: str | None, projects: tuple[str, ...], expires: str | None, data_dir: Path | None) -> None:
    """Make a key; it stands alone on the last line and cannot be shown again."""
    from lamella.bootstrap.tools import open_tools

    with open_tools(settings_of(data_dir=data_dir)) as tools:
        chosen = name or _free_name(role, {principal.name for principal in tools.keys.all()})
        with audited(tools, "keys create", chosen):
            ends = None if expires is None else _moment(expires, tools.clock.now())
            key = tools.keys.create(chosen, role, projects=list(projects) or None, expires_at=ends)
    click.echo(f"key {chosen!r} with role {role}; send it as `Authorization: Bearer KEY`")
    click.echo(key)


@keys.command("list")
@as_json
@data_dir
@example("lamella keys list")
def list_keys(*, as_json: bool, data_dir: Path | None) -> None:
    """Show the keys that are not revoked: names, roles, projects and ends, never the keys."""
    from lamella.bootstrap.tools import open_tools

    with open_tools(settings_of(data_dir=data_dir)) as tools:
        rows = [_row(principal) for principal in tools.keys.all()]
    if as_json:
        print_json(rows)
        return
    shown = [{**row, "projects": ", ".join(row["projects"]) if row["projects"] else None} for row in rows]
    print_table(("name", "role", "projects", "expires_at"), shown)


@keys.command()
@click.argument("name")
@data_dir
@example("lamella keys revoke website")
def revoke(name: str, data_dir: Path | None) -> None:
    """Make the key NAME unknown from now on."""
    from lamella.bootstrap.tools import open_tools

    with open_tools(settings_of(data_dir=data_dir)) as tools, audited(tools, "keys revoke", name):
        tools.keys.revoke(name)
    click.echo(f"key {name!r} is revoked")


def _row(principal: Principal) -> dict[str, Any]:
    return {
        "name": principal.name,
        "role": principal.role,
        "projects": None if principal.projects is None else list(principal.projects),
        "expires_at": None if principal.expires_at is None else principal.expires_at.isoformat(),
    }


def _moment(text: str, now: datetime) -> datetime:
    """The moment that the text names: a date is its midnight in UTC. Raises InvalidInput."""
    days = _DAYS.fullmatch(text)
    if days is not None:
        return now + timedelta(days=int(days[1]))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"--expires {text!r} is no moment; write 2027-01-31, 2027-01-31T12:00Z or 90d") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _free_name(role: str, taken: set[str]) -> str:
    """The role, or the role with the least number that is free."""
    number = 1
    while (name := role if number == 1 else f"{role}-{number}") in taken:
        number += 1
    return name
