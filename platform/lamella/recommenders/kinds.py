"""The registered model kinds, by name. Importing this imports no TensorFlow: a kind does when it trains."""

import difflib
from collections.abc import Mapping
from typing import Final

from lamella.errors import InvalidInput
from lamella.recommenders import cnn, deep, dot, fm, gru, lstm, mf, ncf, newest, popularity, textcnn, twotower
from lamella.recommenders.kind import AnyKind

_ALL: Final[tuple[AnyKind, ...]] = (
    newest.KIND,
    popularity.KIND,
    dot.KIND,
    mf.KIND,
    deep.KIND,
    fm.KIND,
    ncf.KIND,
    twotower.KIND,
    textcnn.KIND,
    cnn.KIND,
    gru.KIND,
    lstm.KIND,
)
KINDS: Final[Mapping[str, AnyKind]] = {each.name: each for each in _ALL}


def kind_named(name: str) -> AnyKind:
    """The kind of that name. Raises InvalidInput that says which there are."""
    found = KINDS.get(name)
    if found is None:
        near = difflib.get_close_matches(name, KINDS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(KINDS)}"
        raise InvalidInput(f"no model kind {name!r}; {hint}")
    return found
