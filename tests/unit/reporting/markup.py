"""Reads rendered HTML back: a strict tree of elements, by the standard library's parser."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "br", "link", "hr", "img", "input"}


@dataclass
class Element:
    """An element with its attributes, its own text and its children."""

    tag: str
    attributes: dict[str, str]
    children: "list[Element]" = field(default_factory=list)
    content: "list[str | Element]" = field(default_factory=list)

    def walk(self) -> "Iterator[Element]":
        """The element and everything below it."""
        yield self
        for child in self.children:
            yield from child.walk()

    def all(self, tag: str, kind: str = "") -> "list[Element]":
        """Every element below with this tag and, if given, this class."""
        return [one for one in self.walk() if one.tag == tag and (not kind or kind in one.classes)]

    @property
    def classes(self) -> list[str]:
        """The element's classes."""
        return self.attributes.get("class", "").split()

    @property
    def text(self) -> str:
        """All text within, in the order of the document."""
        return " ".join(filter(None, (one if isinstance(one, str) else one.text for one in self.content)))


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> repeats an attribute"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self._place(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._place(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.open[-1].content.append(data.strip())

    def _place(self, element: Element) -> None:
        self.open[-1].children.append(element)
        self.open[-1].content.append(element)


def parse(html: str) -> Element:
    """The tree; fails where an element is not closed, or closed in the wrong place."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert len(reader.open) == 1, f"<{reader.open[-1].tag}> is never closed"
    return reader.root
