"""The kind lstm keeps the laws of a kind, and follows what is read."""

from typing import ClassVar

from contract.recommenders.kind_laws import HistoryKindLaws


class TestLstm(HistoryKindLaws):
    kind = "lstm"
    hyperparameters: ClassVar = {
        "batch_size": 8,
        "embedding_size": 4,
        "epochs": 3,
        "reg": 1.0,
        "learning_rate": 0.01,
        "history_length": 8,
        "dropout": 0.0,
    }
