"""A look inside a model as pictures, as an HTML fragment, and as a whole page that needs nothing beside itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib import resources
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lamella.reporting import latent, numbers, svg
from lamella.reporting.html import STYLESHEET
from lamella.reporting.insight_wording import say
from lamella.reporting.scale import Axis, axis
from lamella.reporting.wording import Lang, language
from lamella.services.insight import Biases, Course, Portrait, category_of

INSIGHT_STYLESHEET: Final = (resources.files("lamella.reporting") / "insight.css").read_text(encoding="utf-8")

TRAINING_SLOT: Final = 3
VALIDATION_SLOT: Final = 1

_SVG_WIDTH: Final = 860
_MARGINS: Final = (72, 58, 28, 22)
"""Of an SVG file: left, top, right, bottom."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A chart, how high it is, and its legend: the mark of each entry with its words."""

    name: str
    title: str
    chart: Markup
    height: int
    legend: tuple[tuple[Markup, str], ...] = ()


def pictures(portrait: Portrait, lang: Lang) -> Mapping[str, Picture]:
    """The charts that there are, by name: `learning-curve`, `item-biases`, `user-biases`, `map`."""
    look, found = portrait.look, []
    if look.course is not None:
        found.append(_curve(portrait, look.course, lang))
    for side, biases in (("items", look.item_biases), ("users", look.user_biases)):
        if biases.count:
            found.append(_histogram(portrait, side, biases, lang))
    if look.points:
        found.append(_map(portrait, lang))
    return {each.name: each for each in found}


def render_insight(portrait: Portrait, *, lang: str = "en") -> str:
    """The look as an HTML fragment, one `<article>` whose headings start at level 2, without inline style or script.

    STYLESHEET and INSIGHT_STYLESHEET dress it.
    """
    spoken = language(lang)
    look = portrait.look
    return (
        _environment()
        .get_template("insight.html")
        .render(
            portrait=portrait,
            look=look,
            pictures=pictures(portrait, spoken),
            lang_tag="zh-Hans" if spoken == "zh" else "en",
            t=partial(say, lang=spoken),
            count=numbers.count,
            number=partial(_number, signed=True),
            loss=_loss,
            share=numbers.share,
            key=latent.cluster_key,
            clusters=[
                {
                    "number": number,
                    "size": one.size,
                    "share": one.size / look.placed,
                    "categories": ", ".join(
                        f"{name} {numbers.share(share, 0)}" for name, share in portrait.categories(number)
                    ),
                    "typical": [portrait.title(key) for key, _ in one.typical[:4]],
                }
                for number, one in enumerate(look.clusters, start=1)
            ],
            category=lambda key: category_of(portrait.items[key]) if key in portrait.items else None,
        )
    )


def render_insight_page(portrait: Portrait, *, lang: str = "en") -> str:
    """A complete HTML file; styles are inside, nothing is fetched."""
    spoken = language(lang)
    return (
        _environment()
        .get_template("insight_page.html")
        .render(
            lang_tag="zh-Hans" if spoken == "zh" else "en",
            title=say("title", spoken, reference=portrait.version.reference),
            stylesheet=Markup(STYLESHEET + INSIGHT_STYLESHEET),  # noqa: S704 - our own files
            fragment=Markup(render_insight(portrait, lang=lang)),  # noqa: S704 - escaped by its template
            footer=say("produced_by", spoken),
        )
    )


