"""The layout that keeps the standard library's `platform`, Alembic and the tests importable."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("root", ["platform", "workers", "alembic"])
def test_a_source_root_is_no_package(root: str) -> None:
    assert not (ROOT / root / "__init__.py").exists(), f"{root}/__init__.py would shadow the package of that name"


def test_the_standard_platform_module_is_the_one_that_is_imported_from_the_project_root() -> None:
    code = "import platform, sys; print(platform.__file__); sys.exit(not platform.python_version())"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert str(ROOT) not in run.stdout


def test_no_test_folder_is_called_like_a_module_that_it_would_shadow() -> None:
    names = {folder.name for folder in (ROOT / "tests").rglob("*") if folder.is_dir()}
    assert not names & {"platform", "alembic"}


def test_tests_are_no_packages_and_their_file_names_are_unique() -> None:
    files = list((ROOT / "tests").rglob("*.py"))
    assert not [path for path in files if path.name == "__init__.py"]
    names = [path.name for path in files if path.name.startswith("test_")]
    assert not {name for name in names if names.count(name) > 1}


def test_no_conftest_lies_among_the_sources() -> None:
    assert not list((ROOT / "platform").rglob("conftest.py")) + list((ROOT / "workers").rglob("conftest.py"))


def test_no_source_file_is_longer_than_400_lines() -> None:
    sources = [path for root in ("platform", "workers") for path in (ROOT / root).rglob("*.py")]
    long = {str(path.relative_to(ROOT)) for path in sources if len(path.read_text("utf-8").splitlines()) > 400}
    assert not long


@pytest.mark.slow
def test_the_wheel_holds_everything_that_runs(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, ROOT], check=True
    )
    (wheel,) = tmp_path.glob("lamella-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        "lamella/py.typed",
        "lamella/data/upworthy_headlines.csv.gz",
        "lamella/data/NOTICE.txt",
        "lamella/alembic/env.py",
        "lamella/alembic/script.py.mako",
        "lamella_workers/py.typed",
        "lamella_workers/app.py",
    }
    assert wanted <= names
    assert [name for name in names if name.startswith("lamella/alembic/versions/") and name.endswith(".py")]
    assert [name for name in names if name.startswith("lamella/web/ui/templates/") and name.endswith(".html")]
    assert not [name for name in names if name.split("/")[0] in {"platform", "workers", "tests", "alembic"}]
