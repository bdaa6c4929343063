"""The layout that keeps the standard library's `platform`, Alembic and the tests importable."""

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def files_of(root: Path) -> set[str]:
    """Every file under a folder, by its path there; not what Python compiled or an editor hides."""
    files = (path.relative_to(root) for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {path.as_posix() for path in files if not any(part.startswith(".") for part in path.parts)}


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


def test_no_function_is_longer_than_50_lines() -> None:
    """From `def` to the last line, the docstring too."""
    sources = [path for root in ("platform", "workers") for path in (ROOT / root).rglob("*.py")]
    functions = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in sources
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert not {name: lines for name, lines in functions.items() if lines > 50}


@pytest.mark.slow
def test_the_wheel_holds_everything_that_runs(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, ROOT], check=True
    )
    (wheel,) = tmp_path.glob("lamella-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    roots = {"": ROOT / "platform" / "lamella", "alembic/": ROOT / "alembic"}
    wanted = {f"lamella/{place}{name}" for place, root in roots.items() for name in files_of(root)}
    wanted |= {f"lamella_workers/{name}" for name in files_of(ROOT / "workers" / "lamella_workers")}
    assert {"lamella/py.typed", "lamella/data/NOTICE.txt", "lamella/alembic/script.py.mako"} <= wanted
    assert not wanted - names
    assert not [name for name in names if name.split("/")[0] in {"platform", "workers", "tests", "alembic"}]
