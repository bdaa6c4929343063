"""What the command line changes is in the audit log, however it ended."""

import json
import shutil
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lamella.bootstrap.tools import open_tools
from lamella.cli import main
from lamella.config import PREFIX, Settings
from lamella.services.admin_ports import Deed

CONFIGURATION = """
layers: [{key: ranking}]
parameters: [{key: rank.model, type: string, default: mf, layer: ranking}]
experiments:
  - key: bold
    layer: ranking
    hypothesis: It is better
    ranges: [{start: 0, stop: 10000}]
    variants:
      - {key: control, weight: 1, is_control: true}
      - {key: treatment, weight: 1, values: {rank.model: textcnn}}
    plan: {primary_metric: ctr}
"""


@pytest.fixture
def run(tmp_path: Path, migrated_sqlite: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    for name in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(PREFIX + name, raising=False)
    shutil.copy(migrated_sqlite, tmp_path / "lamella.db")
    monkeypatch.setenv(PREFIX + "DATA_DIR", str(tmp_path))
    (tmp_path / "all.yaml").write_text(CONFIGURATION, encoding="utf-8")
    (tmp_path / "items.jsonl").write_text('{"key": "a", "title": "A"}\n', encoding="utf-8")
    return lambda *words: CliRunner().invoke(main, list(words))


def deeds(folder: Path) -> Sequence[Deed]:
    """Oldest first."""
    with open_tools(Settings(data_dir=folder)) as tools:
        return tools.audit.deeds()[::-1]


def test_every_command_that_changes_something_leaves_a_row(run: Callable[..., Result], tmp_path: Path) -> None:
    yaml, items = str(tmp_path / "all.yaml"), str(tmp_path / "items.jsonl")
    commands = [
        ["config", "apply", yaml],
        ["experiments", "start", "bold"],
        ["experiments", "stop", "bold"],
        ["items", "import", items],
        ["keys", "create", "--name", "web"],
        ["keys", "revoke", "web"],
        ["train", "newest", "--name", "new"],
    ]
    for words in commands:
        result = run(*words)
        assert result.exit_code == 0, result.output
    found = deeds(tmp_path)
    assert [(each.method, each.status, each.code) for each in found] == [("CLI", 0, None)] * len(commands)
    assert [each.route for each in found] == [
        "lamella config apply",
        "lamella experiments start",
        "lamella experiments stop",
        "lamella items import",
        "lamella keys create",
        "lamella keys revoke",
        "lamella train",
    ]
    assert [each.path.rsplit(" ", 1)[-1] for each in found] == [yaml, "bold", "bold", items, "web", "web", "new"]
    assert all(each.actor.startswith("cli:") for each in found)


def test_a_refused_command_leaves_a_row_with_its_code(run: Callable[..., Result], tmp_path: Path) -> None:
    assert run("experiments", "start", "nothing").exit_code == 1
    assert run("keys", "create", "--role", "king", "--name", "x").exit_code == 2
    assert [(each.status, each.code) for each in deeds(tmp_path)] == [(1, "not_found"), (2, "invalid_input")]


def test_what_only_reads_leaves_none(run: Callable[..., Result], tmp_path: Path) -> None:
    for words in (["keys", "list"], ["config", "export"], ["config", "apply", str(tmp_path / "all.yaml"), "--dry-run"]):
        assert run(*words).exit_code == 0
    assert deeds(tmp_path) == []


def test_a_key_may_be_limited_to_projects_and_end(run: Callable[..., Result], tmp_path: Path) -> None:
    result = run("keys", "create", "--name", "news", "--project", "news", "--project", "apps", "--expires", "90d")
    assert result.output.splitlines()[-1].startswith("lam_")
    assert run("keys", "create", "--name", "day", "--expires", "2999-01-31").exit_code == 0
    (day, news) = json.loads(run("keys", "list", "--json").output)
    assert (day["projects"], day["expires_at"]) == (None, "2999-01-31T00:00:00+00:00")
    assert news["projects"] == ["apps", "news"]
    with open_tools(Settings(data_dir=tmp_path)) as tools:
        (held,) = [each for each in tools.keys.all() if each.name == "news"]
        assert held.expires_at is not None
        assert timedelta(days=89) < held.expires_at - tools.clock.now() <= timedelta(days=90)


@pytest.mark.parametrize(
    ("expires", "words"), [("soon", "no moment"), ("2020-01-01", "has passed"), ("0d", "no moment")]
)
def test_an_unusable_end_is_refused(run: Callable[..., Result], expires: str, words: str) -> None:
    result = run("keys", "create", "--expires", expires)
    assert result.exit_code == 2
    assert words in result.stderr


def test_a_start_waits_for_a_second_person_where_that_is_asked_for(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("config", "apply", str(tmp_path / "all.yaml")).exit_code == 0
    monkeypatch.setenv(PREFIX + "APPROVALS_REQUIRED", "true")
    assert "a second person" in run("experiments", "start", "bold").output
    assert json.loads(run("experiments", "show", "bold").output)["status"] == "draft"
