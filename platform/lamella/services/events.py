"""What webhooks are told: the name of an event, and whether a subscription wants it."""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Final

PATTERN: Final = re.compile(r"\*|[a-z_]+\.(\*|[a-z_]+)")
"""An event such as `experiment.start`, every one of a kind (`experiment.*`), or every one (`*`)."""


def event_name(kind: str, action: str) -> str:
    """How the event is called.

    >>> event_name("experiment", "start")
    'experiment.start'
    """
    return f"{kind}.{action}"


def is_wanted(event: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns takes the event.

    >>> is_wanted("experiment.start", ["layer.*"]), is_wanted("experiment.start", ["experiment.*"])
    (False, True)
    """
    return any(fnmatchcase(event, pattern) for pattern in patterns)
