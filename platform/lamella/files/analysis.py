"""The report on a file: its columns understood, its rows summed up by unit, then the engine of live experiments."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from lamella.errors import InvalidInput
from lamella.experiments.model import (
    AnalysisPlan,
    BucketRange,
    Experiment,
    Guardrail,
    Json,
    Phase,
    Status,
    Variant,
)
from lamella.files.arms import Arms, arms_of
from lamella.files.questions import (
    BEFORE,
    ROWS,
    UNITS,
    VARIANTS,
    Declared,
    Form,
    check_columns,
    guess_column,
    guess_control,
    guess_metrics,
    guess_unit,
    numeric_columns,
    parse_metric,
)
from lamella.files.reading import Source, look_into
from lamella.files.units import Layout, UnitTable, read_units
from lamella.services.analysing import build_report
from lamella.stats.standard import Method

_MOST_VARIANTS: Final = 50
_MOST_SEGMENTS: Final = 50
_LIVE_CHECKS: Final = ("fallbacks", "minimum_days")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked of a file; what is left out is guessed, and the report's `notes` say how.

    `weights` are the promised shares by variant. `guardrails` map metrics to relative margins, `decrease` names the
    metrics that should go down. `look` of `looks` is where a group-sequential experiment stands.
    """

    variant: str | None = None
    unit: str | None = None
    each_row_is_a_unit: bool = False
    control: str | None = None
    metrics: tuple[str, ...] = ()
    primary: str | None = None
    guardrails: Mapping[str, float] | None = None
    decrease: tuple[str, ...] = ()
    covariates: tuple[str, ...] = ()
    guess_covariates: bool = True
    segments: tuple[str, ...] = ()
    weights: Mapping[str, float] | None = None
    method: Method = Method.FIXED_HORIZON
    alpha: float = 0.05
    correction: str = "holm"
    minimum_effect: float = 0.02
    looks: int = 5
    look: int | None = None


def analyse_file(path: Path, asked: Asked, now: datetime) -> dict[str, Json]:
    """The report document on the file, with `notes` (what was guessed or left out), `source` and `segments` beside.

    Raises InvalidInput for a file, a column, a variant or a metric that cannot be used as asked.
    """
    if not 0.0 < asked.alpha < 1.0:
        raise InvalidInput(f"alpha is {asked.alpha:g}; it must lie between 0 and 1, such as 0.05")
    source = look_into(path)
    notes: list[str] = []
    layout, declared = _layout(source, asked, notes)
    table = read_units(source, layout)
    metrics = declared or guess_metrics(layout.sums, table.binary, has_events=table.has_events)
    if not declared:
        notes.append(f"The metrics are guesses: {'; '.join(each.text for each in metrics)}.")
    _tell_rows(table, layout, notes)
    names = _variant_names(table, layout)
    control = _control(asked, names, notes)
    weights = _weights(asked, names, notes)
    arms = arms_of(table, metrics, control, notes, covariates=layout.means, decrease=asked.decrease)
    made = _experiment(
        path, asked, [control, *(each for each in names if each != control)], weights, arms=arms, now=now
    )
    document = _document(made, arms, now)
    document["segments"] = [
        _segment(made, arms, column, value, now) for column in layout.segments for value in _values(table, column)
    ]
    document["source"] = {"file": path.name, "rows": table.row_count, "unusable_rows": table.unusable_rows}
    document["notes"] = list(notes)
    return document


