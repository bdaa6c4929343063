"""Ray Serve with ONNX Runtime: two replicas that score and answer, and record nothing."""

import os
import signal
import sys

import ray
from ray import serve
from scoring import Scorer
from starlette.requests import Request


@serve.deployment(num_replicas=2, max_ongoing_requests=64, ray_actor_options={"num_cpus": 0.5})
class Deep:
    def __init__(self, path: str) -> None:
        self.scorer = Scorer(path)

    async def __call__(self, request: Request) -> dict:
        return {"items": self.scorer((await request.json())["user"])}


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Deep.bind(os.environ["DEEP_ONNX"]), route_prefix="/score")
    signal.pause()
