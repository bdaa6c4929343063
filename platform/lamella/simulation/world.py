"""The simulated newsroom as a whole: headlines, readers and how they click, from one seed."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np

from lamella.events.contract import Click, Feedback, Interaction, Read, Slate
from lamella.simulation.catalogue import Newsroom, load_newsroom
from lamella.simulation.readers import SLATE_SIZE, Behaviour, ClickModel, Readers, calibrate, draw_readers

Record: TypeAlias = Slate | Feedback

DESK_SIZE: Final = 300
EXPLORED_SHARE: Final = 0.4
# The desk of the past works with noisy rates: what it takes for the best is spread over about this many headlines.
_DESK_REACH: Final = 1_500
_CALIBRATION_PAGES: Final = 5_000


@dataclass(frozen=True, eq=False, kw_only=True)
class World:
    """Everything that the simulator knows and the service must learn."""

    seed: int
    newsroom: Newsroom
    readers: Readers
    clicks: ClickModel


def make_world(*, users: int, seed: int, behaviour: Behaviour | None = None, headlines: int | None = None) -> World:
    """The world of a seed. `headlines` takes an evenly spread part of the catalogue.

    The click model is calibrated on pages such as an editor's desk without personalisation makes: half of the places
    go to any headline, half to one of the most clicked.
    """
    behaviour = behaviour or Behaviour()
    newsroom = load_newsroom(headlines)
    readers = draw_readers(users, newsroom, behaviour=behaviour, seed=seed)
    rng = np.random.default_rng([seed, 4])
    shape = (_CALIBRATION_PAGES, SLATE_SIZE)
    desk = np.argsort(-newsroom.appeal, kind="stable")[:_DESK_REACH]
    pages = np.where(
        rng.random(shape) < EXPLORED_SHARE,
        rng.integers(0, len(newsroom), shape),
        desk[rng.integers(0, len(desk), shape)],
    )
    return World(
        seed=seed, newsroom=newsroom, readers=readers, clicks=calibrate(newsroom, readers, behaviour, slates=pages)
    )


@dataclass(slots=True)
class Tally:
    """How many records of each kind the simulator made: slate, impression, click, read, interaction."""

    counts: Counter[str] = field(default_factory=Counter)

    def add(self, records: Iterable[Record]) -> None:
        """Counts records; a slate's impressions count one by one."""
        for record in records:
            match record:
                case Slate():
                    self.counts["slate"] += 1
                    self.counts["impression"] += len(record.impressions)
                case Click():
                    self.counts["click"] += 1
                case Read():
                    self.counts["read"] += 1
                case Interaction():
                    self.counts["interaction"] += 1
