"""NeuMF keeps the laws of a kind."""

from typing import ClassVar

from contract.recommenders.kind_laws import PersonalKindLaws


class TestNcf(PersonalKindLaws):
    kind = "ncf"
    stranger_is_the_mean = False
    hyperparameters: ClassVar = {
        "batch_size": 512,
        "embedding_size": 4,
        "epochs": 8,
        "reg": 1.0,
        "learning_rate": 0.01,
        "hidden": 8,
        "dropout": 0.1,
    }
