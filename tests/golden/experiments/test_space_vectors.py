"""Assignments through domains, holdouts, prerequisites and other units that may never change."""

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest

from lamella.experiments.document import configuration_from_document
from lamella.experiments.explain import explain
from lamella.experiments.model import UnitKind
from lamella.experiments.snapshot import compile_snapshot

FILE: Final = Path(__file__).with_name("space_vectors.json")
VECTORS: Final[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))
IN_ANOTHER_PROCESS: Final = """
import json, sys
from datetime import datetime
from lamella.experiments.document import configuration_from_document
from lamella.experiments.model import UnitKind
from lamella.experiments.snapshot import compile_snapshot
vectors = json.load(open(sys.argv[1], encoding="utf-8"))
snapshot = compile_snapshot(
    configuration_from_document(vectors["configuration"]), datetime.fromisoformat(vectors["at"])
)
for one in vectors["decisions"]:
    units = {UnitKind(kind): unit for kind, unit in one["units"].items()}
    remembered = {int(phase): variant for phase, variant in one["remembered"].items()}
    decision = snapshot.assign(units, one["context"], remembered=remembered)
    print(json.dumps([dict(decision.parameters), [each._asdict() for each in decision.assignments]]))
"""


@pytest.mark.parametrize("vector", VECTORS["decisions"], ids=lambda vector: ascii(vector["units"]["user"])[:40])
def test_every_decision_is_what_it_was_and_explained(vector: dict[str, Any]) -> None:
    at = datetime.fromisoformat(VECTORS["at"])
    snapshot = compile_snapshot(configuration_from_document(VECTORS["configuration"]), at)
    units = {UnitKind(kind): unit for kind, unit in vector["units"].items()}
    remembered = {int(phase): variant for phase, variant in vector["remembered"].items()}
    decision = snapshot.assign(units, vector["context"], remembered=remembered)
    assert decision.parameters == vector["parameters"]
    assert [one._asdict() for one in decision.assignments] == vector["assignments"]
    assert explain(snapshot, units, vector["context"], remembered=remembered)["parameters"] == vector["parameters"]


def test_the_vectors_show_every_way_to_get_nothing() -> None:
    details = {one["detail"] for vector in VECTORS["decisions"] for one in vector["assignments"]}
    assert details >= {
        "held out by 'global'",
        "held out by 'home'",
        "outside domain 'solo'",
        "outside domain 'corner'",
        "in the non-overlapping domain 'solo'",
        "the request names no device",
        "requires 'recall-x' in b",
        "on the allow-list",
        "in no experiment",
    }
    assert any("keeps such units" in detail for detail in details)


def test_another_process_decides_the_same() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS, str(FILE)],
        capture_output=True,
        check=True,
        encoding="utf-8",
        env={"PYTHONHASHSEED": "7", "PYTHONPATH": ":".join(sys.path)},
    )
    told = [json.loads(line) for line in answer.stdout.splitlines()]
    assert told == [[one["parameters"], one["assignments"]] for one in VECTORS["decisions"]]