def _layout(source: Source, asked: Asked, notes: list[str]) -> tuple[Layout, tuple[Declared, ...]]:
    """Which column is what, and the metrics that were declared."""
    declared = tuple(parse_metric(text) for text in asked.metrics)
    twice = [each.name for each in declared if [one.name for one in declared].count(each.name) > 1]
    if twice:
        raise InvalidInput(f"two metrics are called {twice[0]!r}; give each a name: --metric 'name=mean(column)'")
    variant = asked.variant or guess_column(source, VARIANTS, "--variant", "the variant")
    unit = None if asked.each_row_is_a_unit else asked.unit or guess_unit(source)
    used = {
        column: f"metric {each.name}"
        for each in declared
        for column in each.columns
        if column != ROWS or each.form is Form.QUANTILE
    }
    used |= dict.fromkeys(asked.covariates, "a covariate")
    numeric = tuple(used)
    roles = dict.fromkeys(asked.segments, "a segment") | {variant: "the variant"}
    check_columns(source, used | roles | ({unit: "the unit"} if unit else {}), numeric=numeric)
    _check_parts(variant, unit, asked.segments, numeric)
    if not asked.variant:
        notes.append(f"The variant is in column {variant!r}.")
    if not asked.unit and unit:
        notes.append(f"The unit is in column {unit!r}.")
    taken = (variant, *([unit] if unit else []), *asked.segments, *asked.covariates)
    free = tuple(name for name in numeric_columns(source, taken) if name.lower() not in (*UNITS, *VARIANTS))
    columns = {column for each in declared for column in each.columns if column != ROWS or column in source.kinds}
    sums = tuple(dict.fromkeys(name for each in declared for name in each.columns if name in columns)) or free
    before = () if asked.covariates or not asked.guess_covariates else _twins(source, sums)
    if before:
        notes.append(f"From the time before: {', '.join(before)}; comparisons are shown with and without adjustment.")
    overlap = sorted(set(asked.covariates) & set(sums))
    if overlap:
        raise InvalidInput(f"covariate {overlap[0]!r} is a metric's own column; a covariate must be from before")
    raw = tuple(dict.fromkeys(each.columns[0] for each in declared if each.form is Form.QUANTILE))
    means = asked.covariates or before
    layout = Layout(unit=unit, variant=variant, sums=sums, means=means, segments=asked.segments, raw=raw)
    return layout, declared


def _check_parts(variant: str, unit: str | None, segments: Sequence[str], numeric: Sequence[str]) -> None:
    """Nothing, where no column plays two parts that exclude each other. Raises InvalidInput."""
    if unit == variant:
        raise InvalidInput(f"column {unit!r} cannot be both unit and variant")
    both = [name for name in numeric if name in (variant, unit, *segments)]
    if both:
        raise InvalidInput(f"column {both[0]!r} cannot be a number of a metric and a label at once; copy it")


def _twins(source: Source, columns: Sequence[str]) -> tuple[str, ...]:
    numeric = {name for name in source.kinds if source.kinds[name].value in ("number", "flag")}
    return tuple(f"{prefix}{name}" for name in columns for prefix in BEFORE if f"{prefix}{name}" in numeric)


def _tell_rows(table: UnitTable, layout: Layout, notes: list[str]) -> None:
    units = len(table.rows)
    if layout.unit is None:
        notes.append(f"Each of the {units} rows is taken as a unit of its own.")
    elif table.has_events:
        notes.append(
            f"The file holds events: {table.row_count} rows were summed up to {units} units by {layout.unit!r}, "
            "because the unit of analysis is the unit that was randomised."
        )
    if table.unusable_rows:
        notes.append(f"{table.unusable_rows} rows without a unit or a variant were left out.")
    crossed = sum(table.crossed.values())
    if crossed:
        notes.append(f"{crossed} units were seen in more than one variant and left out.")


def _variant_names(table: UnitTable, layout: Layout) -> list[str]:
    names = list(table.names)
    if len(names) > _MOST_VARIANTS:
        raise InvalidInput(
            f"column {layout.variant!r} has {len(names)} different values; name the column of variants with --variant"
        )
    if len(names) < 2:
        found = f"only {names[0]!r}" if names else "nothing"
        raise InvalidInput(f"column {layout.variant!r} holds {found}; two variants are needed to compare")
    return names


def _control(asked: Asked, names: Sequence[str], notes: list[str]) -> str:
    if asked.control is not None:
        if asked.control not in names:
            raise InvalidInput(f"control {asked.control!r} is no variant of the file; there are {', '.join(names)}")
        return asked.control
    control = guess_control(names)
    notes.append(f"The control is {control!r}.")
    return control


def _weights(asked: Asked, names: Sequence[str], notes: list[str]) -> dict[str, int]:
    """Whole numbers in the proportion of the shares that were promised."""
    if asked.weights is None:
        notes.append("The sample ratio is tested against equal shares; give others with --weights.")
        return dict.fromkeys(names, 1)
    unknown = sorted(set(asked.weights) - set(names))
    if unknown:
        raise InvalidInput(f"weight for {unknown[0]!r}, which is no variant of the file; there are {', '.join(names)}")
    given = {name: asked.weights.get(name, 0.0) for name in names}
    if any(not (math.isfinite(each) and each >= 0.0) for each in given.values()) or not any(given.values()):
        raise InvalidInput("weights must be numbers of 0 or more, one of them above 0, such as control=95,treatment=5")
    whole = all(each == int(each) for each in given.values())
    return {name: round(each if whole else each * 1_000_000) for name, each in given.items()}


