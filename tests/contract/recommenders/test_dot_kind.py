"""The plain dot product keeps the laws of a kind."""

from typing import ClassVar

from contract.recommenders.kind_laws import PersonalKindLaws


class TestDot(PersonalKindLaws):
    kind = "dot"
    user_table = "user_vectors"
    hyperparameters: ClassVar = {"batch_size": 512, "embedding_size": 4, "reg": 1.0}
