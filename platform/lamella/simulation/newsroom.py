"""The newsroom's life as stages over a running installation: catalogue, past, training, truth, traffic, verdicts."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from lamella.client.remote import RemoteClient, item_document
from lamella.client.wire import Document
from lamella.errors import NotFound, TrainingFault, Unavailable
from lamella.experiments.document import experiment_document, layer_document, parameter_document
from lamella.experiments.model import Json
from lamella.simulation.installation import Installation
from lamella.simulation.kitchen import open_kitchen
from lamella.simulation.past import simulate_past
from lamella.simulation.plans import LOOKS, RANKING, Models, Plans, configuration_of, make_plans
from lamella.simulation.schedule import HOURS_A_DAY, Schedule
from lamella.simulation.stages import Bar
from lamella.simulation.summary import Planted
from lamella.simulation.traffic import Sent, Traffic
from lamella.simulation.truth import Oracle, make_oracle, solve_weight
from lamella.simulation.world import Tally, World

VISITS_A_DAY: Final = 0.28
PAST_DAYS: Final = 49
ORACLE_READERS: Final = 800

# Chosen by offline loss and by the time they take at the default size; see docs/demo.md.
TRAININGS: Final[Mapping[str, Mapping[str, Json]]] = {
    "popularity": {},
    "mf": {"epochs": 12},
    "textcnn": {"batch_size": 512, "learning_rate": 0.002},
}


@dataclass(frozen=True, eq=False, kw_only=True)
class Newsroom:
    """The world, the installation that serves it, and when its experiments start."""

    world: World
    installation: Installation
    start: datetime
    days: int

    def fill_catalogue(self, bar: Bar) -> None:
        """Puts every headline into the service's catalogue, without its appeal."""
        items = [headline.to_item() for headline in self.world.newsroom.headlines]
        documents = [
            item_document(key=i.key, title=i.title, published_at=i.published_at, attributes=i.attributes) for i in items
        ]
        stored = self.installation.admin.put_items(documents)
        bar.note = f"{stored:,} headlines"

    def log_past(self, bar: Bar) -> Tally:
        """Records the past through the durable inbox and waits until the workers have ingested it."""
        tally, recording = Tally(), self.installation.recording()
        past = simulate_past(
            self.world,
            start=self.start - timedelta(days=PAST_DAYS),
            days=PAST_DAYS,
            mean_visits=PAST_DAYS * VISITS_A_DAY,
        )
        for day, records in enumerate(past, start=1):
            recording.backfill(records)
            tally.add(records)
            bar.move(day / PAST_DAYS / 2, f"day {day} of {PAST_DAYS}")

        def show(counts: Mapping[str, int]) -> None:
            share = counts["slate"] / max(tally.counts["slate"], 1)
            bar.move((1 + share) / 2, f"{counts['slate']:,} of {tally.counts['slate']:,} pages ingested")

        self.installation.wait_until_ingested(show)
        rate = tally.counts["click"] / max(tally.counts["impression"], 1)
        bar.note = f"{tally.counts['slate']:,} pages, click rate {rate:.2%}"
        return tally

    def train(self, bar: Bar) -> Models:
        """Has the workers train the three models, one version each, and returns their references."""
        admin = self.installation.admin
        runs = {
            kind: str(admin.request_training(kind, kind, hyperparameters=chosen, seed=self.world.seed)["id"])
            for kind, chosen in TRAININGS.items()
        }
        newest: dict[str, Document] = {}

        def are_done() -> bool:
            newest.update({kind: admin.training(run) for kind, run in runs.items()})
            for kind, run in newest.items():
                if run["status"] == "failed":
                    raise TrainingFault(f"training {kind} failed: {run['message']}")
            current = next((kind for kind, run in newest.items() if run["status"] != "done"), kind)
            share = sum(float(str(run["progress"])) for run in newest.values()) / len(newest)
            bar.move(share, f"{current}: {newest[current]['message']}")
            return all(run["status"] == "done" for run in newest.values())

        self.installation.wait(are_done, "the models to be trained", patience_seconds=3600)
        references = {kind: str(run["reference"]) for kind, run in newest.items()}
        bar.note = "; ".join(_offline(version) for version in reversed(admin.models()))
        return Models(**references)

    def plant(self, models: Models, schedule: Schedule, effect: float | None, bar: Bar) -> tuple[Plans, list[Planted]]:
        """The plans whose ranking treatment truly earns `effect` (None: what the full model earns), and what is true.

        Raises InvalidInput where the models cannot earn the effect.
        """

        def plans_at(weight: float | None) -> Plans:
            return make_plans(models, days=self.days, past_days=PAST_DAYS, rank_weight=weight)

        plain = plans_at(1.0)
        with open_kitchen(self.installation.settings, lambda values: configuration_of(plain, values)) as kitchen:
            oracle = make_oracle(self.world, schedule, kitchen, readers=ORACLE_READERS)
            weight: float | None = 1.0 if effect is None else None
            if effect:
                bar.move(0.1, f"looking for the weight that earns {effect:+.1%}")
                weight = solve_weight(lambda at: _lift(oracle, plans_at(at), RANKING), effect)
            plans, planted = plans_at(weight), list[Planted]()
            for at, key in enumerate(plans.arms):
                bar.move((at + 1) / (len(plans.arms) + 1), key)
                lift = _lift(oracle, plans, key)
                planted.append(Planted(experiment=key, relative_lift=lift))
        bar.note = ", ".join(f"{each.experiment} {each.relative_lift:+.1%}" for each in planted)
        return plans, planted

    def configure(self, plans: Plans, bar: Bar) -> None:
        """Creates layers, parameters and experiments over HTTP, starts them, and waits until they are in force."""
        admin = self.installation.admin
        for layer in plans.layers:
            admin.create_layer(layer_document(layer))
        for parameter in plans.parameters:
            admin.create_parameter(parameter_document(parameter))
        for experiment in plans.experiments:
            admin.create_experiment(experiment_document(experiment))
            admin.move_experiment(experiment.key, "start")
        wanted = self.installation.stores.configuration.version()
        unit = self.world.readers.units[0]
        self.installation.wait(
            lambda: int(str(admin.explain(unit)["snapshot"])) >= wanted, "the web process to take the configuration"
        )
        bar.note = f"{len(plans.layers)} layers, {len(plans.experiments)} experiments started"

    def send_traffic(self, plans: Plans, schedule: Schedule, bar: Bar) -> Sent:
        """Lets the readers come, over real HTTP with a client's key."""
        key = self.installation.admin.create_key("readers", "client")
        glass = LookKeeper(self, [each.key for each in plans.experiments], bar)
        traffic = Traffic(
            world=self.world,
            schedule=schedule,
            service=RemoteClient(self.installation.url, key, patience_seconds=120.0),
            start=self.start,
            glass=glass,
        )
        sent = traffic.run()
        counts = sent.tally.counts
        bar.note = (
            f"{counts['slate']:,} pages, click rate {counts['click'] / max(counts['impression'], 1):.2%}, "
            f"{sent.fallbacks} fallbacks"
        )
        return sent

    def await_verdicts(self, plans: Plans, bar: Bar) -> dict[str, Document]:
        """The last report of each experiment, made after everything was ingested and the planned days were over."""
        self.installation.wait_until_ingested()
        end = self.start + timedelta(days=self.days)
        self.installation.set_time(end)
        keys = [each.key for each in plans.experiments]
        reports = self.await_reports(keys, end)
        bar.note = ", ".join(f"{key}: {_decision(report)}" for key, report in reports.items())
        return reports

    def await_reports(self, keys: Sequence[str], moment: datetime) -> dict[str, Document]:
        """The newest report of each experiment, once all of them are as of `moment` or later."""
        reports: dict[str, Document] = {}

        def are_fresh() -> bool:
            for key in keys:
                if key not in reports or _as_of(reports[key]) < moment:
                    try:
                        reports[key] = self.installation.admin.report(key)
                    except NotFound:
                        return False
            return all(_as_of(report) >= moment for report in reports.values())

        self.installation.wait(are_fresh, f"reports as of {moment:%Y-%m-%d %H:%M}")
        return reports


