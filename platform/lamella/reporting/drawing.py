"""The small pieces that charts are made of: across at shares of the width, down at pixels."""

from collections.abc import Iterable

from markupsafe import Markup

SLOTS = 6
SYMBOLS = (
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
    "M-3.7 -3.7h7.4v7.4h-7.4z",
    "M0 -5l4.6 8.4h-9.2z",
    "M0 -5.2l5.2 5.2l-5.2 5.2l-5.2 -5.2z",
    "M-4.6 -3.4h9.2l-4.6 8.4z",
    "M-1.6 -5h3.2v3.4h3.4v3.2h-3.4v3.4h-3.2v-3.4h-3.4v-3.2h3.4z",
)


def join(parts: Iterable[Markup]) -> Markup:
    """The parts one after another."""
    return Markup("").join(parts)


def image(identity: str, title: str, description: str, *, height: int, kind: str, parts: Iterable[Markup]) -> Markup:
    """A chart with a name and a description, as wide as what holds it."""
    return Markup(
        '<svg class="{kind}" width="100%" height="{height}" role="img" aria-labelledby="{id}-t {id}-d">'
        '<title id="{id}-t">{title}</title><desc id="{id}-d">{description}</desc>{body}</svg>'
    ).format(kind=kind, height=height, id=identity, title=title, description=description, body=join(parts))


def percent(share: float) -> str:
    """A share of the width, as SVG writes it."""
    return f"{share * 100:.3f}%"


def vertical(share: float, height: str, kind: str) -> Markup:
    """A line from the top down to `height`, pixels or a percentage."""
    return Markup('<line class="{}" x1="{}" x2="{}" y1="0" y2="{}"/>').format(
        kind, percent(share), percent(share), height
    )


def label(share: float, y: float, text: str) -> Markup:
    """A tick's label, centred below its tick."""
    return Markup('<text class="lm-tick" x="{}" y="{:g}" text-anchor="middle">{}</text>').format(
        percent(share), y, text
    )


def symbol(share: float, y: float, path: str, kind: str) -> Markup:
    """A shape of fixed size at a share of the width."""
    return Markup('<svg x="{}" y="{:.2f}" overflow="visible"><path class="{}" d="{}"/></svg>').format(
        percent(share), y, kind, path
    )
