"""flagd's own evaluator, over the exported document as JSON, gives every unit the variant and value that we give."""

import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext

from configurations import contexts, draft, live_configurations, spread, units
from flagd_configurations import CONTEXTS, everything, live
from lamella.experiments.flagd_export import HASH_VERSION, flagd_document
from lamella.experiments.flags import Flags, units_of
from lamella.experiments.model import Configuration, Json, ParameterType
from lamella.experiments.snapshot import compile_snapshot

ALPHABETS = ("reader-", "读者-", "lecteur-é-", "👩🏽‍💻", "קורא-", "x" * 200)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


class Pair:
    """Our snapshot and flagd's evaluator over its export, which went through JSON."""

    def __init__(self, configuration: Configuration) -> None:
        self.snapshot = compile_snapshot(configuration)
        self.flags = Flags(self.snapshot)
        self.core = FlagdCore()
        self.core.set_flags(json.dumps(flagd_document(self.snapshot)))
        self.types = {one.key: one.type for one in configuration.parameters}

    def theirs(self, key: str, unit: str, context: Mapping[str, Json]) -> tuple[str | None, object]:
        asked = EvaluationContext(targeting_key=unit, attributes=dict(context))  # type: ignore[arg-type]
        core = self.core
        resolve = {
            ParameterType.STRING: lambda: core.resolve_string_value(key, "?", asked),
            ParameterType.INTEGER: lambda: core.resolve_integer_value(key, -1, asked),
            ParameterType.FLOAT: lambda: core.resolve_float_value(key, -1.0, asked),
            ParameterType.BOOLEAN: lambda: core.resolve_boolean_value(key, default_value=False, ctx=asked),
            ParameterType.OBJECT: lambda: core.resolve_object_value(key, {}, asked),
        }[self.types[key]]
        found = resolve()
        return found.variant, found.value

    def differences(
        self, names: Sequence[str], context: Mapping[str, Json], seen: Counter[str], *, each: int = 99
    ) -> list[object]:
        """Where the two differ on `each` of the flags for every unit, another few for the next one."""
        found: list[object] = []
        keys = list(self.flags)
        for number, unit in enumerate(names):
            if "deviceKey" in context:
                context = {**context, "deviceKey": f"device-of-{unit}"}
            decision = self.snapshot.assign(units_of(unit, context), context)
            asked = {keys[(number + i) % len(keys)] for i in range(each)}
            for ours in self.flags.evaluate(decision, sorted(asked)):
                assert ours.value == decision.parameters[ours.key]
                seen[f"{ours.key}={ours.variant}"] += 1
                theirs = self.theirs(ours.key, unit, context)
                if theirs != (ours.variant, ours.value):
                    found.append((unit, dict(context), ours, theirs))
        return found


@pytest.mark.parametrize("context", CONTEXTS, ids=str)
def test_flagd_gives_the_same_variant_and_value_in_every_context(context: Mapping[str, Json]) -> None:
    pair = Pair(everything())
    names = [unit for alphabet in ALPHABETS for unit in spread(60, alphabet)] + ["editor-1", "编辑-2"]
    assert pair.differences(names, context, Counter())[:3] == []


@pytest.mark.parametrize("units_of_each", [500, pytest.param(16_667, marks=pytest.mark.long, id="100_000 units")])
def test_flagd_gives_the_same_variant_over_domains_layers_rules_holdouts_and_forced_variants(
    units_of_each: int,
) -> None:
    pair = Pair(everything())
    seen: Counter[str] = Counter()
    spreads = [spread(units_of_each, f"{alphabet}many-") for alphabet in ALPHABETS]
    names = [unit for one in spreads for unit in one] + ["editor-1", "编辑-2"]
    found: list[object] = []
    for number, context in enumerate(CONTEXTS):
        found += pair.differences(names[number :: len(CONTEXTS)], context, seen, each=2)
    assert found[:3] == []
    named = {f"{key}={name}" for key in pair.flags for name in [*pair.flags.flag(key).names.values(), "default"]}
    # Nobody reaches a paused experiment, a variant of weight 0 is for the allow-list alone.
    assert {one for one in named - seen.keys() if "paused" not in one and "off" not in one} == set()


@settings(max_examples=60)
@given(configuration=live_configurations(), names=st.lists(units, min_size=1, max_size=6), context=contexts)
def test_flagd_agrees_over_any_configuration_of_the_newsroom(
    configuration: Configuration, names: list[str], context: dict[str, Json]
) -> None:
    assert Pair(configuration).differences(names, context, Counter()) == []


def test_the_kill_switch_gives_everybody_the_default() -> None:
    pair = Pair(replace(everything(), killed=True))
    seen: Counter[str] = Counter()
    assert pair.differences([*spread(50), "editor-1"], {}, seen) == []
    assert {one.partition("=")[2] for one in seen} == {"default"}


def test_the_export_names_its_hash_and_its_snapshot() -> None:
    metadata = flagd_document(compile_snapshot(everything()))["metadata"]
    assert isinstance(metadata, Mapping)
    assert (metadata["hashVersion"], metadata["snapshot"]) == (HASH_VERSION, 7)


def test_a_flag_asked_without_a_unit_is_the_default() -> None:
    pair = Pair(everything())
    assert pair.core.resolve_string_value("recall.model", "?", EvaluationContext()).variant == "default"


def test_a_rule_that_cannot_be_exported_disables_its_flags_and_says_why() -> None:
    configuration = everything()
    rule: Json = {"reduce": [{"var": "tags"}, {"+": [{"var": "current"}, 1]}, 0]}
    strange = live(30, draft("strange", layer="recall", ranges=[(9000, 9500)], rule=rule, values={"treatment": {}}))
    flags = flagd_document(compile_snapshot(replace(configuration, experiments=(*configuration.experiments, strange))))[
        "flags"
    ]
    assert isinstance(flags, Mapping)
    recall, ranking = flags["recall.model"], flags["slate.size"]
    assert isinstance(recall, Mapping)
    assert isinstance(ranking, Mapping)
    assert (recall["state"], ranking["state"]) == ("DISABLED", "ENABLED")
    assert "strange" in str(recall["metadata"])
