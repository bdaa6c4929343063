"""A report as HTML: a fragment for the web page, and a whole page that needs nothing beside itself."""

import json
from collections.abc import Mapping, Sequence
from functools import cache, partial
from importlib import resources
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lamella.experiments.model import Json
from lamella.reporting import explored, findings, forest, numbers, svg, tables, trends
from lamella.reporting.document import Document, read_report, read_truth
from lamella.reporting.series import courses, timeline
from lamella.reporting.view import Report, Truth
from lamella.reporting.wording import Lang, language, term, word

STYLESHEET: Final = (resources.files("lamella.reporting") / "style.css").read_text(encoding="utf-8")
TRUTH_TONES: Final = {True: "good", False: "bad", None: "open"}


def render_report(
    document: Document, history: Sequence[Document], *, truth: Mapping[str, Json] | None = None, lang: str = "en"
) -> str:
    """The report as an HTML fragment: one `<article>` whose headings start at level 2, dressed by `STYLESHEET`.

    `history` holds documents of the same phase, in any order, with or without `document` itself; others are ignored.
    `truth` is what a simulation planted for this experiment. There is no inline style and no script, so that a strict
    content security policy holds. Raises InvalidInput for a document of another schema.
    """
    report = read_report(document)
    known = None if truth is None else read_truth(truth)
    return _fragment(report, history, known, language(lang))


def render_page(
    reports: Sequence[tuple[Document, Sequence[Document]]],
    *,
    title: str = "",
    truth: Mapping[str, Mapping[str, Json]] | None = None,
    lang: str = "en",
) -> str:
    """A complete HTML file with every report, each given as (document, history); styles are inside, nothing is fetched.

    `truth` maps an experiment's key to what was planted. Raises InvalidInput for a document of another schema.
    """
    spoken = language(lang)
    planted = {key: read_truth(one) for key, one in (truth or {}).items()}
    read = [(read_report(document), history) for document, history in reports]
    return (
        _environment()
        .get_template("page.html")
        .render(
            lang=spoken,
            lang_tag=_tag(spoken),
            title=title or word("title", spoken),
            t=partial(word, lang=spoken),
            stylesheet=Markup(STYLESHEET),  # noqa: S704 - our own file
            overview=[_overview(report, planted.get(report.key), spoken) for report, _ in read],
            reports=[
                Markup(_fragment(report, history, planted.get(report.key), spoken))  # noqa: S704 - escaped by its template
                for report, history in read
            ],
        )
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("lamella.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _tag(lang: Lang) -> str:
    return "zh-Hans" if lang == "zh" else "en"


def _overview(report: Report, truth: Truth | None, lang: Lang) -> dict[str, object]:
    """The verdict in short: what the list of a page and the head of a report share."""
    leading = findings.leading(report)
    lift, interval = "–", ""
    if leading is not None and leading.relative_lift is not None:
        lift = numbers.lift(leading.relative_lift, leading.ci)
        interval = numbers.lift_interval(leading.ci, lang, around=leading.relative_lift)
    return {
        "report": report,
        "tone": findings.decision_tone(report.verdict.decision),
        "symbol": findings.decision_symbol(report.verdict.decision),
        "decision": findings.decision(report, lang),
        "badge": findings.badge(report, lang),
        "metric": findings.label(report.primary, lang) if report.primary else "–",
        "leading_variant": leading.variant if leading else "",
        "lift": lift,
        "interval": interval,
        "p": "" if leading is None or leading.decisive_p is None else findings.p_clause(leading.decisive_p, lang),
        "units": numbers.count(report.units),
        "truth": None if truth is None else findings.truth_sentence(truth, lang),
        "truth_state": None if truth is None else findings.truth_state(truth, lang),
        "truth_short": ("–", "") if truth is None else findings.truth_short(truth, lang),
        "truth_symbol": "" if truth is None else findings.SYMBOLS[TRUTH_TONES[truth.correct]],
        "truth_tone": "" if truth is None else TRUTH_TONES[truth.correct],
    }


def _fragment(report: Report, history: Sequence[Document], truth: Truth | None, lang: Lang) -> str:
    template = _environment().get_template("report.html")
    return template.render(
        **_overview(report, truth, lang),
        **_head(report, lang),
        **_evidence(report, lang),
        **_course(report, history, lang),
        **_record(report, lang),
        explored=explored.tables(report, lang),
        lang=lang,
        lang_tag=_tag(lang),
        t=partial(word, lang=lang),
        id=f"lm-{report.phase}",
    )


def _head(report: Report, lang: Lang) -> dict[str, object]:
    looks, information = report.looks, report.looks.information
    planned = report.plan.planned_days
    return {
        "status": term("status", report.status, lang),
        "as_of": numbers.moment(report.as_of),
        "started_at": numbers.moment(report.started_at),
        "finding": findings.finding(report, lang),
        "control": findings.control_name(report, lang),
        "looks_text": numbers.count(looks.taken)
        if looks.planned is None
        else word("n_of_m", lang, n=looks.taken, m=looks.planned),
        "information_text": None
        if information is None
        else word("information_is", lang, share=numbers.share(information, 0)),
        "progress": None if information is None else svg.progress(information),
        "run_time": numbers.days(report.days, lang),
        "planned_time": None if planned is None else word("of_planned", lang, n=numbers.days(planned, lang)),
    }


def _evidence(report: Report, lang: Lang) -> dict[str, object]:
    comparisons = [one for metric in report.metrics for one in metric.comparisons]
    return {
        "forest_rows": forest.rows(report, lang),
        "forest_ruler": forest.ruler(report),
        "is_blocked": any(one.blocking and one.passed is False for one in report.checks if one.key != "minimum_days"),
        "interval_heading": findings.interval_heading(report, lang),
        "has_adjusted": any(one.used is not one for one in comparisons),
        "is_cut": forest.is_cut(report),
        "has_bayes": any(one.bayes for one in comparisons),
        "has_effect": report.plan.minimum_effect is not None,
        "has_margin": any(metric.key in report.plan.margins for metric in report.metrics),
        "values": tables.values(report, lang),
    }


def _course(report: Report, history: Sequence[Document], lang: Lang) -> dict[str, object]:
    reports = timeline(report, history)
    drawn = [
        trends.trend(report, one, f"lm-{report.phase}-trend-{index}", lang)
        for index, one in enumerate(courses(reports))
    ]
    return {
        "primary_trends": [one for one in drawn if one.role == "primary"],
        "other_trends": [one for one in drawn if one.role != "primary"],
        "is_first_look": len(reports) < 2,
        "keys": [(one.key, svg.key(slot)) for slot, one in enumerate(report.variants)],
        "boundary": trends.boundary(report, lang),
        "stops": tables.stops(report),
    }


def _record(report: Report, lang: Lang) -> dict[str, object]:
    columns, rows = tables.inputs(report, lang)
    return {
        "checks": tables.checks(report, lang),
        "traffic": tables.traffic(report, lang),
        "traffic_columns": tables.traffic_columns(lang),
        "plan": tables.plan(report, lang),
        "inputs_columns": columns,
        "inputs_rows": rows,
        "inputs_json": json.dumps(report.inputs, ensure_ascii=False, default=dict),
    }
