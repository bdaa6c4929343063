"""What an evaluation answers: an assignment for each layer, and the parameters that follow from all of them."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from lamella.experiments.model import Json

STATIC: Final = "STATIC"
SPLIT: Final = "SPLIT"
TARGETING_MATCH: Final = "TARGETING_MATCH"
DISABLED: Final = "DISABLED"
DEFAULT: Final = "DEFAULT"
ERROR: Final = "ERROR"

KILLED: Final = "the kill switch is on"
NOTHING_RUNS: Final = "no experiment runs here"
IN_NO_EXPERIMENT: Final = "in no experiment"
PAUSED: Final = "the experiment is paused"
ON_ALLOW_LIST: Final = "on the allow-list"
PREVIEW: Final = "a preview"
KEPT: Final = "no longer eligible; it was exposed before, and the experiment keeps such units"


class Assignment(NamedTuple):
    """What one layer gave a unit, and why, as OpenFeature's reason.

    SPLIT: the hash chose the variant. TARGETING_MATCH: the same after a rule had let the unit in, or the allow-list
    or a preview chose. DEFAULT: the unit is held out, outside the domain, in no experiment, or not eligible. STATIC:
    the layer runs none. DISABLED: paused, or killed. ERROR: the rule failed. `variant` and `phase` are None where the
    defaults hold; the preview of an experiment that did not start has a variant and no phase. `counted` says whether
    the unit takes part in the analysis: it has a variant, and the hash chose it. `detail` tells people more.
    """

    layer: str
    experiment: str | None
    variant: str | None
    phase: int | None
    reason: str
    counted: bool
    detail: str = ""


class Decision(NamedTuple):
    """What a unit gets: every parameter's value, and one assignment a layer, in the order of the layers."""

    parameters: Mapping[str, Json]
    assignments: tuple[Assignment, ...]
    version: int


def held_out(holdout: str) -> str:
    """The detail of a layer from which the holdout keeps the unit."""
    return f"held out by {holdout!r}"


def outside(domain: str) -> str:
    """The detail of a layer whose domain the unit is not in."""
    return f"outside domain {domain!r}"


def taken_by(domain: str) -> str:
    """The detail of a layer of the general traffic for a unit that a non-overlapping domain has."""
    return f"in the non-overlapping domain {domain!r}"


def no_unit(kind: str) -> str:
    """The detail of a layer whose kind of unit the request does not name."""
    return f"the request names no {kind}"
