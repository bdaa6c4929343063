"""TextCNN keeps the laws of a kind, and places new items by their words."""

from typing import ClassVar

from contract.recommenders.kind_laws import NEW_BAD, NEW_GOOD, PersonalKindLaws
from lamella.recommenders.artifact import FactorModel


class TestTextCnn(PersonalKindLaws):
    kind = "textcnn"
    hyperparameters: ClassVar = {
        "batch_size": 8,
        "embedding_size": 4,
        "filters": 8,
        "word_size": 8,
        "title_words": 6,
        "learning_rate": 0.003,
        "reg": 2.0,
        "dropout": 0.1,
    }

    def test_a_new_item_is_placed_by_its_words(self, factors: FactorModel) -> None:
        good, bad = factors.score("a stranger", [NEW_GOOD, NEW_BAD])
        assert good > 1.5 * bad
