"""Turns a JsonLogic rule into closures, and collects everything that is wrong with it on the way."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Final

from lamella.experiments import rule_nodes as nodes
from lamella.experiments.fields import value_fault
from lamella.experiments.model import Json
from lamella.experiments.operators import LARGEST_TOTAL, OPERATORS
from lamella.experiments.rule_nodes import Node
from lamella.experiments.versions import COMPARISONS, parse_version

RESERVED: Final = "$flagd"
DEEPEST_RULE: Final = 24
LARGEST_RULE: Final = 20_000
_CONTROL: Final = ("if", "?:", "and", "or", "var", "missing", "missing_some")
_OVER_LISTS: Final = ("all", "some", "none", "filter", "map", "reduce")
_KNOWN: Final = (*_CONTROL, *_OVER_LISTS, *OPERATORS)
_NOTHING: Final = nodes.literal(None)


class Compiler:
    """Compiles one rule. `faults` lists what is wrong; the nodes are good only if it stays empty.

    `reads` names the top-level attributes that the rule looks at; `is_open` says that it may look at others too.
    """

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.reads: set[str] = set()
        self.is_open = False
        self._inner = 0
        self._depth = 0
        self._size = 0

    def compile(self, part: Json, path: str) -> Node:
        """The node of one part of the rule; `path` says where it stands, for the faults."""
        self._size += 1
        if self._depth > DEEPEST_RULE:
            return self._fault(path, f"is nested more than {DEEPEST_RULE} levels deep; make the rule flatter")
        if self._size > LARGEST_RULE:
            return _NOTHING if self._size > LARGEST_RULE + 1 else self._fault(path, "makes the rule too long; split it")
        self._depth += 1
        try:
            return self._compile(part, path)
        finally:
            self._depth -= 1

    def _compile(self, part: Json, path: str) -> Node:
        if isinstance(part, Mapping):
            return self._operation(part, path)
        if isinstance(part, Sequence) and not isinstance(part, str):
            if not any(isinstance(one, (Mapping, list, tuple)) for one in part):
                return self._literal(list(part), path)
            return nodes.listing([self.compile(one, f"{path}[{i}]") for i, one in enumerate(part)])
        return self._literal(part, path)

    def _literal(self, value: Json, path: str) -> Node:
        fault = value_fault(value)
        return self._fault(path, fault) if fault else nodes.literal(value)

    def _fault(self, path: str, sentence: str) -> Node:
        self.faults.append(f"{path} {sentence}")
        return _NOTHING

    def _operation(self, part: Mapping[str, Json], path: str) -> Node:
        if len(part) != 1:
            found = ", ".join(map(repr, part)) or "none"
            return self._fault(path, f"must hold exactly one operator, not {found}; join several with 'and'")
        name, given = next(iter(part.items()))
        place = f"{path}.{name}"
        if name not in _KNOWN:
            close = difflib.get_close_matches(str(name), _KNOWN, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(_KNOWN)}"
            return self._fault(place, f"is no operator; {hint}")
        arguments = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
        if name in OPERATORS:
            return self._plain(name, arguments, place)
        if name in _OVER_LISTS:
            return self._over_list(name, arguments, place)
        return self._control(name, arguments, place)

    def _counted(self, arguments: Sequence[Json], least: int, most: int | None, place: str) -> bool:
        if least <= len(arguments) and (most is None or len(arguments) <= most):
            return True
        wanted = str(least) if most == least else f"at least {least}" if most is None else f"{least} to {most}"
        noun = "argument" if wanted.endswith("1") else "arguments"
        self._fault(place, f"takes {wanted} {noun}, not {len(arguments)}")
        return False

    def _all(self, arguments: Sequence[Json], place: str) -> list[Node]:
        return [self.compile(one, f"{place}[{i}]") for i, one in enumerate(arguments)]

    def _plain(self, name: str, arguments: Sequence[Json], place: str) -> Node:
        operator = OPERATORS[name]
        if not self._counted(arguments, operator.least, operator.most, place):
            return _NOTHING
        self._check_literals(name, arguments, place)
        return nodes.call(operator.function, self._all(arguments, place))

    def _check_literals(self, name: str, arguments: Sequence[Json], place: str) -> None:
        """Nothing; adds a fault for each argument written out in the rule that can never work."""
        written = [(i, one) for i, one in enumerate(arguments) if not isinstance(one, Mapping)]
        if name == "sem_ver":
            self._check_versions(written, place)
        elif name in ("starts_with", "ends_with"):
            for i, one in written:
                if not isinstance(one, str):
                    self._fault(f"{place}[{i}]", f"is {one!r}; {name} compares text")
        elif name == "fractional":
            self._check_shares(arguments, place)

    def _check_versions(self, written: Sequence[tuple[int, Json]], place: str) -> None:
        for i, one in written:
            if i == 1 and one not in COMPARISONS:
                self._fault(f"{place}[1]", f"is {one!r}; it must be one of {' '.join(COMPARISONS)}")
            if i != 1 and parse_version(one) is None:
                self._fault(f"{place}[{i}]", f"is {one!r}, no version; write one such as '1.4.2'")

    def _check_shares(self, arguments: Sequence[Json], place: str) -> None:
        if not isinstance(arguments[0], (Mapping, str)):
            example = "{'cat': ['my-salt:', {'var': 'targetingKey'}]}"
            self._fault(f"{place}[0]", f"must say what is hashed, for example {example}")
        weights = [self._check_share(share, f"{place}[{i}]") for i, share in enumerate(arguments[1:], start=1)]
        total = sum(weight for weight in weights if weight is not None)
        if total > LARGEST_TOTAL or (total <= 0 and None not in weights):
            self._fault(place, f"has weights that sum to {total}; the sum must be 1 to {LARGEST_TOTAL}")

    def _check_share(self, share: Json, place: str) -> int | None:
        """The weight of one share of a fractional; None where it is computed, or faulty."""
        if isinstance(share, Mapping):
            return None
        if not isinstance(share, (list, tuple)) or len(share) not in (1, 2):
            self._fault(place, "must be a list of a value and an integer weight, such as ['b', 50]")
            return None
        weight = share[1] if len(share) == 2 else 1
        if isinstance(weight, int) and not isinstance(weight, bool) and weight >= 0:
            return weight
        if not isinstance(weight, Mapping):
            self._fault(place, f"has weight {weight!r}; a weight is an integer of 0 or more")
        return None

    def _over_list(self, name: str, arguments: Sequence[Json], place: str) -> Node:
        if not self._counted(arguments, 2, 3 if name == "reduce" else 2, place):
            return _NOTHING
        items = self.compile(arguments[0], f"{place}[0]")
        self._inner += 1
        body = self.compile(arguments[1], f"{place}[1]")
        self._inner -= 1
        if name != "reduce":
            return nodes.each(name, items, body)
        start = arguments[2] if len(arguments) == 3 else None
        if isinstance(start, Mapping):
            return self._fault(f"{place}[2]", "must be a value, not an operation; reduce starts from a constant")
        return nodes.fold(items, body, start)

    def _control(self, name: str, arguments: Sequence[Json], place: str) -> Node:
        if name == "var":
            return self._attribute(arguments, place)
        if name == "missing":
            self._note(arguments[0] if arguments and isinstance(arguments[0], list) else arguments)
            return nodes.missing(nodes.listing(self._all(arguments, place)))
        if name == "missing_some":
            if not self._counted(arguments, 2, 2, place):
                return _NOTHING
            self._note(arguments[1] if isinstance(arguments[1], (list, tuple)) else [arguments[1]])
            needed, names = self._all(arguments, place)
            return nodes.missing_some(needed, names)
        if not self._counted(arguments, 2 if name in ("if", "?:") else 1, None, place):
            return _NOTHING
        parts = self._all(arguments, place)
        return nodes.choice(parts) if name in ("if", "?:") else nodes.junction(parts, stops_at=name == "or")

    def _note(self, names: Sequence[Json]) -> None:
        for name in names:
            if not isinstance(name, str) or not name:
                self.is_open = True
            elif not self._inner:
                self.reads.add(name.split(".", maxsplit=1)[0])

    def _attribute(self, arguments: Sequence[Json], place: str) -> Node:
        if not self._counted(arguments, 0, 2, place):
            return _NOTHING
        name = arguments[0] if arguments else None
        default = self.compile(arguments[1], f"{place}[1]") if len(arguments) == 2 else None
        if isinstance(name, str) and name.split(".", maxsplit=1)[0] == RESERVED:
            return self._fault(place, f"reads {name!r}; a rule sees the context only, not flagd's own values")
        if isinstance(name, (bool, float)):
            return self._fault(place, f"names {name!r}; name an attribute with text, a list item with an integer")
        self._note([name])
        if isinstance(name, str) and name:
            return nodes.attribute(name, default)
        return nodes.computed_attribute(self.compile(name, f"{place}[0]"), default)