class LookKeeper:
    """Moves the clock hour by hour, and stops it where a look is due until the workers have taken that look.

    So a look sees exactly what happened before it, however fast this machine is, and the same seed gives the same
    reports. The workers know nothing of it: they ingest and analyse on their schedule.
    """

    def __init__(self, newsroom: Newsroom, experiments: Sequence[str], bar: Bar) -> None:
        self._newsroom, self._experiments, self._bar = newsroom, experiments, bar
        hours = newsroom.days * HOURS_A_DAY
        self._hours = hours
        self._due = {math.ceil(hours * look / LOOKS) for look in range(1, LOOKS)}

    def open_hour(self, hour: int, at: datetime) -> None:
        """Moves the clock to the hour; at a look, not before everything is ingested, and on only when it is taken."""
        self._bar.move(hour / self._hours, f"day {1 + hour // HOURS_A_DAY} of {self._newsroom.days}")
        installation = self._newsroom.installation
        if hour not in self._due:
            installation.set_time(at)
            return
        installation.wait_until_ingested()
        installation.set_time(at)
        self._newsroom.await_reports(self._experiments, at)

    def close_hour(self, hour: int, at: datetime) -> None:  # noqa: ARG002 - the protocol has it
        """Moves the clock to the hour's end."""
        self._newsroom.installation.set_time(at)


def _lift(oracle: Oracle, plans: Plans, experiment: str) -> float:
    return round(oracle.relative_lift(experiment, plans.arms, plans.defaults), 4)


def _offline(version: Document) -> str:
    metrics = version.get("metrics")
    auc = metrics.get("auc") if isinstance(metrics, Mapping) else None
    return f"{version['reference']}" + (f" AUC {auc:.3f}" if isinstance(auc, float) else "")


def _as_of(report: Document) -> datetime:
    return datetime.fromisoformat(str(report["as_of"]))


def _decision(report: Document) -> str:
    verdict = report["verdict"]
    if not isinstance(verdict, Mapping):
        raise Unavailable(f"the report has no verdict but {verdict!r}; is the service of this version?")
    return str(verdict["decision"])
