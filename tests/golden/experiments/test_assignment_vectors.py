"""Assignments that may never change: a difference here would move readers of running experiments."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import cbor2
import pytest

from lamella.experiments.document import configuration_from_document
from lamella.experiments.hashing import Salt, hash32, scale
from lamella.experiments.model import BUCKETS
from lamella.experiments.snapshot import compile_snapshot

FILE: Final = Path(__file__).with_name("assignment_vectors.json")
VECTORS: Final[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))
WORD: Final = 0xFFFFFFFF
IN_ANOTHER_PROCESS: Final = """
import json, sys
from lamella.experiments.document import configuration_from_document
from lamella.experiments.snapshot import compile_snapshot
vectors = json.load(open(sys.argv[1], encoding="utf-8"))
snapshot = compile_snapshot(configuration_from_document(vectors["configuration"]))
asked = [snapshot.assign(one["unit"], one["context"]) for one in vectors["decisions"]]
print(json.dumps([[dict(one.parameters), [each._asdict() for each in one.assignments]] for one in asked]))
"""


def rotated(value: int, by: int) -> int:
    return ((value << by) | (value >> (32 - by))) & WORD


def mixed(block: int) -> int:
    return rotated(block * 0xCC9E2D51 & WORD, 15) * 0x1B873593 & WORD


def murmur3(message: bytes) -> int:
    """murmur3_x86_32 with seed 0, by Appleby's description."""
    state, whole = 0, len(message) // 4 * 4
    for i in range(0, whole, 4):
        state = (rotated(state ^ mixed(int.from_bytes(message[i : i + 4], "little")), 13) * 5 + 0xE6546B64) & WORD
    state ^= mixed(int.from_bytes(message[whole:], "little"))
    state ^= len(message)
    state = (state ^ state >> 16) * 0x85EBCA6B & WORD
    state = (state ^ state >> 13) * 0xC2B2AE35 & WORD
    return state ^ state >> 16


@pytest.mark.parametrize("vector", VECTORS["hashes"], ids=lambda vector: ascii(vector["unit"])[:40])
def test_every_hash_and_bucket_is_what_it_was(vector: dict[str, Any]) -> None:
    salt, unit = vector["salt"], vector["unit"]
    assert hash32(salt, unit) == Salt(salt).hash(unit.encode()) == vector["hash"]
    assert scale(vector["hash"], BUCKETS) == vector["bucket"]
    assert murmur3(cbor2.dumps(f"{salt}:{unit}", canonical=True)) == vector["hash"]


@pytest.mark.parametrize("vector", VECTORS["decisions"], ids=lambda vector: ascii(vector["unit"])[:40])
def test_every_decision_is_what_it_was(vector: dict[str, Any]) -> None:
    snapshot = compile_snapshot(configuration_from_document(VECTORS["configuration"]))
    decision = snapshot.assign(vector["unit"], vector["context"])
    assert decision.parameters == vector["parameters"]
    assert [one._asdict() for one in decision.assignments] == vector["assignments"]


def test_the_vectors_show_every_reason_and_every_variant() -> None:
    told = [one for vector in VECTORS["decisions"] for one in vector["assignments"]]
    assert {one["reason"] for one in told} == {"STATIC", "SPLIT", "TARGETING_MATCH", "DISABLED", "DEFAULT"}
    assert {one["variant"] for one in told} == {None, "control", "textcnn", "two-tower", "diverse"}


def test_another_process_decides_the_same() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS, str(FILE)],
        capture_output=True,
        check=True,
        encoding="utf-8",
        env={"PYTHONHASHSEED": "7"},
    )
    assert json.loads(answer.stdout) == [[one["parameters"], one["assignments"]] for one in VECTORS["decisions"]]
