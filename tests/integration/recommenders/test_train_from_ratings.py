"""`lamella train` learns from a ratings file, and says so in the version's stamp."""

import json
import random
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lamella.cli.root import main


@pytest.fixture
def ratings(tmp_path: Path) -> Path:
    rng = random.Random(3)
    lines = [f"{user}::{item}::{rng.randint(1, 5)}::{1_000_000_000 + item}" for user in range(30) for item in range(12)]
    (tmp_path / "ratings.dat").write_text("\n".join(lines))
    (tmp_path / "movies.dat").write_text("\n".join(f"{item}::Film {item} (1999)::Drama" for item in range(14)))
    return tmp_path / "ratings.dat"


def run(database_url: str, folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(
        main,
        ["train", *arguments, "--data-dir", str(folder)],
        env={"LAMELLA_DATABASE_URL": database_url},
        catch_exceptions=False,
    )


def test_a_model_of_a_ratings_file_is_published_with_its_errors_and_stamp(
    sqlite_database_url: str, tmp_path: Path, ratings: Path
) -> None:
    done = run(sqlite_database_url, tmp_path, "popularity", "--name", "films", "--ratings", str(ratings))
    assert done.exit_code == 0, done.output
    assert "published films@1" in done.output
    assert "rmse:" in done.output
    manifest = json.loads((tmp_path / "models/films/1/manifest.json").read_text())
    assert {"goal": "rating", "split": "random", "file": "ratings.dat", "rows": 360}.items() <= manifest[
        "stamp"
    ].items()
    assert manifest["stamp"]["scale"] == [1.0, 5.0]
    assert len(manifest["stamp"]["sha256"]) == 64
    assert manifest["stamp"]["items"] == 14


def test_choices_are_ranked_beside_popularity_and_ease(sqlite_database_url: str, tmp_path: Path, ratings: Path) -> None:
    done = run(sqlite_database_url, tmp_path, "popularity", "--ratings", str(ratings), "--goal", "choice")
    assert done.exit_code == 0, done.output
    assert {"recall_at_10", "ease_recall_at_10", "popularity_ndcg_at_10"} <= set(done.output.replace(":", "").split())


def test_options_of_a_file_without_a_file_are_refused(sqlite_database_url: str, tmp_path: Path) -> None:
    refused = run(sqlite_database_url, tmp_path, "popularity", "--goal", "choice")
    assert refused.exit_code != 0
    assert "--goal belongs to a ratings file" in refused.output
