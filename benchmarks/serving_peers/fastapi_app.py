"""FastAPI with ONNX Runtime under uvicorn: scores and answers, and records nothing."""

import os

from fastapi import FastAPI
from fastapi.responses import ORJSONResponse
from pydantic import BaseModel
from scoring import Scorer

scorer = Scorer(os.environ["DEEP_ONNX"])
app = FastAPI(default_response_class=ORJSONResponse)


class Asked(BaseModel):
    user: int


@app.post("/score")
async def score(asked: Asked) -> ORJSONResponse:
    return ORJSONResponse({"items": scorer(asked.user)})
