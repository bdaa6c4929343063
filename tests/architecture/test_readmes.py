"""The README in both languages says the same, and its links lead somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
READMES = ("README.md", "README.zh.md")
PACKAGE = ROOT / "platform" / "lamella"


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def commands(name: str) -> list[str]:
    return re.findall(r"```sh\n(.*?)```", text_of(name), flags=re.DOTALL)


def links(name: str) -> list[str]:
    return re.findall(r"\]\(([^)#]+)", text_of(name))


def outline(name: str) -> list[tuple[str, int, int]]:
    """Of each section in order: the depth of its heading, and how many rows of tables and how many links it has."""
    prose = re.sub(r"```.*?```", "", text_of(name), flags=re.DOTALL)
    parts = re.split(r"^(#+) .*$", prose, flags=re.MULTILINE)[1:]
    sections = zip(parts[::2], parts[1::2], strict=True)
    return [(depth, len(re.findall(r"^\|", part, flags=re.MULTILINE)), part.count("](")) for depth, part in sections]


def test_both_languages_give_the_same_commands() -> None:
    assert commands("README.md") == commands("README.zh.md") != []


def test_both_languages_have_the_same_sections_in_the_same_order() -> None:
    assert outline("README.md") == outline("README.zh.md")
    assert len(outline("README.md")) > 1


def test_both_languages_lead_to_the_same_places_in_the_same_order() -> None:
    assert [each for each in links("README.md") if each not in READMES] == [
        each for each in links("README.zh.md") if each not in READMES
    ]


@pytest.mark.parametrize("name", READMES)
def test_every_link_to_a_file_leads_to_one(name: str) -> None:
    missing = [link for link in links(name) if "://" not in link and not (ROOT / link).exists()]
    assert not missing


@pytest.mark.parametrize("name", READMES)
def test_the_table_of_folders_names_every_part_of_the_package(name: str) -> None:
    (row,) = re.findall(r"^\| `platform/lamella/` \|.*$", text_of(name), flags=re.MULTILINE)
    parts = {each.parent.name for each in PACKAGE.glob("*/__init__.py")} | {"config"}
    assert parts <= set(re.findall(r"`(\w+)`", row))
