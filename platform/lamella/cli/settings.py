"""`lamella settings`: every setting with its value."""

import click

from lamella.adapters.redis.broker import masked
from lamella.cli.options import data_dir, example, print_table, settings_of
from lamella.config import PREFIX, Settings


@click.command()
@data_dir
@example("LAMELLA_PORT=8080 lamella settings")
def settings(data_dir: str | None) -> None:
    """Show every setting: its variable, value, default and meaning."""
    chosen = settings_of(data_dir=data_dir)
    rows = [
        {
            "setting": PREFIX + name.upper(),
            "value": _text(getattr(chosen, name)),
            "default": _text(field.get_default()),
            "meaning": field.description,
        }
        for name, field in Settings.model_fields.items()
    ]
    print_table(("setting", "value", "default", "meaning"), rows)


def _text(value: object) -> str:
    """The value as it would be set; URLs without their password."""
    return "" if value is None else masked(str(value))
