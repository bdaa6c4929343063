"""The explored parts as tables of a page: the primary metric by day, segment and experiment beside it, and health."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lamella.experiments.model import Json
from lamella.reporting import numbers
from lamella.reporting.parts import Cell, rows
from lamella.reporting.view import Interval, Metric, Report
from lamella.reporting.wording import Lang, reason_text, word

_SERIES: Final = ("daily", "cumulative", "since_exposure")


@dataclass(frozen=True, slots=True, kw_only=True)
class PartTable:
    """One table: its heading, the names of its columns, and its rows as text; `failed` says why there is none."""

    heading: str
    intro: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    failed: str = ""


def tables(report: Report, lang: Lang) -> tuple[PartTable, ...]:
    """A table for each part that the report has explored; none for one that has explored nothing."""
    held: Mapping[str, Json] = {"experiment": {"key": report.key, "phase": report.phase}, **report.explored}
    if not report.explored:
        return ()
    primary = report.primary
    metric = primary.key if primary else ""
    found = [_compared(rows(held, part), part, metric, primary, lang) for part in (*_SERIES, "segments")]
    found.append(_interactions(rows(held, "interactions"), primary, lang))
    found += [_figures(rows(held, part), part, _labels(held, lang), lang) for part in ("health", "service")]
    parts = (*("series",) * 3, "segments", "interactions", "health", "health")
    return tuple(
        PartTable(
            heading=each.heading,
            intro=" ".join(filter(None, (each.intro, _left_out(held, part, lang)))),
            columns=each.columns,
            rows=each.rows,
            failed=_failed(held, part),
        )
        for part, each in zip(parts, found, strict=True)
        if each.rows or _failed(held, part)
    )


def _compared(
    found: Iterable[Mapping[str, Cell]], part: str, metric: str, primary: Metric | None, lang: Lang
) -> PartTable:
    unit = primary.unit if primary else "count"
    lines = tuple(
        (
            f"{row['slice']}",
            str(row["variant"]),
            numbers.count(_number(row["units"])),
            _text(numbers.amount(_number(row["value"]), unit), row["value"], row["undefined"], lang),
            *_lift(row, lang),
            numbers.p_value(_number(row["p"])),
        )
        for row in found
        if row["metric"] == metric
    )
    names = ("part.slice", "variant", "units", "value", "relative_lift", "part.interval", "p")
    return _table(part, names, lines, lang)


def _interactions(found: Iterable[Mapping[str, Cell]], primary: Metric | None, lang: Lang) -> PartTable:
    unit = primary.unit if primary else "count"
    lines = tuple(
        (
            str(row["slice"]),
            str(row["variant"]),
            _text(
                numbers.amount(_number(row["difference"]), unit, signed=True), row["difference"], row["undefined"], lang
            ),
            numbers.p_value(_number(row["p"])),
            numbers.p_value(_number(row["p_adjusted"])),
        )
        for row in found
    )
    return _table("interactions", ("part.beside", "variant", "part.interaction", "p", "p_corrected"), lines, lang)


def _figures(found: Iterable[Mapping[str, Cell]], part: str, labels: Mapping[str, str], lang: Lang) -> PartTable:
    lines = tuple(
        (
            labels.get(str(row["metric"]), str(row["metric"])),
            str(row["variant"]),
            _text(_plain(row["value"]), row["value"], row["undefined"], lang),
            _range(row["value_low"], row["value_high"], lang),
            *_lift(row, lang)[:1],
            numbers.p_value(_number(row["p"])),
        )
        for row in found
    )
    return _table(part, ("part.figure", "variant", "value", "part.interval", "relative_lift", "p"), lines, lang)


def _table(part: str, names: Sequence[str], lines: tuple[tuple[str, ...], ...], lang: Lang) -> PartTable:
    return PartTable(
        heading=word(f"part.{part}", lang),
        intro=word(f"part.{part}.intro", lang),
        columns=tuple(word(name, lang) for name in names),
        rows=lines,
    )


def _labels(document: Mapping[str, Json], lang: Lang) -> dict[str, str]:
    health, found = document.get("health"), dict[str, str]()
    for name in ("recommender", "service"):
        figures = health.get(name) if isinstance(health, Mapping) else ()
        for each in figures if isinstance(figures, Sequence) else ():
            if isinstance(each, Mapping):
                found[str(each.get("figure"))] = str(each.get("label_zh" if lang == "zh" else "label"))
    return found


def _failed(document: Mapping[str, Json], part: str) -> str:
    held = document.get(part)
    failed = held.get("failed") if isinstance(held, Mapping) else None
    return failed if isinstance(failed, str) else ""


def _left_out(document: Mapping[str, Json], part: str, lang: Lang) -> str:
    """Which experiments a report did not look at, as a sentence; nothing where it looked at all."""
    held = document.get(part)
    names = held.get("left_out") if part == "interactions" and isinstance(held, Mapping) else None
    return word("part.left_out", lang, names=", ".join(map(str, names))) if names and isinstance(names, list) else ""


def _lift(row: Mapping[str, Cell], lang: Lang) -> tuple[str, str]:
    lift = _number(row["relative_lift"])
    if lift is None:
        return "–", "–"
    bounds = Interval(low=_number(row["ci_low"]), high=_number(row["ci_high"]))
    return numbers.lift(lift, bounds), numbers.lift_interval(bounds, lang, around=lift)


def _text(shown: str, value: Cell, undefined: Cell, lang: Lang) -> str:
    if value is not None or not isinstance(undefined, str):
        return shown
    return reason_text(undefined, lang)


def _range(low: Cell, high: Cell, lang: Lang) -> str:
    if low is None or high is None:
        return "–"
    return word("between", lang, low=_plain(low), high=_plain(high))


def _plain(value: Cell) -> str:
    number = _number(value)
    return "–" if number is None else f"{number:.4g}".replace("-", "−")


def _number(value: Cell) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
