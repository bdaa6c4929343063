"""The rows of files to import: what is wrong with a row costs that row."""

from pathlib import Path

import pytest

from lamella.cli.rows import Rows


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "kind,unit\nclick,读者\nclick,{bad}\nclick,ann\n"),
        ("a.jsonl", '{"unit": "读者"}\n{"unit": "{bad}"}\n{"unit": "ann"}\n'),
    ],
)
def test_a_row_that_is_no_utf8_is_refused_by_itself(tmp_path: Path, name: str, content: str) -> None:
    before, after = content.encode().split(b"{bad}")
    file = tmp_path / name
    file.write_bytes(before + "读者".encode("gbk") + after)
    first, bad, last = (line.row for line in Rows(file).lines())
    assert isinstance(bad, ValueError)
    assert "UTF-8" in str(bad)
    assert isinstance(first, dict)
    assert isinstance(last, dict)
    assert (first["unit"], last["unit"]) == ("读者", "ann")