def render_files(portrait: Portrait, *, lang: str = "en") -> Mapping[str, str]:
    """Each picture as an SVG file of its own, by file name."""
    spoken = language(lang)
    return {f"{name}.svg": _file(portrait, each) for name, each in pictures(portrait, spoken).items()}


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("lamella.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _file(portrait: Portrait, picture: Picture) -> str:
    left, top, right, bottom = _MARGINS
    columns = min(4, max(1, len(picture.legend)))
    rows = -(-len(picture.legend) // columns)
    height = top + picture.height + 22 * rows + bottom
    width = _SVG_WIDTH - left - right
    legend = Markup("").join(
        Markup(
            '<svg x="{}" y="{}" overflow="visible">{}<text class="lm-legend-text" x="34" y="11">{}</text></svg>'
        ).format(
            left + (at % columns) * width // columns, top + picture.height + 12 + 22 * (at // columns), mark, words
        )
        for at, (mark, words) in enumerate(picture.legend)
    )
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" class="lm-report lm-file" width="{w}" height="{h}" '
        'viewBox="0 0 {w} {h}">'
        '<style>{style}</style><rect class="lm-paper" width="100%" height="100%"/>'
        '<text class="lm-heading" x="{left}" y="26">{title}</text>'
        '<svg x="{left}" y="{top}" width="{width}" height="{inner}" overflow="visible">{chart}</svg>{legend}</svg>\n'
    ).format(
        w=_SVG_WIDTH,
        h=height,
        style=STYLESHEET + INSIGHT_STYLESHEET,
        left=left,
        top=top,
        title=f"{portrait.version.reference}: {picture.title}",
        width=width,
        inner=picture.height,
        chart=picture.chart,
        legend=legend,
    )


def _curve(portrait: Portrait, course: Course, lang: Lang) -> Picture:
    losses = axis([*course.training, *course.validation], count=5)
    epochs = len(course.training)
    frame = svg.Frame(
        identity=f"{_identity(portrait)}-curve",
        title=say("curve", lang),
        description=say(
            "curve.description",
            lang,
            epochs=epochs,
            best=course.best_epoch,
            loss=_loss(course.validation[course.best_epoch]),
        ),
        x=svg.Ruler(
            axis=_whole(axis([0, max(1, epochs)], count=8, padding=0)),
            text=lambda tick: f"{tick:.0f}",
            mark=(float(course.best_epoch), say("kept", lang, epoch=course.best_epoch)),
        ),
        y=svg.Ruler(axis=losses, text=lambda tick: numbers.fixed(tick, losses.places())),
    )
    lines = [
        svg.Line(
            name=say("training", lang),
            slot=TRAINING_SLOT,
            points=tuple(svg.Point(x=at, y=loss) for at, loss in enumerate(course.training, start=1)),
        ),
        svg.Line(
            name=say("validation", lang),
            slot=VALIDATION_SLOT,
            points=tuple(svg.Point(x=at, y=loss) for at, loss in enumerate(course.validation)),
        ),
    ]
    return Picture(
        name="learning-curve",
        title=say("curve", lang),
        chart=svg.trend(lines, frame),
        height=svg.PLOT_HEIGHT + 22,
        legend=tuple((svg.key(each.slot), each.name) for each in lines),
    )


def _histogram(portrait: Portrait, side: str, biases: Biases, lang: Lang) -> Picture:
    x = axis([biases.edges[0], biases.edges[-1]], count=6)
    mean, deviation = biases.mean or 0.0, biases.deviation or 0.0
    title = say(f"biases.{side}", lang)
    description = say(
        "biases.description",
        lang,
        count=numbers.count(biases.count),
        low=_number(biases.edges[0], signed=True),
        high=_number(biases.edges[-1], signed=True),
        mean=_number(mean, signed=True),
        deviation=_number(deviation),
    )
    return Picture(
        name="item-biases" if side == "items" else "user-biases",
        title=title,
        chart=latent.histogram(
            latent.Bars(
                edges=biases.edges,
                counts=biases.counts,
                mark=(mean, say("mean", lang, value=_number(mean, signed=True))),
            ),
            latent.Named(identity=f"{_identity(portrait)}-{side}", title=title, description=description),
            x,
            _whole(axis([0, max(biases.counts)], count=4, snap=True)),
            lambda tick: numbers.fixed(tick, x.places()),
        ),
        height=latent.HISTOGRAM_HEIGHT + latent.AXIS_HEIGHT,
    )


def _map(portrait: Portrait, lang: Lang) -> Picture:
    points, clusters = portrait.look.points, portrait.look.clusters
    description = say("map.description", lang, shown=len(points), clusters=len(clusters))
    return Picture(
        name="map",
        title=say("map", lang),
        chart=latent.item_map(
            [
                latent.Dot(x=each.x, y=each.y, cluster=each.cluster - 1, title=portrait.title(each.item))
                for each in points
            ],
            latent.Named(identity=f"{_identity(portrait)}-map", title=say("map", lang), description=description),
            axis([each.x for each in points], count=8),
            axis([each.y for each in points], count=6),
            lambda tick, on: numbers.fixed(tick, on.places()),
        ),
        height=latent.MAP_HEIGHT + latent.AXIS_HEIGHT,
        legend=tuple(
            (latent.cluster_key(number - 1), _cluster_words(portrait, number, one.size))
            for number, one in enumerate(clusters, start=1)
        ),
    )


def _cluster_words(portrait: Portrait, number: int, size: int) -> str:
    """The number of a cluster, its most frequent category, and how many items it has."""
    first = [shorten(name) for name, _ in portrait.categories(number)[:1]]
    return " · ".join([str(number), *first, numbers.count(size)])


def shorten(text: str, most: int = 16) -> str:
    """The text, or its beginning and an ellipsis, so that it has at most `most` characters.

    >>> shorten("politics"), shorten("a category with a long name", 12)
    ('politics', 'a category …')
    """
    return text if len(text) <= most else text[: most - 1] + "…"


def _whole(found: Axis) -> Axis:
    """The axis with ticks at whole numbers only."""
    return Axis(
        low=found.low,
        high=found.high,
        step=max(1.0, found.step),
        ticks=tuple(tick for tick in found.ticks if abs(tick - round(tick)) < 1e-9),
    )


def _number(value: float, *, signed: bool = False) -> str:
    return numbers.fixed(value, min(4, max(2, numbers.decimals(value, significant=2))), signed=signed)


def _loss(value: float | None) -> str:
    return "–" if value is None else numbers.fixed(value, 5)


def _identity(portrait: Portrait) -> str:
    return f"lm-{portrait.version.name}-{portrait.version.number}"
