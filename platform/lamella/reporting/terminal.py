"""Reports as text in a terminal: the verdict, a table of metrics, the checks, and what was planted."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from lamella.experiments.model import Json
from lamella.reporting import findings, numbers, tables
from lamella.reporting.document import Document, read_report, read_truth
from lamella.reporting.view import Arm, Comparison, Metric, Report, Truth
from lamella.reporting.wording import Lang, language, term, word

STYLES = {
    "good": "green",
    "bad": "red",
    "warning": "yellow",
    "failed": "red",
    "passed": "green",
    "neutral": "",
    "undefined": "dim",
    "open": "cyan",
}
WIDE = 100


def render(
    documents: Sequence[Document],
    truth: Mapping[str, Mapping[str, Json]] | None = None,
    console: Console | None = None,
    *,
    lang: str = "en",
) -> None:
    """Prints each report; without a console, to standard output, in colours only where that is a terminal.

    `truth` maps an experiment's key to what a simulation planted. Raises InvalidInput before anything is printed.
    """
    spoken, out = language(lang), console or Console()
    planted = {key: read_truth(one) for key, one in (truth or {}).items()}
    for report in [read_report(document) for document in documents]:
        _report(report, planted.get(report.key), out, spoken)


def _report(report: Report, truth: Truth | None, out: Console, lang: Lang) -> None:
    tone = findings.decision_tone(report.verdict.decision)
    out.print()
    out.rule(Text(report.name, style="bold"), align="left", style="dim", characters="─")
    out.print(Text(_setting(report, lang), style="dim"))
    verdict = Text.assemble(
        (
            f"{findings.decision_symbol(report.verdict.decision)} {findings.decision(report, lang)}",
            f"bold {STYLES[tone]}",
        )
    )
    out.print(verdict)
    if lang != "en" and (found := findings.finding(report, lang)):
        out.print(Padding(Text(found), (0, 0, 0, 2), expand=False))
    out.print(Padding(Text(report.verdict.reason), (0, 0, 0, 2), expand=False))
    out.print()
    out.print(_metrics(report, lang, is_wide=out.width >= WIDE))
    if any(one.used is not one for metric in report.metrics for one in metric.comparisons):
        out.print(Text(word("lifts_adjusted", lang), style="dim"))
    out.print(_checks(report, lang))
    if truth is not None:
        out.print(_truth(truth, lang))


def _setting(report: Report, lang: Lang) -> str:
    looks = report.looks
    taken = str(looks.taken) if looks.planned is None else word("n_of_m", lang, n=looks.taken, m=looks.planned)
    parts = (
        report.key,
        word("layer_is", lang, layer=report.layer),
        word("phase_n", lang, n=report.phase_number),
        term("status", report.status, lang),
        f"{word('look_of', lang)} {taken}",
        word("as_of", lang, when=numbers.moment(report.as_of)),
    )
    return " · ".join(parts)


def _metrics(report: Report, lang: Lang, *, is_wide: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2 if is_wide else 1, 0, 0), header_style="dim")
    table.add_column(word("metric", lang), overflow="fold", max_width=None if is_wide else 24)
    table.add_column(word("units", lang), justify="right", no_wrap=True)
    table.add_column(word("value", lang), justify="right", no_wrap=True)
    table.add_column(word("relative_lift", lang), justify="right", overflow="fold")
    table.add_column(findings.interval_heading(report, lang), justify="right", overflow="fold")
    table.add_column(word("p", lang), justify="right", no_wrap=True)
    for metric in report.metrics:
        is_primary = metric.role == "primary"
        mark, role = "★" if is_primary else "•", term("role", metric.role, lang)
        name = Text.assemble(f"{mark} ", (findings.label(metric, lang), "bold" if is_primary else ""))
        level = findings.own_level(report, metric, lang)
        about = f" {role}" + (f" · {level}" if level else "")
        table.add_row(name.append(about, style="dim") if is_wide else name)
        for arm in metric.arms:
            table.add_row(*_cells(metric, arm, lang))
    return table


def _cells(metric: Metric, arm: Arm, lang: Lang) -> list[Text]:
    comparison = next((one for one in metric.comparisons if one.variant == arm.variant), None)
    places = numbers.shared_places([one.value for one in metric.arms], metric.unit)
    return [
        Text(f"  {arm.variant}"),
        Text(numbers.count(arm.units)),
        Text("–" if arm.undefined else numbers.amount(arm.value, metric.unit, places)),
        *_compared(arm, comparison, metric, lang),
    ]


def _compared(arm: Arm, comparison: Comparison | None, metric: Metric, lang: Lang) -> list[Text]:
    used = None if comparison is None else comparison.used
    if used is None or used.relative_lift is None:
        code, p = (arm.undefined, None) if used is None else (used.undefined, used.decisive_p)
        reason = Text(numbers.undefined(code, lang) if code else "", style="dim")
        return [Text(), reason, Text("" if p is None else numbers.p_value(p))]
    tone = findings.tone(metric, used)
    return [
        Text(f"{findings.TONE_SYMBOLS[tone]} {numbers.lift(used.relative_lift, used.ci)}", style=STYLES[tone]),
        Text(numbers.lift_interval(used.ci, lang, around=used.relative_lift)),
        Text(numbers.p_value(used.decisive_p)),
    ]


def _checks(report: Report, lang: Lang) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row()
    for row in tables.checks(report, lang):
        table.add_row(
            Text(row.symbol, style=STYLES[row.state]),
            Text(row.check),
            Text(("" if row.state == "passed" else f"{row.state_text}: ") + row.detail),
        )
    return table


def _truth(truth: Truth, lang: Lang) -> Text:
    tone = {True: "good", False: "bad", None: "open"}[truth.correct]
    return Text.assemble(
        f"\n{word('truth', lang)}: {findings.truth_sentence(truth, lang)}; ",
        (f"{findings.SYMBOLS[tone]} {findings.truth_state(truth, lang)}", f"bold {STYLES[tone]}"),
    )
