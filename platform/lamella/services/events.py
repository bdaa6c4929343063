"""What webhooks are told: the name of an event, and whether a subscription wants it."""

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Final

from lamella.experiments.model import Json

VERDICT_CHANGED: Final = "verdict.changed"
VERDICT_HARM: Final = "verdict.harm"
_WAITING: Final = "keep_running"
_HARM: Final = "stop_for_harm"
PATTERN: Final = re.compile(r"\*|[a-z_]+\.(\*|[a-z_]+)")
"""An event such as `experiment.start`, every one of a kind (`experiment.*`), or every one (`*`)."""


def event_name(kind: str, action: str) -> str:
    """How the event is called.

    >>> event_name("experiment", "start")
    'experiment.start'
    """
    return f"{kind}.{action}"


def report_events(previous: Mapping[str, Json] | None, document: Mapping[str, Json]) -> list[dict[str, Json]]:
    """What a new report tells that the one before it in its phase did not: `verdict.changed`, and `verdict.harm`.

    The verdict changed where its decision or its variant did; a first report that only says to keep running tells
    nothing. Harm is told once, when the decision becomes to stop for it, by a guardrail or by the primary metric.
    """
    about, verdict = _part(document, "experiment"), _part(document, "verdict")
    before = {} if previous is None else _part(previous, "verdict")
    was, now = before.get("decision"), verdict.get("decision")
    if (was, before.get("variant")) == (now, verdict.get("variant")) or (was is None and now == _WAITING):
        return []
    told: dict[str, Json] = {
        "experiment": about.get("key"),
        "layer": about.get("layer"),
        "phase": about.get("phase"),
        "as_of": document.get("as_of"),
        "before": {"decision": was, "variant": before.get("variant")} if previous is not None else None,
        "after": {"decision": now, "variant": verdict.get("variant"), "reason": verdict.get("reason")},
    }
    names = [VERDICT_CHANGED, *([VERDICT_HARM] if now == _HARM and was != _HARM else [])]
    return [{"event": name, **told} for name in names]


def _part(document: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    part = document.get(name)
    return part if isinstance(part, Mapping) else {}


def is_wanted(event: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns takes the event.

    >>> is_wanted("experiment.start", ["layer.*"]), is_wanted("experiment.start", ["experiment.*"])
    (False, True)
    """
    return any(fnmatchcase(event, pattern) for pattern in patterns)
