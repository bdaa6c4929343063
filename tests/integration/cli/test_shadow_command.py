"""What a shadow was seen to do, in the terminal; and why a version stands where it does."""

import json
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from lamella.adapters.sql.catalogue import SqlModelCatalogue
from lamella.adapters.sql.engine import create_engine
from lamella.adapters.sql.shadows import SqlShadowStore
from lamella.cli.root import main
from lamella.services.model_ports import ModelVersion
from lamella.services.shadow_ports import ShadowTotal

AT = datetime(2026, 3, 2, 8, tzinfo=UTC)
TOTAL = ShadowTotal(
    shadow="mf@1", live="mf@2", stage="rank", requests=3, compared=2, errors=1, items=1_500, overlap=1.5
)


@pytest.fixture
def store(sqlite_database_url, tmp_path, monkeypatch):
    monkeypatch.setenv("LAMELLA_DATABASE_URL", sqlite_database_url)
    monkeypatch.setenv("LAMELLA_DATA_DIR", str(tmp_path / "data"))
    engine = create_engine(sqlite_database_url)
    SqlModelCatalogue(engine).add(
        ModelVersion(
            name="mf",
            number=1,
            kind="mf",
            created_at=AT,
            digest="",
            size_bytes=0,
            hyperparameters={},
            metrics={},
            stamp={},
        )
    )
    yield engine
    engine.dispose()


def run(*arguments):
    result = CliRunner().invoke(main, ["models", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_shadow_is_shown_beside_the_versions_that_answered(store):
    assert "was not asked yet" in run("shadow", "mf@1")
    SqlShadowStore(store).add([TOTAL], [("mf@1", "a"), ("mf@1", "b")])
    shown = run("shadow", "mf@1")
    assert "mf@2" in shown
    assert "0.750" in shown
    assert "2 different items of 1,500" in shown
    assert json.loads(run("shadow", "mf@1", "--json"))["comparisons"][0]["overlap_at_k"] == 0.75


def test_an_unknown_version_is_one_sentence(store):
    result = CliRunner().invoke(main, ["models", "shadow", "mf@9"])
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)


def test_the_list_says_why_a_version_stands_where_it_does(store):
    reason = "retreated: 3 of 20 answers failed, of mf@2 0 of 90"
    SqlModelCatalogue(store).stage("mf@1", "candidate", share=0.0, at=AT, reason=reason)
    (found,) = json.loads(run("list", "--json"))
    assert (found["stage"], found["reason"]) == ("candidate", reason)
    SqlModelCatalogue(store).stage("mf@1", "canary", share=0.1, at=AT)
    (found,) = json.loads(run("list", "--json"))
    assert (found["stage"], found["reason"]) == ("canary", "")
