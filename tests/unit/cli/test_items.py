"""A file of items is read whole, or refused with the lines at fault."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from lamella.cli.items import read_items
from lamella.errors import InvalidInput

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_csv_gives_items_with_their_attributes(tmp_path: Path) -> None:
    path = write(tmp_path, "items.csv", "key,title,published_at,topic\na,One,2026-01-02T03:04:05Z,news\nb,Two,,\n")
    first, second = read_items(path, now=NOW)
    assert (first.key, first.title, first.attributes) == ("a", "One", {"topic": "news"})
    assert first.published_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert (second.published_at, second.attributes) == (NOW, {})


def test_json_lines_keep_the_types_of_attributes(tmp_path: Path) -> None:
    path = write(tmp_path, "items.jsonl", '{"key": "a", "title": "One", "words": 12, "tags": ["x"]}\n\n')
    (item,) = read_items(path, now=NOW)
    assert item.attributes == {"words": 12, "tags": ["x"]}


def test_every_line_at_fault_is_named(tmp_path: Path) -> None:
    path = write(
        tmp_path, "items.jsonl", '{"key": "a"}\nnonsense\n[1]\n{"key": "b", "title": "T", "published_at": "soon"}\n'
    )
    with pytest.raises(InvalidInput) as refused:
        read_items(path, now=NOW)
    faults = refused.value.faults
    assert [fault.split(":")[1] for fault in faults] == ["1", "2", "3", "4"]
    assert "needs a text in title" in faults[0]
    assert "not JSON" in faults[1]
    assert "not an object: [1]" in faults[2]
    assert "soon" in faults[3]


@pytest.mark.parametrize("name", ["items.xml", "missing.csv"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match=name):
        read_items(tmp_path / name, now=NOW)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("items.csv", "key,title\na\0,One\n", "NUL"),
        ("items.jsonl", '{"key": "a", "title": "One", "words": ["\\u0000"]}\n', "NUL"),
        ("items.jsonl", '{"key": "a", "title": "\\ud800"}\n', "surrogate"),
        ("items.jsonl", '{"key": "a", "title": "One", "words": NaN}\n', "finite"),
    ],
)
def test_what_not_every_store_keeps_is_refused(tmp_path: Path, name: str, text: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        read_items(write(tmp_path, name, text), now=NOW)
