"""The kind fm keeps the laws of a kind, and places the unknown by attributes."""

from typing import ClassVar

from contract.recommenders.kind_laws import SidedKindLaws


class TestFm(SidedKindLaws):
    kind = "fm"
    hyperparameters: ClassVar = {
        "batch_size": 1024,
        "embedding_size": 4,
        "epochs": 4,
        "reg": 1.0,
        "learning_rate": 0.03,
    }
