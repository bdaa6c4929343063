"""Matrix factorisation keeps the laws of a kind."""

from typing import ClassVar

from contract.recommenders.kind_laws import PersonalKindLaws


class TestMf(PersonalKindLaws):
    kind = "mf"
    hyperparameters: ClassVar = {"batch_size": 512, "embedding_size": 4, "reg": 2.0}
