"""The root of the command line: finds a command's module when it is asked for, and turns errors into sentences."""

import os
import sys
from importlib import import_module
from typing import Final

import click

from lamella import __version__
from lamella.cli.options import example, exit_code
from lamella.errors import LamellaError

COMMANDS: Final = {
    "analyze": "lamella.cli.analyze:analyze",
    "beat": "lamella.cli.worker:beat",
    "config": "lamella.cli.config:config",
    "db": "lamella.cli.db:db",
    "demo": "lamella.cli.demo:demo",
    "events": "lamella.cli.events:events",
    "experiments": "lamella.cli.experiments:experiments",
    "health": "lamella.cli.health:health",
    "items": "lamella.cli.items:items",
    "keys": "lamella.cli.keys:keys",
    "models": "lamella.cli.models:models",
    "power": "lamella.cli.power:power",
    "record": "lamella.cli.record:record",
    "report": "lamella.cli.report:report",
    "segments": "lamella.cli.segments:segments",
    "settings": "lamella.cli.settings:settings",
    "simulate": "lamella.cli.simulate:simulate",
    "train": "lamella.cli.train:train",
    "trainings": "lamella.cli.trainings:trainings",
    "units": "lamella.cli.units:units",
    "up": "lamella.cli.up:up",
    "web": "lamella.cli.web:web",
    "worker": "lamella.cli.worker:worker",
}


class Commands(click.Group):
    """The commands by name. A module is imported when its command is wanted: `lamella web` never loads TensorFlow."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Every command, by name."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """The command, or None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def invoke(self, ctx: click.Context) -> object:
        """What the command answers. A LamellaError becomes one sentence and an exit code: 2 for bad input, else 1."""
        try:
            return super().invoke(ctx)
        except LamellaError as error:
            click.echo(f"error: {error}", err=True)
            ctx.exit(exit_code(error))
        except BrokenPipeError:
            # The reader of our output (head, less) has left; Python must not fail again while it flushes.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="lamella")
@example(
    "lamella demo                 a newsroom with planted effects, from traffic to verdict",
    "lamella up                   everything on this machine, nothing else to install",
)
def main() -> None:
    """Layered online experiments for recommenders: assign, serve, record, test, decide."""
