"""Headlines become integers, decided by the texts alone."""

from lamella.recommenders.vocabulary import PADDING, UNKNOWN, Vocabulary, words

TEXTS = ["The cat sat", "the cat ran", "A dog ran", "a cat"]


def test_frequent_words_come_first_and_ties_are_alphabetical() -> None:
    assert Vocabulary.of(TEXTS, most=10).words == ("cat", "a", "ran", "the")
    assert Vocabulary.of(TEXTS, most=2).words == ("cat", "a")


def test_the_order_of_the_texts_decides_nothing() -> None:
    assert Vocabulary.of(TEXTS[::-1], most=10) == Vocabulary.of(TEXTS, most=10)


def test_a_text_is_padded_cut_and_its_rare_words_are_unknown() -> None:
    tokens = Vocabulary.of(TEXTS, most=10).encode(["cat zebra", "the cat ran a cat", ""], length=4)
    assert tokens.tolist() == [[2, UNKNOWN, PADDING, PADDING], [5, 2, 4, 3], [PADDING] * 4]


def test_case_and_punctuation_do_not_matter_and_either_apostrophe_is_one() -> None:
    assert words("DON'T panic!") == words("don’t — panic") == ["don't", "panic"]
