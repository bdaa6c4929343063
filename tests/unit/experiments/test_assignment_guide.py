import doctest
from pathlib import Path

GUIDE = Path(__file__).parents[3] / "docs" / "assignment.md"


def test_every_example_of_the_guide_runs_and_gives_what_it_says() -> None:
    results = doctest.testfile(str(GUIDE), module_relative=False)
    assert results.failed == 0
    assert results.attempted > 15