def _experiment(
    path: Path, asked: Asked, ordered: Sequence[str], weights: Mapping[str, int], *, arms: Arms, now: datetime
) -> Experiment:
    """An experiment whose plan is what was asked, so far on its way as the look says."""
    primary = asked.primary or next(iter(arms.metrics))
    for name in (primary, *(asked.guardrails or {}), *asked.decrease):
        if name not in arms.metrics:
            raise InvalidInput(f"no metric is called {name!r}; there are {', '.join(arms.metrics)}")
    guardrails = tuple(Guardrail(metric=name, margin=margin) for name, margin in (asked.guardrails or {}).items())
    look = _look(asked)
    share = look / asked.looks if asked.method is Method.GROUP_SEQUENTIAL else 1.0
    phase = Phase(id=1, number=1, salt="", started_at=now - timedelta(days=share), weights=dict(weights))
    return Experiment(
        key=path.name.split(".")[0] or path.name,
        layer="file",
        name=path.name,
        hypothesis="",
        variants=tuple(Variant(key=key, weight=weights[key], is_control=key == ordered[0]) for key in ordered),
        plan=AnalysisPlan(
            primary_metric=primary,
            guardrails=guardrails,
            method=asked.method.value,
            alpha=asked.alpha,
            minimum_effect=asked.minimum_effect,
            planned_days=1,
            looks=asked.looks,
            minimum_days=0,
            correction=asked.correction,
            covariate_days=1 if arms.has_covariates else 0,
        ),
        ranges=(BucketRange(start=0, stop=10_000),),
        status=Status.RUNNING if asked.method is Method.ALWAYS_VALID or share < 1.0 else Status.STOPPED,
        phases=(phase,),
    )


def _look(asked: Asked) -> int:
    look = asked.looks if asked.look is None else asked.look
    if not 1 <= look <= asked.looks:
        raise InvalidInput(f"look {look} of {asked.looks} cannot be; looks are counted from 1")
    return look


def _document(made: Experiment, arms: Arms, now: datetime) -> dict[str, Json]:
    document = build_report(
        made,
        made.phases[-1],
        arms.totals,
        _looks_before(made, now),
        now,
        metrics=arms.metrics,
        estimates=arms.estimates,
    )
    checks = document["checks"]
    if isinstance(checks, list):
        document["checks"] = [
            each for each in checks if isinstance(each, Mapping) and each.get("check") not in _LIVE_CHECKS
        ]
    return document


def _looks_before(made: Experiment, now: datetime) -> list[Mapping[str, Json]]:
    """A report that says that the looks before this one were taken in time, without a decision."""
    plan, phase = made.plan, made.phases[-1]
    taken = round((now - phase.started_at) / timedelta(days=1) * plan.looks) - 1
    if plan.method != Method.GROUP_SEQUENTIAL or taken < 1:
        return []
    history: list[Json] = [
        {"number": number, "information": number / plan.looks, "at": now.isoformat()} for number in range(1, taken + 1)
    ]
    evidence: Json = {"decision": "keep_running", "variant": None, "reason": "", "numbers": {}}
    return [{"looks": {"taken": taken, "history": history, "evidence": evidence}}]


def _values(table: UnitTable, column: str) -> list[str]:
    """The values of a segment. Raises InvalidInput where they are too many to be segments."""
    names = sorted(table.segments[column].names)
    if len(names) > _MOST_SEGMENTS:
        raise InvalidInput(f"segment {column!r} has {len(names)} values; more than {_MOST_SEGMENTS} are no segments")
    return names


def _segment(made: Experiment, arms: Arms, column: str, value: str, now: datetime) -> dict[str, Json]:
    """The metrics and the sample ratio within one segment; all of it is exploratory."""
    document = _document(made, arms.within(column, value), now)
    metrics = document["metrics"]
    shown: list[Json] = []
    if isinstance(metrics, list):
        shown = [{**each, "role": "exploratory"} for each in metrics if isinstance(each, Mapping)]
    return {
        "segment": column,
        "value": value,
        "variants": document["variants"],
        "checks": document["checks"],
        "metrics": shown,
    }
