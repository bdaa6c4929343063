"""The kind cnn keeps the laws of a kind, and follows what is read."""

from typing import ClassVar

from contract.recommenders.kind_laws import HistoryKindLaws


class TestCnn(HistoryKindLaws):
    kind = "cnn"
    hyperparameters: ClassVar = {
        "batch_size": 8,
        "embedding_size": 8,
        "epochs": 5,
        "reg": 1.0,
        "learning_rate": 0.01,
        "history_length": 8,
        "dropout": 0.0,
    }
