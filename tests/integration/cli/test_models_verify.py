"""`lamella models verify`: every file of every version against what was recorded."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from insight_samples import AT, trained_model
from lamella.adapters.sql.catalogue import SqlModelCatalogue
from lamella.adapters.sql.engine import create_engine
from lamella.cli.root import main
from lamella.recommenders.registry import FolderRegistry


@pytest.fixture
def models(sqlite_database_url, tmp_path, monkeypatch) -> Path:
    """The folder of mf@1, mf@2 and mf@3."""
    monkeypatch.setenv("LAMELLA_DATABASE_URL", sqlite_database_url)
    monkeypatch.setenv("LAMELLA_DATA_DIR", str(tmp_path / "data"))
    engine = create_engine(sqlite_database_url)
    registry = FolderRegistry(tmp_path / "data" / "models", SqlModelCatalogue(engine))
    trained = trained_model({"model.keras": b"weights"})
    for _ in range(3):
        registry.publish(trained, name="mf", at=AT)
    engine.dispose()
    return tmp_path / "data" / "models" / "mf"


def verify(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["models", "verify", *arguments])


def test_what_is_as_it_was_published_is_intact(models):
    assert verify().output == "mf@3: intact\nmf@2: intact\nmf@1: intact\n"
    assert verify("mf@2").output == "mf@2: intact\n"


def test_every_spoilt_version_is_named_and_the_intact_ones_too(models):
    (models / "3" / "serving.npz").write_bytes(b"other")
    (models / "2" / "manifest.json").unlink()
    result = verify()
    assert (result.exit_code, result.stdout) == (1, "mf@1: intact\n")
    assert "mf@3: " in result.stderr
    assert "mf@2: " in result.stderr


def test_a_file_that_does_not_serve_is_compared_too(models):
    (models / "1" / "model.keras").write_bytes(b"others")
    assert verify("mf@1").exit_code == 1
    assert "model.keras has sha256" in verify("mf@1").stderr
