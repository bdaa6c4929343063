"""report.json: what was simulated, what was stored, and each verdict beside the truth that it was after."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lamella.errors import Conflict
from lamella.experiments.model import Json

EFFECT: Final = "effect"
NONE: Final = "none"

Document = Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """What is true of an experiment: its treatment's relative lift in click rate, exactly 0 where nothing differs."""

    experiment: str
    relative_lift: float

    @property
    def is_effect(self) -> bool:
        """Whether the treatment changes anything."""
        return self.relative_lift != 0

    def is_told_by(self, decision: str) -> bool:
        """Whether a verdict says what is true.

        With nothing planted: no_difference or keep_running. A true lift above 0: ship. Below 0: keep_control or
        stop_for_harm.
        """
        if not self.is_effect:
            return decision in ("no_difference", "keep_running")
        if self.relative_lift > 0:
            return decision == "ship"
        return decision in ("keep_control", "stop_for_harm")

    def document(self, report: Document) -> dict[str, Json]:
        """What was planted, beside whether the report's verdict is right about it."""
        return {
            "planted": EFFECT if self.is_effect else NONE,
            "relative_lift_planted": self.relative_lift,
            "correct": self.is_told_by(decision_of(report)),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a demo ended. `simulated` and `stored` count records by kind; `reports` are the last ones, by experiment."""

    seed: int
    store: str
    seconds: Mapping[str, float]
    simulated: Mapping[str, int]
    stored: Mapping[str, int]
    reports: Mapping[str, Document]
    planted: Mapping[str, Planted]

    @property
    def truth(self) -> dict[str, dict[str, Json]]:
        """What was planted and whether it was told, by experiment."""
        return {key: self.planted[key].document(report) for key, report in self.reports.items()}

    def check_counts(self) -> None:
        """Returns where the record holds exactly what was sent. Raises Conflict that names every kind that differs."""
        faults = [
            f"{kind}: {count} sent, {self.stored.get(kind, 0)} stored"
            for kind, count in self.simulated.items()
            if self.stored.get(kind, 0) != count
        ]
        if faults:
            raise Conflict(f"the record does not hold what was sent ({'; '.join(faults)}); see the logs of the worker")

    def document(self) -> dict[str, Json]:
        """report.json."""
        return {
            "seed": self.seed,
            "store": self.store,
            "seconds": dict(self.seconds),
            "counts": {
                kind: {"simulated": count, "stored": self.stored.get(kind, 0)} for kind, count in self.simulated.items()
            },
            "experiments": [
                {**_experiment(report), **_ordered(self.planted[key].document(report), report)}
                for key, report in self.reports.items()
            ],
        }


def decision_of(report: Document) -> str:
    """The decision of a report's verdict."""
    return str(_object(report["verdict"])["decision"])


def _experiment(report: Document) -> dict[str, Json]:
    about = _object(report["experiment"])
    return {"key": about["key"], "layer": about["layer"]}


def _ordered(truth: Document, report: Document) -> dict[str, Json]:
    return {
        "planted": truth["planted"],
        "relative_lift_planted": truth["relative_lift_planted"],
        "verdict": decision_of(report),
        "correct": truth["correct"],
        "metrics": [row for metric in _objects(report["metrics"]) for row in _metric_rows(metric)],
        "srm_p": next((each["p"] for each in _objects(report["checks"]) if each["check"] == "sample_ratio"), None),
    }


def _metric_rows(metric: Document) -> list[dict[str, Json]]:
    """One row an arm; control has no lift, and null bounds."""
    compared = {str(each["variant"]): each for each in _objects(metric["comparisons"])}
    rows: list[dict[str, Json]] = []
    for arm in _objects(metric["arms"]):
        comparison = compared.get(str(arm["variant"]), {})
        rows.append(
            {
                "metric": metric["metric"],
                "variant": arm["variant"],
                "value": arm["value"],
                "relative_lift": comparison.get("relative_lift"),
                "ci": comparison.get("ci") or [None, None],
                "p": comparison.get("p"),
            }
        )
    return rows


def _object(value: Json) -> Document:
    if not isinstance(value, Mapping):
        raise TypeError(f"a report holds an object here, not {value!r}")
    return value


def _objects(value: Json) -> Sequence[Document]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise TypeError(f"a report holds an array here, not {value!r}")
    return [_object(each) for each in value]
