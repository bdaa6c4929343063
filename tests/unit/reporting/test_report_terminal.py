import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from lamella.errors import InvalidInput
from lamella.reporting import terminal
from unit.reporting import samples


def printed(documents, width=80, *, colours=False, **options):
    out = io.StringIO()
    terminal.render(documents, console=Console(file=out, width=width, force_terminal=colours), **options)
    return out.getvalue()


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("width", [80, 120])
def test_every_situation_fits_the_terminal(width, lang):
    text = printed([looks[-1] for looks in samples.everything()], width, lang=lang)
    assert all(cell_len(line) <= width for line in text.splitlines())


@pytest.mark.parametrize("width", [80, 120])
def test_numbers_are_never_cut_off(width):
    text = printed([samples.document()], width)
    for number in ("+8.8%", "+5.9% to +11.6%", "4.0e-9", "4.48%", "24,000"):
        assert number in text
    assert "…" not in text


def test_without_a_terminal_there_are_no_colours():
    assert "\x1b[" not in printed([samples.document()])
    assert "\x1b[" in printed([samples.document()], colours=True)


def test_the_verdict_comes_first_then_metrics_checks_and_truth():
    text = printed([samples.document()], truth=samples.TRUTHS)
    places = [text.index(part) for part in ("Ship mf", "Click-through rate", "Sample ratio", "Planted truth")]
    assert places == sorted(places)
    assert "the verdict is right" in text


def test_an_experiment_without_planted_truth_has_no_such_line():
    assert "Planted truth" not in printed([samples.document(key="other")], truth=samples.TRUTHS)


def test_a_failed_check_says_that_it_blocks():
    assert "failed, blocks the verdict" in " ".join(printed([samples.unbalanced()[-1]]).split())


def test_an_undefined_metric_says_why():
    assert "not defined: zero variance" in " ".join(printed([samples.undefined()[-1]], 120).split())


def test_nothing_is_printed_when_a_document_is_invalid():
    out = io.StringIO()
    with pytest.raises(InvalidInput):
        terminal.render([samples.document(), {}], console=Console(file=out))
    assert not out.getvalue()


def test_square_brackets_of_the_document_are_not_markup():
    made = samples.decided(samples.document(), "ship", "[red]because[/red] [/]", "mf")
    assert "[red]because[/red] [/]" in printed([made])
