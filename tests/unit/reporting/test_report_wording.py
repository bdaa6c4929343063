import string

import pytest

from lamella.errors import InvalidInput
from lamella.reporting import wording
from lamella.stats.evidence import Decision
from lamella.stats.undefined import Reason


def fields(text):
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("key", wording.CATALOGUE)
def test_every_string_has_both_languages_with_the_same_fields(key):
    english, chinese = wording.CATALOGUE[key]
    assert english.strip()
    assert chinese.strip()
    assert fields(english) == fields(chinese)


def test_every_string_of_words_is_translated_and_not_copied():
    signs = {"p_is", "p_below", "z"}
    copied = {key for key, (english, chinese) in wording.CATALOGUE.items() if english == chinese}
    assert copied <= signs


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_of_an_undefined_statistic_has_words(reason):
    assert f"reason.{reason}" in wording.CATALOGUE


@pytest.mark.parametrize("decision", Decision)
def test_every_decision_has_words(decision):
    assert {f"decision.{decision}", f"badge.{decision}"} <= wording.CATALOGUE.keys()


def test_an_unknown_language_is_refused():
    with pytest.raises(InvalidInput, match="'fr'"):
        wording.language("fr")


def test_an_unknown_name_is_shown_in_words():
    assert wording.term("check", "carry_over", "zh") == "carry over"
