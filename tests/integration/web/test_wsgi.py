import json
import multiprocessing
import os
import subprocess
import sys
import textwrap

import pytest

from lamella.errors import InvalidSettings
from lamella.web.wsgi import SECRET_FILE, cookie_secret

HEAVY = {"tensorflow", "keras", "scipy", "pandas", "pyarrow", "celery", "onnxruntime", "alembic", "yaml"}
LATER = {
    "lamella.adapters.sql.analysis",
    "lamella.adapters.sql.erasure",
    "lamella.adapters.sql.recompute",
    "lamella.adapters.sql.record",
    "lamella.recommenders.kinds",
    "lamella.recommenders.looking",
    "lamella.recommenders.uploads",
    "lamella.reporting.html",
    "lamella.web.answers",
    "lamella.web.operation_models",
}
"""What only administration needs: serving does not wait for its import."""
MOST_MODULES = 1_350
"""A start costs a millisecond and more a module, on whatever machine; it had 1,182 of them when this was written."""


def test_the_secret_is_made_once_and_readable_by_its_owner_only(tmp_path):
    folder = tmp_path / "data"
    secret = cookie_secret(folder)
    assert len(secret) == 32
    assert cookie_secret(folder) == secret
    assert (folder / SECRET_FILE).stat().st_mode & 0o077 == 0
    assert [path.name for path in folder.iterdir()] == [SECRET_FILE]


def test_processes_that_start_at_once_agree_on_the_secret(tmp_path):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert len(set(pool.map(cookie_secret, [tmp_path / "data"] * 8))) == 1


def test_a_damaged_secret_is_named(tmp_path):
    (tmp_path / SECRET_FILE).write_bytes(b"short")
    with pytest.raises(InvalidSettings, match="damaged; delete it"):
        cookie_secret(tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidSettings, match="LAMELLA_DATA_DIR"):
        cookie_secret(tmp_path / "file" / "data")


@pytest.mark.slow
def test_a_web_process_starts_with_few_modules_and_without_the_heavy_libraries(tmp_path, sqlite_database_url):
    program = textwrap.dedent("""
        import json, sys
        from lamella.web.wsgi import create
        app = create()
        health = app.test_client().get("/readyz")
        print(json.dumps([health.status_code, sorted(sys.modules)]))
    """)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("LAMELLA_")},
        "LAMELLA_DATABASE_URL": sqlite_database_url,
        "LAMELLA_REDIS_URL": "redis://127.0.0.1:1/0",
        "LAMELLA_DATA_DIR": str(tmp_path / "data"),
        "LAMELLA_LOG_LEVEL": "error",
    }
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    status, imported = json.loads(done.stdout.splitlines()[-1])
    # The broker is away, and is not required.
    assert status == 200
    modules = {name.split(".")[0] for name in imported} | set(imported)
    assert modules.isdisjoint(HEAVY | LATER), modules & (HEAVY | LATER)
    assert len(imported) < MOST_MODULES
