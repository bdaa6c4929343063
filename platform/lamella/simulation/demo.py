"""`lamella demo`: simulated readers go through the real service, and its verdicts are held against what was planted."""

import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import orjson
from rich.console import Console
from rich.table import Table

from lamella.errors import InvalidInput
from lamella.reporting import html, terminal
from lamella.simulation.installation import Installation, running, simulation_settings
from lamella.simulation.newsroom import VISITS_A_DAY, Newsroom
from lamella.simulation.schedule import draw_schedule
from lamella.simulation.stages import Stages
from lamella.simulation.summary import Outcome
from lamella.simulation.traffic import PART
from lamella.simulation.world import make_world

START: Final = datetime(2026, 3, 2, tzinfo=UTC)
"""When the experiments start, in simulated time: a Monday."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What a demo is asked for.

    `effect` is the relative lift in click rate that the ranking treatment shall truly have; None takes what the full
    model earns, 0 makes both arms the same. Without `data_dir` a temporary folder is used, and removed at the end.
    """

    users: int = 4_000
    days: int = 14
    seed: int = 1
    effect: float | None = None
    out: Path | None = None
    serve: bool = False
    port: int | None = None
    data_dir: Path | None = None

    def __post_init__(self) -> None:
        faults = [
            f"{name} {value} is less than {least}; the demo cannot learn or conclude anything from so little"
            for name, value, least in (("--users", self.users, 50), ("--days", self.days, 1))
            if value < least
        ]
        if not 0 <= self.seed < 2**31:
            faults.append(f"--seed {self.seed} is not between 0 and {2**31 - 1}")
        if self.effect is not None and not -0.9 <= self.effect <= 5:
            faults.append(f"--effect {self.effect:g} is not between -0.9 and 5; 0.1 means 10 % more clicks")
        if faults:
            raise InvalidInput(*faults)


def run(
    options: DemoOptions, *, environment: Mapping[str, str] | None = None, console: Console | None = None
) -> Outcome:
    """How the demo ended; it is printed as it goes, and written to `options.out`.

    A wrong verdict is reported and is no error: chance makes some. Raises Conflict where the record does not hold
    exactly what was sent, and whatever the parts raise. With `serve` it returns when the user interrupts.
    """
    console, environment = console or Console(), os.environ if environment is None else environment
    stages = Stages(console)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        data_dir = stack.enter_context(_folder(options, console))
        settings = simulation_settings(environment, data_dir=data_dir, port=options.port)
        with stages.run("start") as bar:
            world = make_world(users=options.users, seed=options.seed)
            service = running(settings, now=START, report=lambda line: _announce(console, line))
            installation = stack.enter_context(service)
            bar.note = f"{installation.url}, {installation.database}"
        newsroom = Newsroom(world=world, installation=installation, start=START, days=options.days)
        outcome = _live(newsroom, stages, options)
        _tell(outcome, stages, options, newsroom)
        outcome.check_counts()
        if options.serve:
            _serve(installation, console)
    return outcome


def _live(newsroom: Newsroom, stages: Stages, options: DemoOptions) -> Outcome:
    """Everything from the catalogue to the verdicts."""
    schedule = draw_schedule(
        newsroom.world.readers,
        days=options.days,
        mean_visits=VISITS_A_DAY * options.days,
        seed=options.seed,
        part=PART,
    )
    with stages.run("catalogue") as bar:
        newsroom.fill_catalogue(bar)
    with stages.run("past") as bar:
        past = newsroom.log_past(bar)
    with stages.run("training") as bar:
        models = newsroom.train(bar)
    with stages.run("truth") as bar:
        plans, planted = newsroom.plant(models, schedule, options.effect, bar)
    with stages.run("configuration") as bar:
        newsroom.configure(plans, bar)
    with stages.run("traffic") as bar:
        sent = newsroom.send_traffic(plans, schedule, bar)
    with stages.run("verdicts") as bar:
        reports = newsroom.await_verdicts(plans, bar)
    simulated = past.counts + sent.tally.counts
    return Outcome(
        seed=options.seed,
        store=newsroom.installation.database,
        seconds=stages.seconds,
        simulated={
            **{kind: simulated[kind] for kind in ("slate", "impression", "click", "read", "interaction")},
            "exposure": len(sent.exposed),
            "quarantine": 0,
        },
        stored=newsroom.installation.admin.counts(),
        reports=reports,
        planted={each.experiment: each for each in planted},
    )


def _tell(outcome: Outcome, stages: Stages, options: DemoOptions, newsroom: Newsroom) -> None:
    """Prints the reports and the counts, and writes report.html and report.json where they are wanted."""
    console = stages.console
    if options.out is not None:
        with stages.run("report") as bar:
            histories = {key: newsroom.installation.admin.reports(key) for key in outcome.reports}
            page = html.render_page(
                [(report, histories[key]) for key, report in outcome.reports.items()],
                title=f"lamella demo: {options.users:,} readers, {options.days} days, seed {options.seed}",
                truth=outcome.truth,
            )
            (options.out / "report.html").write_text(page, encoding="utf-8")
            bar.note = str(options.out / "report.html")
    terminal.render(list(outcome.reports.values()), outcome.truth, console)
    console.print(_counted(outcome))
    right = sum(bool(each["correct"]) for each in outcome.truth.values())
    console.print(
        f"{right} of {len(outcome.truth)} verdicts say what was planted; {stages.total_seconds:.0f} s in all",
        style="bold",
    )
    if options.out is not None:
        (options.out / "report.json").write_bytes(orjson.dumps(outcome.document(), option=orjson.OPT_INDENT_2))


def _counted(outcome: Outcome) -> Table:
    table = Table(box=None, pad_edge=False, title="Simulated and stored", title_justify="left")
    table.add_column("record")
    for name in ("simulated", "stored"):
        table.add_column(name, justify="right")
    for kind, count in outcome.simulated.items():
        table.add_row(kind, f"{count:,}", f"{outcome.stored.get(kind, 0):,}")
    return table


@contextmanager
def _folder(options: DemoOptions, console: Console) -> Iterator[Path]:
    """The data folder: the one asked for, or a temporary one that is removed unless a part of the service failed."""
    if options.data_dir is not None:
        yield options.data_dir
        return
    made = Path(tempfile.mkdtemp(prefix="lamella-demo-"))
    is_left = False
    try:
        yield made
    except Exception as error:
        is_left = not isinstance(error, InvalidInput)
        raise
    finally:
        if is_left:
            console.print(f"the data folder with the logs is left in {made}", highlight=False, markup=False)
        else:
            shutil.rmtree(made, ignore_errors=True)


def _announce(console: Console, line: str) -> None:
    """Says what the supervisor says, but for the processes' first start."""
    if ": started, pid" not in line:
        console.print(line, highlight=False, markup=False)


def _serve(installation: Installation, console: Console) -> None:
    """Returns when the user interrupts."""
    console.print(f"the service is up at {installation.url}; Ctrl-C stops it", highlight=False, markup=False)
    wanted = threading.Event()
    before = {number: signal.signal(number, lambda *_: wanted.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        wanted.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
