"""Reading a report document: plain JSON in, validated view values out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from lamella.errors import InvalidInput
from lamella.experiments.model import Json
from lamella.reporting import view

SCHEMA = "lamella.report/1"
EXPLORED = ("series", "segments", "interactions", "health")

Document = Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Node:
    """A value of the document together with where it stands, so that a fault can name it."""

    value: Json
    path: str

    def fault(self, wanted: str) -> InvalidInput:
        """The error for a value that is not what the schema says."""
        return InvalidInput(f"report document: {self.path} is {str(self.value)[:60]!r}, expected {wanted}")

    def at(self, key: str) -> "Node":
        """The member `key`. Raises InvalidInput where it is missing."""
        members = self.members()
        if key not in members:
            raise InvalidInput(f"report document: {self.path + '.' if self.path else ''}{key} is missing")
        return Node(members[key], f"{self.path}.{key}" if self.path else key)

    def maybe(self, key: str) -> "Node | None":
        """The member `key`; None where it is missing or null."""
        return None if self.members().get(key) is None else self.at(key)

    def members(self) -> Mapping[str, Json]:
        """The value as an object."""
        if not isinstance(self.value, Mapping):
            raise self.fault("an object")
        return self.value

    def elements(self) -> "list[Node]":
        """The value as a list."""
        if isinstance(self.value, str | bytes) or not isinstance(self.value, Sequence):
            raise self.fault("a list")
        return [Node(element, f"{self.path}[{index}]") for index, element in enumerate(self.value)]

    def text(self) -> str:
        """The value as text."""
        if not isinstance(self.value, str):
            raise self.fault("text")
        return self.value

    def text_or_none(self) -> str | None:
        """The value as text, or None for null."""
        return None if self.value is None else self.text()

    def number(self) -> float:
        """The value as a finite number."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float) or not math.isfinite(self.value):
            raise self.fault("a finite number")
        return float(self.value)

    def number_or_none(self) -> float | None:
        """The value as a finite number, or None for null."""
        return None if self.value is None else self.number()

    def count(self) -> int:
        """The value as a whole number."""
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            raise self.fault("a whole number")
        return self.value

    def flag(self) -> bool:
        """The value as true or false."""
        if not isinstance(self.value, bool):
            raise self.fault("true or false")
        return self.value

    def moment(self) -> datetime:
        """The value as an aware time; a time without an offset is UTC."""
        try:
            moment = datetime.fromisoformat(self.text())
        except ValueError:
            raise self.fault("an ISO 8601 time") from None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def read_report(document: Document) -> view.Report:
    """The report as view values. Raises InvalidInput for another schema, or for a missing or mistyped member."""
    root = Node(document, "")
    schema = root.at("schema").value
    if schema != SCHEMA:
        raise InvalidInput(f"report document: schema is {str(schema)[:60]!r}, this version reads {SCHEMA!r}")
    experiment = root.at("experiment")
    return view.Report(
        key=experiment.at("key").text(),
        name=experiment.at("name").text(),
        layer=experiment.at("layer").text(),
        hypothesis=experiment.at("hypothesis").text(),
        status=experiment.at("status").text(),
        owner=experiment.at("owner").text(),
        phase=experiment.at("phase").count(),
        phase_number=experiment.at("phase_number").count(),
        started_at=experiment.at("started_at").moment(),
        as_of=root.at("as_of").moment(),
        snapshot=root.at("snapshot").count(),
        plan=_plan(root.at("plan")),
        looks=_looks(root.at("looks")),
        checks=tuple(_check(node) for node in root.at("checks").elements()),
        variants=tuple(_variant(node) for node in root.at("variants").elements()),
        metrics=tuple(_metric(node) for node in root.at("metrics").elements()),
        verdict=_verdict(root.at("verdict")),
        inputs=root.at("inputs").members(),
        explored={key: document[key] for key in EXPLORED if document.get(key) is not None},
    )


def read_truth(truth: Mapping[str, Json]) -> view.Truth:
    """What was planted, out of `{"planted", "relative_lift_planted", "correct"}`. Raises InvalidInput."""
    node = Node(truth, "truth")
    lift, correct = node.maybe("relative_lift_planted"), node.maybe("correct")
    planted = node.at("planted")
    if planted.value not in ("effect", "none"):
        raise planted.fault("'effect' or 'none'")
    return view.Truth(
        planted=planted.text(),
        relative_lift=lift.number() if lift else None,
        correct=correct.flag() if correct else None,
    )


