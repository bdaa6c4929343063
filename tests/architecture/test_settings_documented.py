"""What people set and type is written down."""

import re
from pathlib import Path

from lamella.cli.root import COMMANDS
from lamella.config import PREFIX, Settings

OPERATIONS = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")


def test_every_setting_is_documented() -> None:
    documented = set(re.findall(r"^\| `(LAMELLA_\w+)` \|", OPERATIONS, flags=re.MULTILINE))
    assert documented == {PREFIX + name.upper() for name in Settings.model_fields}


def test_every_documented_default_is_the_real_one() -> None:
    rows = dict(re.findall(r"^\| `(LAMELLA_\w+)` \| `?([^`|]+?)`? \|", OPERATIONS, flags=re.MULTILINE))
    for name, field in Settings.model_fields.items():
        default = field.get_default()
        if default is not None:
            assert rows[PREFIX + name.upper()] == str(default)


def test_every_setting_has_a_description() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_every_command_that_the_operations_page_names_exists() -> None:
    named = set(re.findall(r"`lamella (\w+)", OPERATIONS))
    assert named <= set(COMMANDS)
