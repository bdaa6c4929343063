"""The configuration as YAML and back: plain data only, and nothing that YAML would read in a surprising way.

Refused with line and column: a key that is given twice or is no text, an alias (which may stand for more than a file
could hold), a tag, and more than one document. Only true and false are booleans, and times stay text.
"""

from collections.abc import Hashable, Mapping
from typing import Any, Final, cast

import yaml

from lamella.errors import InvalidInput
from lamella.experiments.model import Json

LARGEST_BYTES: Final = 8 * 1024 * 1024
_DEEPEST: Final = 64
_TIME_TAG: Final = "tag:yaml.org,2002:timestamp"
_BOOL_TAG: Final = "tag:yaml.org,2002:bool"
_WORDS: Final = frozenset("yYnNoO")
_LINE_ENDS: Final = frozenset("\r\x85\u2028\u2029\ufeff")


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # it publishes no types
    """The safe loader, stricter."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """The next node. Raises ComposerError for an alias and for what is nested too deeply."""
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.composer.ComposerError(None, None, "an alias is not accepted; write it out", event.start_mark)
        self.depth += 1
        if self.depth > _DEEPEST:
            raise yaml.composer.ComposerError(
                None, None, f"nested more than {_DEEPEST} levels deep", self.peek_event().start_mark
            )
        node = super().compose_node(parent, index)
        self.depth -= 1
        return cast("yaml.Node | None", node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: ARG002, FBT001, FBT002
        """The mapping. Raises ConstructorError for a key that is no text or is there twice."""
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is no text; put it in quotes", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return cast("dict[Hashable, Any]", super().construct_mapping(node, deep=True))


# What PyYAML would guess beyond JSON: times, and yes, no, on, off for booleans.
_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in found
        if tag not in (_TIME_TAG, "tag:yaml.org,2002:merge") and not (tag == _BOOL_TAG and first in _WORDS)
    ]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_yaml(text: str | bytes, *, where: str = "the document") -> Mapping[str, Json]:
    """The object in YAML or JSON text. Raises InvalidInput with the line and column of the first fault."""
    if len(text) > LARGEST_BYTES:
        raise InvalidInput(f"{where} has {len(text)} bytes; at most {LARGEST_BYTES}")
    try:
        loader = _Loader(text)
        try:
            found = loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = "" if mark is None else f":{mark.line + 1}:{mark.column + 1}"
        raise InvalidInput(f"{where}{place}: {error.problem or error.context}") from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise InvalidInput(f"{where} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise InvalidInput(
            f"{where} holds {type(found).__name__}; write an object with layers, parameters, experiments"
        )
    return found


def write_yaml(document: Mapping[str, Json]) -> str:
    """The document as YAML in block style, in its own order; reading it gives the same document."""
    return str(yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120))


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]  # the same
    """The safe dumper without aliases."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML's signature
        """Always: equal parts are written out."""
        return True


def _text(dumper: _Dumper, text: str) -> yaml.Node:
    """The text; in double quotes, escaped, where it holds what YAML takes for the end of a line."""
    style = '"' if not _LINE_ENDS.isdisjoint(text) else None
    return cast("yaml.Node", dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style))


_Dumper.add_representer(str, _text)
