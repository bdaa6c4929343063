"""What the command line changes is in the audit log, however it ended."""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Final

import click
import pytest
from click.testing import CliRunner, Result

from insight_samples import AT, trained_model
from lamella.adapters.sql.flags import SqlFlagStore
from lamella.bootstrap.tools import open_tools
from lamella.cli import main
from lamella.config import PREFIX, Settings
from lamella.recommenders.registry import FolderRegistry
from lamella.services.admin_ports import Deed
from lamella.services.staging import Stage
from lamella.services.training import Order, plan_training
from lamella.services.units import digest_of_unit

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


EVENT = {
    "kind": "click",
    "event_id": "e",
    "request_id": "r",
    "unit": "ann",
    "item": "i",
    "time": "2026-03-02T08:00:00Z",
}

WRITES: Final = (
    ("config apply", "all.yaml"),
    ("experiments start", "bold"),
    ("experiments stop", "bold"),
    ("items import", "items.jsonl"),
    ("events import", "events.jsonl"),
    ("events archive", "--days", "10"),
    ("keys create", "--name", "web"),
    ("keys revoke", "web"),
    ("train", "newest", "--name", "new"),
    ("trainings cancel", "waiting"),
    ("models stage", "mf@1", "live"),
    ("models upload", "mf", "items.jsonl", "--rows", "items.jsonl"),
    ("record recompute",),
    ("units flag", "ann"),
    ("units unflag", "ann"),
    ("units erase", "ann", "--yes"),
)
"""What changes something, in an order in which it can be done."""

READS: Final = (
    ("analyze", "numbers.csv", "--variant", "variant", "--unit", "unit"),
    ("config export",),
    ("db check",),
    ("db current",),
    ("events archive", "--verify"),
    ("events quarantine",),
    ("experiments list",),
    ("experiments show", "bold"),
    ("health",),
    ("keys list",),
    ("models export", "mf@1", "--format", "keras", "--out", "mf.keras"),
    ("models insight", "mf@1"),
    ("models list",),
    ("models nearest", "mf@1", "item/001"),
    ("models shadow", "mf@1"),
    ("models show", "mf@1"),
    ("models verify",),
    ("power", "--experiment", "bold"),
    ("record check",),
    ("report", "bold"),
    ("segments", "bold", "--by", "country"),
    ("settings",),
    ("trainings list",),
    ("units export", "ann"),
    ("units flagged",),
)
"""What only reads the store, whatever files it writes."""

ELSEWHERE: Final = {"beat", "demo", "simulate", "up", "web", "worker", "db upgrade", "db downgrade"}
"""What runs services, whose requests leave rows and whose tasks revisions; and what makes the log and takes it away."""


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[str]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield " ".join((*path, name))


@pytest.fixture
def run(tmp_path: Path, migrated_sqlite: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    for name in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(PREFIX + name, raising=False)
    shutil.copy(migrated_sqlite, tmp_path / "lamella.db")
    monkeypatch.setenv(PREFIX + "DATA_DIR", str(tmp_path))
    (tmp_path / "all.yaml").write_text(CONFIGURATION, encoding="utf-8")
    (tmp_path / "items.jsonl").write_text('{"key": "a", "title": "A"}\n', encoding="utf-8")
    (tmp_path / "events.jsonl").write_text(json.dumps(EVENT) + "\n", encoding="utf-8")
    (tmp_path / "numbers.csv").write_text("unit,variant,clicks\na,one,1\nb,two,0\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(main, [*words[0].split(), *words[1:]])


def deeds(folder: Path) -> Sequence[Deed]:
    """Oldest first."""
    with open_tools(Settings(data_dir=folder)) as tools:
        return tools.audit.deeds()[::-1]


def publish(folder: Path) -> None:
    """Publishes mf@1 as a candidate; a training waits."""
    trained = trained_model({"model.keras": b"weights"})
    with open_tools(Settings(data_dir=folder)) as tools:
        registry = FolderRegistry(folder / "models", tools.models)
        registry.publish(trained, name="mf", at=AT, stage=Stage.CANDIDATE)
        order = Order(kind="newest", name="newest", hyperparameters={}, seed=0, by="ann")
        tools.trainings.put(plan_training(order, run_id="waiting", trainer=tools.trainer, at=AT))


def content(folder: Path) -> Sequence[str]:
    """Every row of the store."""
    with closing(sqlite3.connect(folder / "lamella.db")) as connection:
        return list(connection.iterdump())


def test_every_command_is_known_to_write_or_to_read() -> None:
    named = {words[0] for words in (*WRITES, *READS)}
    assert named | ELSEWHERE == set(leaves(main))
    assert not named & ELSEWHERE


def test_every_command_that_changes_something_leaves_a_row(run: Callable[..., Result], tmp_path: Path) -> None:
    publish(tmp_path)
    for number, words in enumerate(WRITES, start=1):
        result = run(*words)
        # Nothing of those files makes a model: what is refused leaves its row too.
        expected = (2, "invalid_input") if words[0] == "models upload" else (0, None)
        assert result.exit_code == expected[0], result.output
        found = deeds(tmp_path)
        assert len(found) == number, words
        assert (found[-1].method, found[-1].route) == ("CLI", f"lamella {words[0]}")
        assert (found[-1].status, found[-1].code) == expected
        assert found[-1].actor.startswith("cli:")
    ann = f"lamella units %s {digest_of_unit('ann')}"
    assert [each.path for each in deeds(tmp_path)] == [
        "lamella config apply all.yaml",
        "lamella experiments start bold",
        "lamella experiments stop bold",
        "lamella items import items.jsonl",
        "lamella events import events.jsonl",
        "lamella events archive --days 10",
        "lamella keys create web",
        "lamella keys revoke web",
        "lamella train new",
        "lamella trainings cancel waiting",
        "lamella models stage mf@1",
        "lamella models upload mf",
        "lamella record recompute",
        *(ann % word for word in ("flag", "unflag", "erase")),
    ]


def test_no_command_that_is_said_to_read_changes_the_store(run: Callable[..., Result], tmp_path: Path) -> None:
    publish(tmp_path)
    for words in (("config apply", "all.yaml"), ("experiments start", "bold"), ("events import", "events.jsonl")):
        assert run(*words).exit_code == 0
    before = content(tmp_path)
    for words in READS:
        assert run(*words).exit_code in (0, 1), words
        assert content(tmp_path) == before, words


def test_a_command_that_stops_half_way_leaves_a_row_with_its_end(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error, outcome in (
        (KeyboardInterrupt(), (130, "interrupted")),
        (OSError("full"), (1, "internal_error")),
        (BrokenPipeError(), (0, "output_closed")),
    ):

        def fail(*_: object, error: BaseException = error) -> None:
            raise error

        monkeypatch.setattr(SqlFlagStore, "put", fail)
        run("units flag", "ann")
        assert (deeds(tmp_path)[-1].status, deeds(tmp_path)[-1].code) == outcome


def test_an_import_whose_rows_are_refused_leaves_a_row_that_says_so(run: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text("no JSON\n", encoding="utf-8")
    assert run("events import", "events.jsonl").exit_code == 1
    assert [(each.status, each.code) for each in deeds(tmp_path)] == [(1, "conflict")]


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
