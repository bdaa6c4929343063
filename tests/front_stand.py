"""The application behind its event loop: its models have proved themselves, its key is verified."""

import threading
from dataclasses import replace

import orjson
from prometheus_client import CollectorRegistry

from asgi_calls import Answered, call
from lamella.services.guarding import PROOFS
from lamella.web.app import create_app
from lamella.web.asgi import front

PATH = "/v1/recommendations"


class Together:
    """The record of the lab as a journal of groups, which says in which thread each was written."""

    def __init__(self, record) -> None:
        self.record, self.groups, self.threads, self.error, self.is_closed = record, [], [], None, False

    def append_all(self, batches) -> None:
        if self.error is not None:
            raise self.error
        self.groups.append(list(batches))
        self.threads.append(threading.current_thread())
        for batch in batches:
            self.record.append(batch)

    def close(self) -> None:
        self.is_closed = True


class Stand:
    """The lab's application behind its event loop; the first requests prove the models and verify the key."""

    are_heads_known = False
    """Whether each head comes once before the request that is looked at."""

    def __init__(self, lab) -> None:
        keys, began = lab.services.keys, lab.services.keys._monotonic()
        keys._monotonic = lambda: began  # a key stays verified, however slow the machine is
        self.lab, self.together = lab, Together(lab.record)
        services = replace(lab.services, groups=self.together, metrics=CollectorRegistry())
        self.app = create_app(services, secret=b"0" * 32)
        self.front = front(self.app)
        for number in range(2 * PROOFS + 2):
            assert self.post(orjson.dumps({"unit": f"u-{number}"})).status == 200
        self.together.groups.clear()

    def headers(self, **others: str) -> dict[str, str]:
        said = {"Content-Type": "application/json", "X-Request-Id": "same", **self.lab.bearer("client")}
        return {**said, **others}

    def post(self, body: bytes, **headers: str) -> Answered:
        return call(self.front, "POST", PATH, body, headers=self.headers(**headers))

    @property
    def at_once(self) -> int:
        """How many lists were written from the loop."""
        return sum(map(len, self.together.groups))
