"""What one visitor does with one page: clicks, reads, comments and shares, from the visit's own random numbers."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lamella.events.contract import Click, Feedback, Interaction, Read
from lamella.simulation.readers import ClickModel
from lamella.simulation.reading import Reading, draw_reading

SECONDS_A_RANK: Final = 2.0
# Feedback is sent within the hour of its page, so no event lies further behind its page than this.
_LATEST_SECONDS: Final = 3300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Whose visit it is: a reader's index and the number of the visit, within one `part` of one seed's world."""

    seed: int
    part: int
    reader: int
    number: int

    @property
    def request_id(self) -> str:
        """The id of the page's request: the same whenever the same visit is made again, and no other visit's."""
        return self._digest("page").hex()

    def rng(self) -> np.random.Generator:
        """The visit's own random numbers, so that nothing depends on the order in which visits are made."""
        return np.random.Generator(np.random.Philox(key=int.from_bytes(self._digest("draw"), "little")))

    def _digest(self, purpose: str) -> bytes:
        name = f"{purpose}/{self.seed}/{self.part}/{self.reader}/{self.number}".encode()
        return hashlib.blake2b(name, digest_size=16).digest()


def respond(
    visit: Visit, model: ClickModel, items: Sequence[int] | NDArray[np.intp], *, shown_at: datetime
) -> list[Feedback]:
    """What the visitor does with a slate of item indices in rank order: empty for most pages.

    Each click is followed by its read, and rarely by a comment or a share.
    """
    rng = visit.rng()
    behaviour = model.behaviour
    is_engaged = rng.random() < behaviour.engaged_share
    draws = rng.random(len(items))
    if not is_engaged:
        return []
    latest = shown_at + timedelta(seconds=_LATEST_SECONDS)
    opened_at = shown_at
    feedback: list[Feedback] = []
    for at in np.flatnonzero(draws < model.engaged_click(visit.reader, items)).tolist():
        reading = draw_reading(float(model.readers.habit[visit.reader]), rng)
        commented, shared = rng.random(2) < (behaviour.comment_share, behaviour.share_share)
        opened_at = min(opened_at + timedelta(seconds=SECONDS_A_RANK * (1 + at)), latest)
        click = Click(
            event_id=f"{visit.request_id}-{at + 1}",
            request_id=visit.request_id,
            unit=model.readers.units[visit.reader],
            item=model.newsroom.keys[items[at]],
            time=opened_at,
        )
        closed_at = min(opened_at + timedelta(seconds=reading.seconds), latest)
        actions = ["comment"] * bool(commented) + ["share"] * bool(shared)
        feedback += [click, *_after(click, reading, actions, closed_at)]
        opened_at = closed_at
    return feedback


def _after(click: Click, reading: Reading, actions: Sequence[str], closed_at: datetime) -> list[Feedback]:
    """The read that follows a click and, unless the page was left at once, the reader's actions."""
    read = Read(
        event_id=f"{click.event_id}-read",
        request_id=click.request_id,
        unit=click.unit,
        item=click.item,
        time=closed_at,
        read_seconds=reading.seconds,
        completion=reading.completion,
    )
    interactions = [
        Interaction(
            event_id=f"{click.event_id}-{action}",
            request_id=click.request_id,
            unit=click.unit,
            item=click.item,
            time=closed_at,
            action=action,
        )
        for action in (actions if reading.seconds > 0 else ())
    ]
    return [read, *interactions]
