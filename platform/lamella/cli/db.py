"""`lamella db`: the store's schema."""

from pathlib import Path

import click

from lamella.cli.options import data_dir, example, settings_of


@click.group()
@example("LAMELLA_DATABASE_URL=postgresql://lamella@db/lamella lamella db upgrade")
def db() -> None:
    """Bring the store's schema up to date, back, or check it."""


@db.command()
@data_dir
@example("lamella db upgrade --data-dir ./newsroom")
def upgrade(data_dir: Path | None) -> None:
    """Migrate the store to the schema of this version; safe to run twice at once."""
    from lamella.adapters.sql import migrations

    click.echo(f"the store is at revision {migrations.upgrade(settings_of(data_dir=data_dir).sql_url)}")


@db.command()
@click.argument("revision")
@data_dir
@example("lamella db downgrade base")
def downgrade(revision: str, data_dir: Path | None) -> None:
    """Take the schema back to REVISION ("base": to nothing). What newer tables held is lost."""
    from lamella.adapters.sql import migrations

    click.echo(f"the store is at revision {migrations.downgrade(settings_of(data_dir=data_dir).sql_url, revision)}")


@db.command()
@data_dir
@example("lamella db check && lamella web")
def check(data_dir: Path | None) -> None:
    """Exit with 0 where the store has the schema of this version, else with 1 and the reason."""
    from lamella.adapters.sql import migrations

    migrations.check(settings_of(data_dir=data_dir).sql_url)
    click.echo("the store has the schema of this version")


@db.command()
@data_dir
@example("lamella db current")
def current(data_dir: Path | None) -> None:
    """Show the revision that the store is at."""
    from lamella.adapters.sql import migrations

    click.echo(migrations.current(settings_of(data_dir=data_dir).sql_url) or "base")
