"""BentoML with ONNX Runtime: scores and answers, and records nothing."""

import os

import bentoml
from scoring import Scorer


@bentoml.service(workers=2, traffic={"timeout": 10})
class Deep:
    def __init__(self) -> None:
        self.scorer = Scorer(os.environ["DEEP_ONNX"])

    @bentoml.api
    def score(self, user: int) -> dict:
        return {"items": self.scorer(user)}
