"""Many experiments through the real service at once: HTTP, durable inbox, store, workers, verdicts.

Each experiment has a layer of its own, so that one traffic tests all of them; what a reader got in one layer is
independent of the others. Effects of opposite sign keep the click rate in its range.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np

from lamella.client.remote import RemoteClient, item_document
from lamella.client.wire import Document
from lamella.errors import InvalidInput, NotFound, TrainingFault
from lamella.events.contract import Click
from lamella.experiments.document import experiment_document, layer_document, parameter_document
from lamella.experiments.model import (
    BUCKETS,
    AnalysisPlan,
    BucketRange,
    Experiment,
    Layer,
    Parameter,
    ParameterType,
    Variant,
)
from lamella.services.planning import reported_baseline
from lamella.simulation.crowd import CLICK_PRIOR, PAGES_LOG_SD
from lamella.simulation.error_rates import Progress, Study
from lamella.simulation.installation import Installation, running, simulation_settings
from lamella.simulation.rates import Nominal, Promise, Rate
from lamella.simulation.trials import LOOKS, Arena
from lamella.stats import Design, Undefined, inflation, power_at

START: Final = datetime(2026, 3, 2, tzinfo=UTC)
_ITEMS: Final = 60
_PAGES: Final = 5.0
_THREADS: Final = 4
_DIFFERENT: Final = ("ship", "stop_for_harm", "keep_control")


@dataclass(frozen=True, slots=True, kw_only=True)
class WholePath:
    """`runs` experiments at once on `units` readers over `days` days; half of them get `lift`, half its inverse."""

    runs: int = 6
    units: int = 300
    days: int = 5
    lift: float = 0.0
    seed: int = 1

    def __post_init__(self) -> None:
        faults = [
            f"{name} is {value}; it must lie between {low:,} and {high:,}"
            for name, value, low, high in (
                ("runs", self.runs, 1, 200),
                ("units", self.units, 20, 100_000),
                ("days", self.days, LOOKS, 60),
            )
            if not low <= value <= high
        ]
        if not -0.9 <= self.lift <= 5.0:
            faults.append(f"lift is {self.lift:g}; it must lie between -0.9 and 5")
        if faults:
            raise InvalidInput(*faults)

    def lift_of(self, run: int) -> float:
        """What is planted in one experiment."""
        return self.lift if run % 2 == 0 else 1.0 / (1.0 + self.lift) - 1.0


def run_whole_path(
    asked: WholePath,
    *,
    data_dir: Path | None = None,
    progress: Progress = lambda _: None,
    environment: Mapping[str, str] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Study:
    """The rates of verdicts that call the arms different, or that find what was planted.

    Runs every process of an installation, in a temporary folder or in `data_dir`. Raises what the parts raise.
    """
    with ExitStack() as stack:
        folder = data_dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lamella-whole-path-")))
        settings = simulation_settings(environment or {}, data_dir=folder, port=None)
        installation = stack.enter_context(running(settings, now=START, report=say))
        _prepare(installation, asked)
        readers = _Readers(installation, asked)
        reports: list[Document] = []
        for day in range(asked.days):
            readers.live(day)
            reports = _look(installation, asked, day + 1)
            progress((day + 1) / asked.days)
    return _study(asked, reports)


def _key(run: int) -> str:
    return f"run-{run}"


def _prepare(installation: Installation, asked: WholePath) -> None:
    """The catalogue, a model that orders it, and the experiments, started."""
    admin = installation.admin
    items = [
        item_document(key=f"item-{n}", title=f"Item {n}", published_at=START - timedelta(hours=n + 1), attributes={})
        for n in range(_ITEMS)
    ]
    admin.put_items(items)
    training = str(admin.request_training("newest", "popularity", hyperparameters={}, seed=asked.seed)["id"])

    def is_trained() -> bool:
        run = admin.training(training)
        if run["status"] == "failed":
            raise TrainingFault(f"the model was not made: {run['message']}")
        return run["status"] == "done"

    installation.wait(is_trained, "the model that orders the catalogue")
    for run in range(asked.runs):
        admin.create_layer(layer_document(Layer(key=f"layer-{run}", salt=f"salt-{asked.seed}-{run}", description="")))
        parameter = Parameter(
            key=f"layer{run}.choice", type=ParameterType.STRING, default="old", layer=f"layer-{run}", description=""
        )
        admin.create_parameter(parameter_document(parameter))
        admin.create_experiment(experiment_document(_experiment(asked, run)))
        admin.move_experiment(_key(run), "start")
    wanted = installation.stores.configuration.version()
    installation.wait(lambda: int(str(admin.explain("reader-0")["snapshot"])) >= wanted, "the configuration")


def _experiment(asked: WholePath, run: int) -> Experiment:
    return Experiment(
        key=_key(run),
        layer=f"layer-{run}",
        name=_key(run),
        hypothesis="The planted effect is found." if asked.lift else "Both arms are the same.",
        owner="simulation",
        variants=tuple(
            Variant(key=key, weight=1, values={f"layer{run}.choice": value}, is_control=key == "control")
            for key, value in (("control", "old"), ("treatment", "new"))
        ),
        plan=AnalysisPlan(primary_metric="ctr", planned_days=asked.days, looks=LOOKS, minimum_days=0),
        ranges=(BucketRange(start=0, stop=BUCKETS),),
    )


class _Readers:
    """Heavy-tailed readers; what one gets decides, by the planted lifts, how often they click."""

    def __init__(self, installation: Installation, asked: WholePath) -> None:
        rng = np.random.default_rng(asked.seed)
        self._installation, self._asked = installation, asked
        self._pages = np.exp(rng.normal(-(PAGES_LOG_SD**2) / 2.0, PAGES_LOG_SD, asked.units)) * _PAGES
        self._rate = np.minimum(rng.beta(*CLICK_PRIOR, asked.units), 0.5)
        self._first = rng.integers(0, asked.days, asked.units)
        key = installation.admin.create_key("readers", "client")
        self._clients = [RemoteClient(installation.url, key, patience_seconds=120.0) for _ in range(_THREADS)]

    def live(self, day: int) -> None:
        """One day: everybody who has come by now may ask for pages, then the clicks are sent."""
        morning = START + timedelta(days=day, hours=1)
        self._installation.set_time(morning)
        with ThreadPoolExecutor(_THREADS) as crew:
            clicked = list(crew.map(lambda thread: self._visits(thread, day, morning), range(_THREADS)))
        self._installation.set_time(morning + timedelta(hours=1))
        for client, clicks in zip(self._clients, clicked, strict=True):
            for start in range(0, len(clicks), 500):
                client.send_events(clicks[start : start + 500])

    def _visits(self, thread: int, day: int, morning: datetime) -> list[Click]:
        clicks: list[Click] = []
        for reader in range(thread, self._asked.units, _THREADS):
            if self._first[reader] <= day:
                rng = np.random.default_rng((self._asked.seed, reader, day))
                pages = int(rng.poisson(self._pages[reader] / self._asked.days)) + int(self._first[reader] == day)
                for page in range(pages):
                    clicks += self._visit(self._clients[thread], (reader, day, page), morning, rng)
        return clicks

    def _visit(
        self, client: RemoteClient, visit: tuple[int, int, int], morning: datetime, rng: np.random.Generator
    ) -> list[Click]:
        reader, day, page = visit
        unit, request = f"reader-{reader}", f"s{self._asked.seed}-{reader}-{day}-{page}"
        slate = client.recommend(unit, request_id=request)
        rate = float(self._rate[reader])
        for run in range(self._asked.runs):
            if slate.parameters.get(f"layer{run}.choice") == "new":
                rate *= 1.0 + self._asked.lift_of(run)
        chosen = np.flatnonzero(rng.random(len(slate.items)) < min(rate, 1.0)).tolist()
        return [
            Click(
                event_id=f"{request}-{at}",
                request_id=request,
                unit=unit,
                item=slate.items[at],
                time=morning + timedelta(minutes=10),
            )
            for at in chosen
        ]


def _look(installation: Installation, asked: WholePath, day: int) -> list[Document]:
    """Every experiment's report as of the end of the day, made by the workers."""
    installation.wait_until_ingested()
    moment = START + timedelta(days=day)
    installation.set_time(moment)
    found: dict[str, Document] = {}

    def are_fresh() -> bool:
        for key in map(_key, range(asked.runs)):
            if key not in found:
                try:
                    report = installation.admin.report(key)
                except NotFound:
                    return False
                if datetime.fromisoformat(str(report["as_of"])) >= moment:
                    found[key] = report
        return len(found) == asked.runs

    installation.wait(are_fresh, f"the reports of day {day}")
    return [found[_key(run)] for run in range(asked.runs)]


