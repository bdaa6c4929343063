"""Segments on demand are computed in a process of their own, which reads the same store."""

from datetime import UTC, datetime, timedelta

import pytest

from lamella.adapters.sql.configuration import SqlConfigurationStore
from lamella.adapters.sql.engine import create_engine
from lamella.adapters.sql.journal import SqlJournal
from lamella.adapters.sql.record import SqlRecordStore
from lamella.bootstrap.elsewhere import SegmentsElsewhere
from lamella.config import Settings
from lamella.errors import InvalidInput
from lamella.events.codec import encode
from lamella.events.contract import Exposed, Impression, Slate
from lamella.experiments.document import experiment_from_document, layer_from_document
from lamella.experiments.model import Configuration
from lamella.testing.fakes import FakeClock

NOW = datetime.now(UTC)
EXPERIMENT = {
    "key": "main",
    "layer": "main",
    "name": "main",
    "hypothesis": "It helps",
    "status": "running",
    "ranges": [{"start": 0, "stop": 10_000}],
    "variants": [{"key": "a", "weight": 1, "is_control": True}, {"key": "b", "weight": 1}],
    "plan": {"primary_metric": "ctr", "method": "always_valid", "planned_days": None},
    "phases": [
        {
            "id": 1,
            "number": 1,
            "salt": "main",
            "started_at": (NOW - timedelta(days=2)).isoformat(),
            "ended_at": None,
            "weights": {"a": 1, "b": 1},
        }
    ],
}


def shown(number):
    return Slate(
        request_id=f"r{number}",
        unit=f"u{number}",
        time=NOW - timedelta(hours=1),
        exposures=(Exposed(phase=1, variant="ab"[number % 2]),),
        impressions=(Impression(item="i", rank=1, score=1.0, source="s"),),
        snapshot=1,
        context={"country": ("de", "fr")[number // 2 % 2]},
    )


def test_the_child_answers_what_the_store_holds_and_refuses_what_is_wrong(sqlite_database_url):
    engine = create_engine(sqlite_database_url)
    SqlConfigurationStore(engine).commit(
        Configuration(
            layers=(layer_from_document({"key": "main"}),), experiments=(experiment_from_document(EXPERIMENT),)
        ),
        author="t",
        action="t",
        at=NOW,
    )
    journal = SqlJournal(engine, FakeClock(NOW), limit=100)
    journal.append(encode([shown(number) for number in range(40)]))
    journal.close()
    SqlRecordStore(engine).ingest(limit=10, now=NOW)
    engine.dispose()
    ask = SegmentsElsewhere(Settings(database_url=sqlite_database_url))
    found = ask("main", ["country"], ["ctr"])
    assert [(each["values"], each["units"]) for each in found["segments"]] == [
        ({"country": "de"}, {"a": 10, "b": 10}),
        ({"country": "fr"}, {"a": 10, "b": 10}),
    ]
    with pytest.raises(InvalidInput, match="one or two"):
        ask("main", ["a", "b", "c"], [])
