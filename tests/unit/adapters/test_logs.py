"""The logs of a process: what passes the level, and in which form."""

import subprocess
import sys

import orjson
import pytest

PROGRAM = """
import sys, structlog
from lamella.adapters import logs
from lamella.config import Settings
logs.configure(Settings.from_environment({"LAMELLA_LOG_LEVEL": sys.argv[1], "LAMELLA_DATA_DIR": sys.argv[2]}))
log = structlog.get_logger("lamella.web")
for level in ("debug", "info", "warning", "error"):
    getattr(log, level)("said", by=level)
try:
    1 / 0
except ZeroDivisionError:
    log.exception("failed")
"""


@pytest.mark.parametrize(
    ("level", "said"),
    [("info", ["info", "warning", "error"]), ("warning", ["warning", "error"]), ("error", ["error"])],
)
def test_only_what_reaches_the_level_is_written_with_its_logger_and_level(tmp_path, level, said):
    run = [sys.executable, "-c", PROGRAM, level, str(tmp_path)]
    lines = subprocess.run(run, capture_output=True, text=True, check=True).stderr.splitlines()
    *found, failed = map(orjson.loads, lines)
    assert [line["by"] for line in found] == [line["level"] for line in found] == said
    assert {line["logger"] for line in found} == {"lamella.web"}
    assert (failed["event"], failed["level"]) == ("failed", "error")
    assert "ZeroDivisionError" in failed["exception"]
