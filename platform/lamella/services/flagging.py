"""Which units are no readers: robots by a rule over the context, colleagues by a list. No analysis counts them."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from lamella.errors import InvalidRule
from lamella.experiments.model import Json
from lamella.experiments.targeting import compile_rule

BOT: Final = "bot"
INTERNAL: Final = "internal"
REASONS: Final = (BOT, INTERNAL)

_WORDS: Final = ("bot", "crawl", "spider", "slurp", "headless", "curl/", "wget/", "python-requests", "scrapy")
DEFAULT_RULE: Final = json.dumps({"or": [{"in": [word, {"var": ["user_agent", ""]}]} for word in _WORDS]})
_REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """A unit that no analysis counts: `reason` is one of REASONS, `detail` the rule or the person that said so."""

    unit: str
    reason: str
    detail: str
    at: datetime


class FlagStore(Protocol):
    """The units that no analysis counts."""

    def put(self, flag: Flag) -> None:
        """From now on the unit is left out; a flag that it has already is replaced."""
        ...

    def remove(self, unit: str) -> None:
        """From now on the unit counts again. Raises NotFound."""
        ...

    def all(self, *, skip: int = 0, limit: int = 100) -> "list[Flag]":
        """The flags by unit, after the first `skip`."""
        ...

    def flag_heavy(self, *, slates: int, now: datetime) -> int:
        """How many units were flagged as bots because they got more than `slates` on one day, today or yesterday."""
        ...


class Flagging:
    """Tells robots and colleagues. `rule` is JsonLogic over the context, whose `user_agent` it sees in lower case.

    Raises InvalidRule for a rule that cannot be compiled.
    """

    def __init__(self, rule: str = DEFAULT_RULE, internal: Collection[str] = ()) -> None:
        try:
            written = json.loads(rule)
        except ValueError as error:
            raise InvalidRule(f"the rule for bots is no JSON: {error}") from None
        self._rule, self._internal = compile_rule(written), frozenset(internal)
        self._attributes = tuple(sorted(self._rule.reads))
        self._known: dict[tuple[Json, ...], bool] = {}

    def flag(self, unit: str, context: Mapping[str, Json], at: datetime) -> Flag | None:
        """The flag that the unit gets for what it sent, or None for a reader."""
        if unit in self._internal:
            return Flag(unit=unit, reason=INTERNAL, detail="it is on the list of internal units", at=at)
        if context and self._is_bot(context):
            agent = context.get("user_agent")
            detail = f"user agent {agent!r:.200}" if isinstance(agent, str) else "the rule for bots"
            return Flag(unit=unit, reason=BOT, detail=detail, at=at)
        return None

    def doubtful(
        self, units: Sequence[str], contexts: Sequence[Mapping[str, Json]]
    ) -> Iterable[tuple[str, Mapping[str, Json]]]:
        """Those of these units, with their contexts, that may get a flag: not those whose like was seen to be a reader.

        Looks at all contexts at once, which costs a tenth of asking for the flag of each.
        """
        pairs = zip(units, contexts, strict=True)
        if self._rule.needs_unit or not self._attributes or not self._internal.isdisjoint(units):
            return pairs
        read = list(zip(*([context.get(name) for context in contexts] for name in self._attributes), strict=True))
        try:
            readers = {each for each in set(read) if self._known.get(each) is False}
        except TypeError:
            return pairs
        return [pair for pair, each in zip(pairs, read, strict=True) if each not in readers]

    def _is_bot(self, context: Mapping[str, Json]) -> bool:
        if self._rule.needs_unit:
            return self._rule.match(_lowered(context)).matched
        read = tuple(context.get(name) for name in self._attributes)
        try:
            known = self._known.get(read)
        except TypeError:
            return self._rule.match(_lowered(context)).matched
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[read] = self._rule.match(_lowered(context)).matched
        return known


def _lowered(context: Mapping[str, Json]) -> Mapping[str, Json]:
    agent = context.get("user_agent")
    return {**context, "user_agent": agent.lower()} if isinstance(agent, str) else context
