"""The kind twotower keeps the laws of a kind, and places the unknown by attributes."""

from typing import ClassVar

from contract.recommenders.kind_laws import SidedKindLaws


class TestTwoTower(SidedKindLaws):
    kind = "twotower"
    hyperparameters: ClassVar = {
        "batch_size": 512,
        "embedding_size": 4,
        "epochs": 8,
        "reg": 0.5,
        "learning_rate": 0.015,
        "hidden": 8,
        "dropout": 0.1,
    }
