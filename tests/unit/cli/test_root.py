"""The command line as a whole: every command explains itself, every error is one sentence."""

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from lamella.cli import main, root
from lamella.cli.options import settings_of
from lamella.config import PREFIX
from lamella.errors import InvalidSettings


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATA_DIR", "DATABASE_URL", "REDIS_URL", "PORT"):
        monkeypatch.delenv(PREFIX + name, raising=False)


@pytest.mark.parametrize("path", [(), *commands(main)], ids=" ".join)
def test_every_command_has_help_with_an_example(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, [*path, "--help"])
    assert result.exit_code == 0
    assert "Example:\n" in result.output
    assert "lamella " in result.output.partition("Example:")[2]


def test_the_commands_that_the_manual_promises_exist() -> None:
    found = {" ".join(path) for path in commands(main)}
    assert found >= {
        "demo", "up", "web", "worker", "beat", "train", "report", "settings", "health", "items import",
        "db upgrade", "db downgrade", "db check", "db current",
        "keys create", "keys list", "keys revoke",
        "models list", "models show", "models verify", "trainings list", "trainings cancel",
        "experiments list", "experiments show", "experiments start", "experiments stop",
    }  # fmt: skip


def test_a_bad_setting_is_one_sentence_and_exit_code_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMELLA_PORT", "many")
    result = CliRunner().invoke(main, ["settings"])
    assert result.exit_code == 2
    assert result.stderr.startswith("error: LAMELLA_PORT='many': ")
    assert result.stderr.count("\n") == 1


def test_an_unknown_setting_names_the_one_that_was_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMELLA_DATABSE_URL", "postgresql://db/lamella")
    result = CliRunner().invoke(main, ["settings"])
    assert result.exit_code == 2
    assert "did you mean LAMELLA_DATABASE_URL?" in result.stderr


def test_settings_hide_the_password_of_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMELLA_DATABASE_URL", "postgresql://lamella:secret@db/lamella")
    result = CliRunner().invoke(main, ["settings"])
    assert "secret" not in result.output
    assert "lamella:***@db" in result.output


def test_an_option_overrides_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMELLA_PORT", "8001")
    assert settings_of(port=8002).port == 8002
    assert settings_of(port=None).port == 8001
    with pytest.raises(InvalidSettings, match="LAMELLA_PORT='0'"):
        settings_of(port=0)


@pytest.mark.parametrize("url", ["s3://", "s3:", "s3:bucket/models", "bucket/models", "://bucket", "file:///"])
def test_a_model_url_that_names_no_place_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("LAMELLA_MODEL_URL", url)
    with pytest.raises(InvalidSettings, match="LAMELLA_MODEL_URL"):
        settings_of()


def test_the_processes_say_what_they_miss(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = str(tmp_path_factory.mktemp("data"))
    for command in ("web", "worker", "beat"):
        result = CliRunner().invoke(main, [command, "--data-dir", folder])
        assert result.exit_code == 1
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1


def test_commands_are_imported_when_they_are_wanted() -> None:
    context = click.Context(main)
    assert main.list_commands(context) == sorted(root.COMMANDS)
    assert main.get_command(context, "nonsense") is None
