"""Semantic versions, compared as semver.org 2.0.0 says; partial ones and a leading v are completed first."""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from lamella.experiments.model import Json

_CORE: Final = r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)"
_PRE: Final = r"(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_BUILD: Final = r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
_PATTERN: Final = re.compile(rf"{_CORE}(?:-({_PRE}(?:\.{_PRE})*))?{_BUILD}")
_LONGEST: Final = 256


class Version(NamedTuple):
    """A version; `order` sorts as semver.org orders (a release after its pre-releases, build metadata ignored)."""

    major: int
    minor: int
    order: tuple[int, int, int, tuple[tuple[int, int, str], ...]]


def parse_version(value: Json) -> Version | None:
    """The version that `value` spells, or None if it spells none; "v1", "1.2" and 1.2 are completed with zeros."""
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        return None
    spelled = str(value)
    if len(spelled) > _LONGEST:
        return None
    spelled = spelled[1:] if spelled.startswith(("v", "V")) else spelled
    numbers = re.split(r"[-+]", spelled, maxsplit=1)[0]
    padded = numbers + ".0" * (2 - numbers.count(".")) + spelled[len(numbers) :]
    found = _PATTERN.fullmatch(padded)
    if not found:
        return None
    major, minor, patch, pre = found.groups()
    parts = pre.split(".") if pre else ()
    marks = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts)
    return Version(int(major), int(minor), (int(major), int(minor), int(patch), marks or ((2, 0, ""),)))


COMPARISONS: Final[dict[str, Callable[[Version, Version], bool]]] = {
    "=": lambda left, right: left.order == right.order,
    "!=": lambda left, right: left.order != right.order,
    "<": lambda left, right: left.order < right.order,
    "<=": lambda left, right: left.order <= right.order,
    ">": lambda left, right: left.order > right.order,
    ">=": lambda left, right: left.order >= right.order,
    "^": lambda left, right: left.major == right.major,
    "~": lambda left, right: (left.major, left.minor) == (right.major, right.minor),
}


def compare_versions(left: Json, comparison: Json, right: Json) -> bool | None:
    """Whether two versions compare so, as flagd's `sem_ver`; None where a version or the comparison is none."""
    first, second = parse_version(left), parse_version(right)
    wanted = COMPARISONS.get(comparison) if isinstance(comparison, str) else None
    return None if first is None or second is None or wanted is None else wanted(first, second)
