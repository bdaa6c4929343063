"""`lamella demo`: the newsroom."""

from pathlib import Path
from typing import Any

import click

from lamella.cli.options import data_dir, example


@click.command()
@click.option("--users", type=int, help="Readers.  [default: 4000]")
@click.option("--days", type=int, help="Days of the experiments.  [default: 14]")
@click.option("--seed", type=int, help="Seed of everything that is random.  [default: 1]")
@click.option("--effect", type=float, help="Relative lift that the ranking treatment shall truly have, such as 0.1.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for report.json and report.html.")
@click.option("--serve", is_flag=True, help="Leave the service up at the end and print its address.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the web process.  [default: a free one]")
@data_dir
@example("lamella demo --out demo-out", "lamella demo --users 2000 --days 7 --seed 7 --serve")
def demo(**options: Any) -> None:
    """Run simulated readers through the real service and compare its verdicts with what was planted.

    Trains the models, sets layers and experiments up over HTTP, sends the traffic, and lets the workers ingest,
    analyse and decide. Runs on SQLite and a private Valkey, or on LAMELLA_DATABASE_URL and LAMELLA_REDIS_URL.
    """
    from lamella.simulation.demo import DemoOptions, run

    run(DemoOptions(**{name: value for name, value in options.items() if value is not None}))
