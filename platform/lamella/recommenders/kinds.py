"""The registered model kinds, by name. Importing this imports no TensorFlow: a kind does when it trains."""

import difflib
from collections.abc import Mapping
from typing import Final

from lamella.errors import InvalidInput
from lamella.recommenders import mf, newest, popularity, textcnn
from lamella.recommenders.kind import AnyKind

KINDS: Final[Mapping[str, AnyKind]] = {
    each.name: each for each in (newest.KIND, popularity.KIND, mf.KIND, textcnn.KIND)
}


def kind_named(name: str) -> AnyKind:
    """The kind of that name. Raises InvalidInput that says which there are."""
    found = KINDS.get(name)
    if found is None:
        near = difflib.get_close_matches(name, KINDS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(KINDS)}"
        raise InvalidInput(f"no model kind {name!r}; {hint}")
    return found