def _interval(node: Node) -> view.Interval | None:
    if node.value is None:
        return None
    bounds = node.elements()
    if len(bounds) != 2:
        raise node.fault("two bounds")
    return view.Interval(low=bounds[0].number_or_none(), high=bounds[1].number_or_none())


def _plan(node: Node) -> view.Plan:
    guardrails = node.maybe("guardrails")
    effect, days, alpha = node.maybe("minimum_effect"), node.maybe("planned_days"), node.maybe("alpha")
    return view.Plan(
        primary_metric=node.at("primary_metric").text(),
        margins={
            guardrail.at("metric").text(): guardrail.at("margin").number()
            for guardrail in (guardrails.elements() if guardrails else ())
        },
        minimum_effect=effect.number() if effect else None,
        planned_days=days.number() if days else None,
        alpha=alpha.number() if alpha else None,
        fields=node.members(),
    )


def _looks(node: Node) -> view.Looks:
    planned, information, history = node.at("planned"), node.at("information"), node.maybe("history")
    stops = tuple(
        view.Stop(
            information=look.at("information").number(),
            z=look.at("z").number_or_none(),
            boundary=look.at("boundary").number_or_none(),
        )
        for look in (history.elements() if history else ())
    )
    return view.Looks(
        taken=node.at("taken").count(),
        planned=None if planned.value is None else planned.count(),
        information=information.number_or_none(),
        stops=stops,
    )


def _check(node: Node) -> view.Check:
    passed = node.at("passed")
    return view.Check(
        key=node.at("check").text(),
        passed=None if passed.value is None else passed.flag(),
        blocking=node.at("blocking").flag(),
        p=node.at("p").number_or_none(),
        detail=node.at("detail").text(),
    )


def _variant(node: Node) -> view.Variant:
    return view.Variant(
        key=node.at("variant").text(),
        is_control=node.at("is_control").flag(),
        weight=node.at("weight").count(),
        units=node.at("units").count(),
        crossed=node.at("crossed").count(),
        slates=node.at("slates").count(),
        fallback_slates=node.at("fallback_slates").count(),
    )


def _metric(node: Node) -> view.Metric:
    return view.Metric(
        key=node.at("metric").text(),
        labels={"en": node.at("label").text(), "zh": node.at("label_zh").text()},
        kind=node.at("kind").text(),
        role=node.at("role").text(),
        direction=node.at("direction").text(),
        unit=node.at("unit").text(),
        arms=tuple(_arm(arm) for arm in node.at("arms").elements()),
        comparisons=tuple(_comparison(one) for one in node.at("comparisons").elements()),
    )


def _arm(node: Node) -> view.Arm:
    return view.Arm(
        variant=node.at("variant").text(),
        units=node.at("units").count(),
        value=node.at("value").number_or_none(),
        numerator=node.at("numerator").number_or_none(),
        denominator=node.at("denominator").number_or_none(),
        undefined=node.at("undefined").text_or_none(),
    )


def _comparison(node: Node, variant: str | None = None) -> view.Comparison:
    adjusted, bayes = node.maybe("adjusted"), node.maybe("bayes")
    key = node.at("variant").text() if variant is None else variant
    return view.Comparison(
        variant=key,
        difference=node.at("difference").number_or_none(),
        difference_ci=_interval(node.at("difference_ci")),
        relative_lift=node.at("relative_lift").number_or_none(),
        ci=_interval(node.at("ci")),
        p=node.at("p").number_or_none(),
        p_adjusted=node.at("p_adjusted").number_or_none(),
        level=node.at("level").number_or_none(),
        method=node.at("method").text(),
        significant=node.at("significant").flag(),
        undefined=node.at("undefined").text_or_none(),
        adjusted=_comparison(adjusted, key) if adjusted else None,
        bayes=_bayes(bayes) if bayes else None,
    )


def _bayes(node: Node) -> view.Bayes:
    return view.Bayes(
        chance_to_win=node.at("chance_to_win").number_or_none(),
        expected_loss=node.at("expected_loss").number_or_none(),
    )


def _verdict(node: Node) -> view.Verdict:
    return view.Verdict(
        decision=node.at("decision").text(),
        variant=node.at("variant").text_or_none(),
        reason=node.at("reason").text(),
        numbers=node.at("numbers").members(),
    )
