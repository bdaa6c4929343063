import pytest
import yaml
from click.testing import CliRunner

from lamella.bootstrap.stores import stores
from lamella.cli import main
from lamella.config import Settings
from lamella.experiments.model import Layer
from lamella.metrics.definitions import METRICS
from lamella.services.configuring import Configuring


@pytest.fixture
def run(sqlite_database_url, tmp_path, monkeypatch):
    """Runs `lamella config` over a store with one layer."""
    monkeypatch.setenv("LAMELLA_DATABASE_URL", sqlite_database_url)
    monkeypatch.setenv("LAMELLA_DATA_DIR", str(tmp_path))
    found = stores(Settings(database_url=sqlite_database_url))
    Configuring(found.configuration, found.clock, METRICS).create_layer(
        Layer(key="ranking", salt="ranking"), author="ann"
    )
    found.engine.dispose()

    def config(*arguments):
        return CliRunner().invoke(main, ["config", *arguments])

    return config


def test_what_is_exported_can_be_applied_and_changes_nothing(run, tmp_path):
    file = tmp_path / "lamella.yaml"
    assert run("export", "--out", str(file)).exit_code == 0
    assert file.read_text(encoding="utf-8") == run("export").output
    applied = run("apply", str(file))
    assert (applied.exit_code, applied.output) == (0, "nothing to change\n")


def test_a_dry_run_shows_what_would_change_and_changes_nothing(run, tmp_path):
    document = yaml.safe_load(run("export").output)
    document["layers"][0]["description"] = "Order"
    document["parameters"] = [{"key": "slate.size", "type": "integer", "default": 5, "layer": "ranking"}]
    file = tmp_path / "lamella.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    before = run("export").output
    dry = run("apply", str(file), "--dry-run")
    assert dry.exit_code == 0
    assert '~ /layers/ranking/description: "" -> "Order"' in dry.output
    assert "+ /parameters/slate.size: " in dry.output
    assert run("export").output == before
    assert "at version 2" in run("apply", str(file)).output
    assert yaml.safe_load(run("export").output)["layers"][0]["description"] == "Order"


def test_a_file_that_cannot_be_is_refused_with_its_place_and_exit_code_2(run, tmp_path):
    file = tmp_path / "lamella.yaml"
    file.write_text("layers:\n- key: ranking\n  key: other\n", encoding="utf-8")
    refused = run("apply", str(file))
    assert refused.exit_code == 2
    assert f"{file}:3:3: the key 'key' is given twice" in refused.output
    file.write_text("layers:\n- key: ranking\n  colour: red\n", encoding="utf-8")
    assert "layers[0] has an unknown field 'colour'" in run("apply", str(file)).output
    missing = run("apply", str(tmp_path / "none.yaml"))
    assert missing.exit_code == 2
    assert "cannot be read" in missing.output


def test_with_approvals_an_applied_file_is_only_proposed(run, tmp_path, monkeypatch):
    monkeypatch.setenv("LAMELLA_APPROVALS_REQUIRED", "true")
    file = tmp_path / "lamella.yaml"
    file.write_text("layers: []\n", encoding="utf-8")
    assert "a second person has to approve it" in run("apply", str(file)).output
    assert "ranking" in run("export").output
