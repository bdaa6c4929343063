"""Looking inside a published model from the command line."""

import json
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from insight_samples import AT, PACKED_CURVE, catalogue_items, topical_model, trained_model
from lamella.adapters.sql.catalogue import SqlCatalogue, SqlModelCatalogue
from lamella.adapters.sql.engine import create_engine
from lamella.cli.root import main
from lamella.recommenders.registry import FolderRegistry


@pytest.fixture
def published(sqlite_database_url, tmp_path, monkeypatch):
    """A model in a registry of its own, its items in the catalogue."""
    monkeypatch.setenv("LAMELLA_DATABASE_URL", sqlite_database_url)
    monkeypatch.setenv("LAMELLA_DATA_DIR", str(tmp_path / "data"))
    engine = create_engine(sqlite_database_url)
    model = topical_model()
    SqlCatalogue(engine).put(catalogue_items(model))
    trained = trained_model({"curve.json": PACKED_CURVE}, model)
    version = FolderRegistry(tmp_path / "data" / "models", SqlModelCatalogue(engine)).publish(trained, name="mf", at=AT)
    engine.dispose()
    return version.reference


def run(*arguments):
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code == 0, result.output
    return result.stdout


def test_an_insight_is_shown_as_text_as_json_and_as_pictures(published, tmp_path):
    shown = run("models", "insight", published, "--out", str(tmp_path / "out"), "--clusters", "4")
    assert "epoch 5 was kept" in shown
    assert "biases of 239 items" in shown
    assert "politics 100%" in shown
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == ["insight.html", "item-biases.svg", "learning-curve.svg", "map.svg", "user-biases.svg"]
    for name in files[1:]:
        assert f"wrote {tmp_path / 'out' / name}" in shown
        ET.parse(tmp_path / "out" / name)
    document = json.loads(run("models", "insight", "mf", "--json", "--points", "10"))
    assert (document["reference"], len(document["map"]["points"])) == (published, 10)
    assert document == json.loads(run("models", "insight", "mf", "--json", "--points", "10"))


def test_the_nearest_items_are_shown_with_their_titles(published):
    shown = run("models", "nearest", published, "item/001", "--k", "3")
    assert shown.count("Sport of the day") == 3
    assert len(json.loads(run("models", "nearest", published, "item/001", "--json"))["nearest"]) == 10


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["insight", "mf@9"], 1),
        (["nearest", "mf@1", "nothing"], 1),
        (["insight", "mf@1", "--clusters", "99"], 2),
        (["insight", "mf@1", "--out", "/proc/nowhere"], 2),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(published, arguments, code):
    result = CliRunner().invoke(main, ["models", *arguments])
    assert result.exit_code == code
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1
