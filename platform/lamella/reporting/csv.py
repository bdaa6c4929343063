"""A report as CSV: one row for each metric and variant."""

import csv
import io
from typing import Final

from lamella.reporting import parts
from lamella.reporting.document import Document, read_report
from lamella.reporting.view import Arm, Comparison, Interval, Metric, Report

COLUMNS: Final = (
    "experiment", "phase", "as_of", "metric", "role", "kind", "unit", "direction", "variant", "is_control", "units",
    "value", "numerator", "denominator", "difference", "difference_low", "difference_high", "relative_lift", "ci_low",
    "ci_high", "level", "p", "p_adjusted", "method", "significant", "undefined", "cuped_relative_lift", "cuped_ci_low",
    "cuped_ci_high", "cuped_p", "cuped_p_adjusted", "cuped_significant", "cuped_undefined", "chance_to_win",
    "expected_loss", "decision", "decision_variant",
)  # fmt: skip

Cell = str | int | float | bool | None


def rows(document: Document) -> list[dict[str, Cell]]:
    """A row for each metric and variant under `COLUMNS`; None where there is no number. Raises InvalidInput.

    The control's rows have no comparison. An undefined number has its reason code under `undefined`; a bound without
    limit is None beside a lift that is not.
    """
    report = read_report(document)
    return [_row(report, metric, arm) for metric in report.metrics for arm in metric.arms]


def render(document: Document, part: str | None = None) -> str:
    """The rows as CSV with a header line. Text that a spreadsheet would take for a formula is quoted with '.

    With `part` the rows of one of `parts.PARTS`, what was explored besides the plan.
    """
    columns, found = (COLUMNS, rows(document)) if part is None else (parts.COLUMNS, parts.rows(document, part))
    written = io.StringIO()
    writer = csv.DictWriter(written, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _safe(value) for name, value in row.items()} for row in found)
    return written.getvalue()


def _safe(value: Cell) -> Cell:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _row(report: Report, metric: Metric, arm: Arm) -> dict[str, Cell]:
    comparison = next((one for one in metric.comparisons if one.variant == arm.variant), None)
    found: dict[str, Cell] = dict.fromkeys(COLUMNS)
    found.update(
        experiment=report.key,
        phase=report.phase,
        as_of=report.as_of.isoformat(),
        metric=metric.key,
        role=metric.role,
        kind=metric.kind,
        unit=metric.unit,
        direction=metric.direction,
        variant=arm.variant,
        is_control=arm.variant == report.control,
        units=arm.units,
        value=arm.value,
        numerator=arm.numerator,
        denominator=arm.denominator,
        undefined=arm.undefined,
        decision=report.verdict.decision,
        decision_variant=report.verdict.variant,
    )
    return found if comparison is None else found | _compared(comparison, arm)


def _compared(comparison: Comparison, arm: Arm) -> dict[str, Cell]:
    difference, lift = _bounds(comparison.difference_ci), _bounds(comparison.ci)
    adjusted, bayes = comparison.adjusted, comparison.bayes
    cuped = _bounds(adjusted.ci if adjusted else None)
    return {
        "difference": comparison.difference,
        "difference_low": difference.low,
        "difference_high": difference.high,
        "relative_lift": comparison.relative_lift,
        "ci_low": lift.low,
        "ci_high": lift.high,
        "level": comparison.level,
        "p": comparison.p,
        "p_adjusted": comparison.p_adjusted,
        "method": comparison.method,
        "significant": comparison.significant,
        "undefined": comparison.undefined or arm.undefined,
        "cuped_relative_lift": adjusted.relative_lift if adjusted else None,
        "cuped_ci_low": cuped.low,
        "cuped_ci_high": cuped.high,
        "cuped_p": adjusted.p if adjusted else None,
        "cuped_p_adjusted": adjusted.p_adjusted if adjusted else None,
        "cuped_significant": adjusted.significant if adjusted else None,
        "cuped_undefined": adjusted.undefined if adjusted else None,
        "chance_to_win": bayes.chance_to_win if bayes else None,
        "expected_loss": bayes.expected_loss if bayes else None,
    }


def _bounds(interval: Interval | None) -> Interval:
    return interval or Interval(low=None, high=None)