def _study(asked: WholePath, reports: Sequence[Document]) -> Study:
    said = [_decision(report) for report in reports]
    broken = Rate(
        name="a check failed",
        hits=said.count("invalid"),
        runs=asked.runs,
        nominal=Nominal(level=0.01, promise=Promise.AT_MOST),
    )
    if asked.lift:
        right = ["ship" if asked.lift_of(run) > 0 else "stop_for_harm" for run in range(asked.runs)]
        # At the last look a loss is told by keep_control.
        hits = sum(
            one == two or (two == "stop_for_harm" and one == "keep_control")
            for one, two in zip(said, right, strict=True)
        )
        nominal = Nominal(level=_planned_power(asked, reports), promise=Promise.ABOUT)
        named = "the planted effect is found"
    else:
        hits = sum(one in _DIFFERENT for one in said)
        nominal, named = Nominal(level=0.05, promise=Promise.AT_MOST), "the arms are called different"
    rate = Rate(name=f"verdict: {named}", hits=hits, runs=asked.runs, nominal=nominal)
    arena = Arena(units=asked.units, days=asked.days, lift=asked.lift)
    return Study(title="Whole path", arena=arena, runs=asked.runs, seed=asked.seed, rates=(rate, broken))


def _planned_power(asked: WholePath, reports: Sequence[Document]) -> float | None:
    """What the planner says of the lifts with what control turned out to be, averaged over the experiments."""
    design, found = Design(inflation=inflation(LOOKS)), []
    for run, report in enumerate(reports):
        known, _ = reported_baseline(report, "ctr")
        power = power_at(known, asked.units, asked.lift_of(run), design)
        if not isinstance(power, Undefined):
            found.append(power)
    return sum(found) / len(found) if found else None


def _decision(report: Document) -> str:
    verdict = report["verdict"]
    return str(verdict["decision"]) if isinstance(verdict, Mapping) else ""
