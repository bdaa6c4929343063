"""What a report shows besides the plan: series, segments, interactions and health, all labelled exploratory.

None of it enters the verdict. It reads more of the record than the plan's metrics do, so that a report takes over
what the phase's last one explored, unless that is older than REFRESH. Each part that fails says so and costs no other.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from lamella.errors import Unavailable
from lamella.experiments.model import DeclaredMetric, Json
from lamella.metrics.definitions import METRICS, Metric, needed_columns
from lamella.services.allowance import Allowance
from lamella.services.budgeting import Round
from lamella.services.comparing import roles
from lamella.services.daily import series_document
from lamella.services.figures import LABEL
from lamella.services.health import recommender_document, service_document
from lamella.services.interacting import Pairs, interactions_document
from lamella.services.measure_ports import FactStore, Stretch
from lamella.services.measuring import catalogue, planned, stretch_of
from lamella.services.schedule import data_until
from lamella.services.segmenting import segments_document
from lamella.services.subjects import Subject

REFRESH: Final = timedelta(hours=20)
MOST_ATTRIBUTES: Final = 4
MOST_SEGMENTS: Final = 12
SECONDS: Final = 30.0
"""After so long a report explores nothing more but the health of its arms."""
KEYS: Final = ("series", "segments", "interactions", "health")
"""The parts of a report that are explored."""


class Explored(NamedTuple):
    """The explored parts of a report, by KEYS, and whether they were found now."""

    parts: dict[str, Json]
    is_new: bool


def explored(
    subject: Subject,
    facts: FactStore,
    previous: Sequence[Mapping[str, Json]],
    now: datetime,
    turn: Round | None = None,
) -> Explored:
    """The explored parts of a report as of `now`, or those of the newest of `previous` where they will do.

    No parts, for a later report to explore, where the round whose `turn` it is cannot afford the experiment. Once the
    data has come to its end it is explored all the same, one time: what the verdict ends gets no later report.
    """
    until = data_until(subject.experiment.plan, subject.phase, now)
    is_over = until < now
    newest = previous[-1] if previous else {}
    kept = _kept(newest, until, is_over=is_over)
    if kept is not None:
        return Explored(kept, is_new=False)
    if turn is None:
        return Explored(explore(subject, facts, until, Pairs()), is_new=True)
    key = subject.experiment.key
    is_last = is_over and not _is_as_of(newest, until)
    if not (is_last or turn.affords(key)):
        return Explored({}, is_new=False)
    with turn.budget.paying(key):
        return Explored(explore(subject, facts, until, turn.pairs), is_new=True)


def explore(subject: Subject, facts: FactStore, until: datetime, pairs: Pairs) -> dict[str, Json]:
    """Every explored part, from the record until then.

    After SECONDS no further attribute or pair of experiments is looked at; the parts name what is left out.
    """
    experiment, phase, configuration = subject
    plan = experiment.plan
    declared = planned(plan, configuration.metrics)
    stretch = stretch_of(plan, phase, until)
    metrics = [each.metric for each in roles(plan, catalogue(declared)) if each.role != LABEL]
    found = _Exploring(subject, facts, stretch, metrics, declared, pairs, Allowance(SECONDS))
    return {
        "series": _part(until, found.series),
        "segments": _part(until, found.segments),
        "interactions": _part(until, found.interactions),
        "health": _part(until, found.health),
    }


class _Exploring(NamedTuple):
    subject: Subject
    facts: FactStore
    stretch: Stretch
    metrics: list[Metric]
    declared: Sequence[DeclaredMetric]
    pairs: Pairs
    allowance: Allowance

    def series(self) -> dict[str, Json]:
        own = [each for each in self.metrics if each.key in METRICS]
        columns = needed_columns(own) or ("slates",)
        days = self.facts.days(self.stretch, columns)
        return series_document(days, own, self.subject.arms, self.subject.control, self.subject.phase.weights)

    def segments(self) -> dict[str, Json]:
        attributes = list(self.facts.attributes(self.stretch))
        by: list[Json] = []
        for name in attributes[:MOST_ATTRIBUTES]:
            if self.allowance.is_over:
                break
            by.append(self._segments(name))
        return {"attributes": [*attributes], "by": by, "left_out": [*attributes[len(by) :]]}

    def interactions(self) -> dict[str, Json]:
        primary = self.metrics[0]
        declared = next((each for each in self.declared if each.key == primary.key), None)
        about = (self.facts, self.subject, self.stretch, primary, declared)
        return interactions_document(*about, pairs=self.pairs, allowance=self.allowance)

    def health(self) -> dict[str, Json]:
        about = (self.facts, self.stretch, self.subject.arms, self.subject.control)
        return {"recommender": recommender_document(*about), "service": service_document(*about)}

    def _segments(self, name: str) -> dict[str, Json]:
        return segments_document(
            self.facts,
            self.stretch,
            [name],
            self.metrics,
            self.declared,
            arms=self.subject.arms,
            control=self.subject.control,
            weights=self.subject.phase.weights,
            most=MOST_SEGMENTS,
        )


def _part(until: datetime, make: Callable[[], dict[str, Json]]) -> dict[str, Json]:
    """The part, labelled; a failure is its content, except that the store is away, which costs the report."""
    head: dict[str, Json] = {"label": LABEL, "as_of": until.isoformat(), "failed": None}
    try:
        return {**head, **make()}
    except Unavailable:
        raise
    except Exception as error:  # noqa: BLE001 - no exploration may cost the report
        return {**head, "failed": f"{type(error).__name__}: {str(error)[:200]}"}


def _is_as_of(report: Mapping[str, Json], until: datetime) -> bool:
    """Whether the report has parts that were explored then, also where they failed."""
    parts = (report.get(key) for key in KEYS)
    return all(isinstance(part, Mapping) and part.get("as_of") == until.isoformat() for part in parts)


def _kept(report: Mapping[str, Json], until: datetime, *, is_over: bool) -> dict[str, Json] | None:
    """The explored parts of a report, where it has all and they are recent; at the end of a phase, of the end."""
    parts = {key: report.get(key) for key in KEYS}
    for part in parts.values():
        as_of = part.get("as_of") if isinstance(part, Mapping) else None
        if not isinstance(part, Mapping) or not isinstance(as_of, str) or part.get("failed") is not None:
            return None
        age = until - datetime.fromisoformat(as_of)
        if not timedelta(0) <= age < REFRESH or (is_over and age):
            return None
    return dict(parts)
