"""The report of an experiment: what its variants did, what may be concluded at this look, and all that it rests on."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from lamella.errors import Conflict
from lamella.experiments.document import plan_document
from lamella.experiments.model import AnalysisPlan, Experiment, Json, Phase, Status, Variant
from lamella.experiments.selection import experiment_of
from lamella.metrics.definitions import METRICS, Metric, find_metric, needed_columns
from lamella.services.budgeting import Round
from lamella.services.checking import checks
from lamella.services.comparing import EarlierBy, EstimatesBy, MomentsBy, Reading, Role, compare, roles
from lamella.services.concluding import conclude
from lamella.services.exploring import explored
from lamella.services.flagging import BOT, INTERNAL
from lamella.services.history import earlier_comparisons, phase_of, taken_before
from lamella.services.measure_ports import FactStore, Measured
from lamella.services.measuring import catalogue, known_estimates, measured_for, planned, stretch_of
from lamella.services.ports import AnalysisStore, ArmTotals, Clock, ConfigurationStore
from lamella.services.record_ports import RecordCounts
from lamella.services.schedule import Standing, data_until, standing
from lamella.services.subjects import Subject
from lamella.services.tabulating import (
    check_document,
    inputs_document,
    looks_document,
    metric_documents,
    variant_documents,
    verdict_document,
)
from lamella.stats.evidence import Check
from lamella.stats.moments import Moments
from lamella.stats.standard import Method, Standard

SCHEMA: Final = "lamella.report/1"


def analyse(
    experiment_key: str,
    configurations: ConfigurationStore,
    analyses: AnalysisStore,
    clock: Clock,
    facts: FactStore | None = None,
) -> dict[str, Json]:
    """The report of the experiment's current phase as of now; nothing is stored.

    Declared metrics, and what is explored besides the plan, need the `facts`.

    Raises NotFound for an unknown experiment or metric, Conflict for an experiment that has not started.
    """
    subject, now = _subject(experiment_key, configurations), clock.now()
    previous = _previous(subject, analyses)
    document = _report(subject, analyses, previous, now, facts)
    return document if facts is None else {**document, **explored(subject, facts, previous, now).parts}


def analyse_and_keep(
    experiment_key: str,
    configurations: ConfigurationStore,
    analyses: AnalysisStore,
    clock: Clock,
    facts: FactStore | None = None,
    *,
    turn: Round | None = None,
) -> dict[str, Json]:
    """The report as `analyse` makes it, after it was saved: from then on the looks that it took are spent.

    What the round of reports whose `turn` it is cannot afford to explore is left to a later report, unless the data has
    come to its end.
    """
    subject, now = _subject(experiment_key, configurations), clock.now()
    previous = _previous(subject, analyses)
    document = _report(subject, analyses, previous, now, facts)
    analyses.save_report(experiment_key, subject.phase.id, now, document)
    if facts is None:
        return document
    found = explored(subject, facts, previous, now, turn)
    if found.is_new:
        facts.keep_exploration(experiment_key, subject.phase.id, found.parts)
    return {**document, **found.parts}


def columns_of(plan: AnalysisPlan, metrics: Mapping[str, Metric] = METRICS) -> tuple[str, ...]:
    """The columns of the per-unit totals that a report of this plan needs; all metrics are reported.

    Declared metrics have columns of their own.
    """
    wanted = [find_metric(plan.primary_metric, metrics), *metrics.values()]
    wanted = [each for each in wanted if each.declared_kind is None]
    columns = needed_columns(wanted, with_covariates=plan.covariate_days > 0)
    return tuple(dict.fromkeys(("slates", "fallback_slates", *columns)))


def build_report(
    experiment: Experiment,
    phase: Phase,
    totals: Sequence[ArmTotals],
    previous: Sequence[Mapping[str, Json]],
    now: datetime,
    *,
    snapshot: int = 0,
    metrics: Mapping[str, Metric] = METRICS,
    estimates: EstimatesBy | None = None,
    measured: Mapping[str, Measured] | None = None,
) -> dict[str, Json]:
    """The report document from the arms' totals; pure: the same input gives the same document.

    `metrics` are all that is reported; `totals` hold the columns of `columns_of(plan, metrics)`. An arm that is
    missing has no units. `previous` are reports of the phase, oldest first: the newest says which looks are spent,
    earlier ones may be left out. `estimates` are what moments do not tell, such as quantiles; `measured` is what the
    declared metrics among `metrics` found.
    """
    plan = experiment.plan
    stand = standing(plan, phase, previous, now, is_stopped=experiment.status in (Status.STOPPED, Status.ARCHIVED))
    arms = _arms(experiment, phase, totals, columns_of(plan, metrics))
    control = _control(experiment).key
    wanted, standard = roles(plan, metrics), stand.standard(plan.alpha)
    estimates = {**known_estimates(measured or {}, [each.variant for each in arms]), **(estimates or {})}
    moments = {key: each.moments for key, each in (measured or {}).items()}
    earlier = earlier_comparisons(previous) if stand.method is Method.ALWAYS_VALID else None
    readings = _readings(
        plan, wanted, arms, standard, control=control, earlier=earlier, estimates=estimates, moments=moments
    )
    checked = _checked(plan, phase, arms, stand, control=control, primary=wanted[0].metric, moments=moments)
    conclusion = conclude(plan, readings, checked, stand)
    return {
        "schema": SCHEMA,
        "experiment": _experiment_document(experiment, phase),
        "as_of": now.isoformat(),
        "snapshot": snapshot,
        "plan": plan_document(plan),
        "looks": looks_document(replace(stand, looks=conclusion.looks), conclusion.evidence, taken_before(previous)),
        "checks": [check_document(each) for each in checked],
        "variants": variant_documents(arms, phase.weights, control),
        "metrics": metric_documents(
            wanted, readings, arms, level=1.0 - standard.threshold(plan.alpha), estimates=estimates, own=moments
        ),
        "verdict": verdict_document(conclusion.verdict),
        "inputs": inputs_document(arms, measured, data_until(plan, phase, now)),
    }


def _readings(
    plan: AnalysisPlan,
    wanted: Sequence[Role],
    arms: Sequence[ArmTotals],
    standard: Standard,
    *,
    control: str,
    earlier: EarlierBy | None,
    estimates: EstimatesBy,
    moments: MomentsBy,
) -> tuple[Reading, ...]:
    """Every metric of every treatment beside control; see `compare`."""
    return compare(
        wanted,
        next(each.moments for each in arms if each.variant == control),
        {each.variant: each.moments for each in arms if each.variant != control},
        standard,
        correction=plan.correction,
        with_covariates=plan.covariate_days > 0,
        earlier=earlier,
        estimates=estimates,
        own=moments,
        control_key=control,
        beside=[METRICS[key] for key in plan.covariate_metrics if key in METRICS],
    )


def _checked(
    plan: AnalysisPlan,
    phase: Phase,
    arms: Sequence[ArmTotals],
    stand: Standing,
    *,
    control: str,
    primary: Metric,
    moments: MomentsBy,
) -> tuple[Check, ...]:
    """What has to hold before any verdict; see `checks`."""
    return checks(
        arms,
        phase.weights,
        control=control,
        primary=primary,
        past=None if plan.primary_metric in METRICS else moments.get(plan.primary_metric, {}),
        covariate_days=plan.covariate_days,
        elapsed_days=stand.elapsed_days,
        minimum_days=plan.minimum_days,
    )


def _subject(experiment_key: str, configurations: ConfigurationStore) -> Subject:
    configuration = configurations.load()
    experiment = experiment_of(configuration, experiment_key)
    if not experiment.phases:
        raise Conflict(f"experiment {experiment_key!r} is {experiment.status}; start it before it is analysed")
    return Subject(experiment, experiment.phases[-1], configuration)


def _previous(subject: Subject, analyses: AnalysisStore) -> list[Mapping[str, Json]]:
    """The newest report, if it is about the same phase."""
    newest = analyses.latest_report(subject.experiment.key)
    return [newest] if newest is not None and phase_of(newest) == subject.phase.id else []


def _report(
    subject: Subject,
    analyses: AnalysisStore,
    previous: Sequence[Mapping[str, Json]],
    now: datetime,
    facts: FactStore | None,
) -> dict[str, Json]:
    experiment, phase, configuration = subject
    plan = experiment.plan
    stretch = stretch_of(plan, phase, data_until(plan, phase, now))
    declared = planned(plan, configuration.metrics)
    totals = analyses.arm_totals(
        phase.id,
        columns_of(plan, catalogue(declared)),
        until=data_until(plan, phase, now),
        covariate_since=phase.started_at - timedelta(days=plan.covariate_days) if plan.covariate_days else None,
    )
    document = build_report(
        experiment,
        phase,
        totals,
        previous,
        now,
        snapshot=configuration.version,
        metrics=catalogue(declared),
        measured=measured_for(facts, stretch, declared),
    )
    document["record"] = _record_document(analyses.record_counts(phase.id), totals)
    return document


def _record_document(counts: RecordCounts, totals: Sequence[ArmTotals]) -> dict[str, Json]:
    """What came late, and what the analysis leaves out: refused records, robots, colleagues and crossed units."""
    return {
        "late": counts.late,
        "quarantined": counts.quarantined,
        "bots": counts.flagged.get(BOT, 0),
        "internal": counts.flagged.get(INTERNAL, 0),
        "crossed": sum(each.crossed for each in totals),
    }


def _control(experiment: Experiment) -> Variant:
    return next((variant for variant in experiment.variants if variant.is_control), experiment.variants[0])


def _arms(
    experiment: Experiment, phase: Phase, totals: Sequence[ArmTotals], columns: Sequence[str]
) -> tuple[ArmTotals, ...]:
    """The arms in the order of the variants, control first; a variant of weight 0 only if it has units."""
    found = {each.variant: each for each in totals}
    control = _control(experiment)
    ordered = [control, *(each for each in experiment.variants if each.key != control.key)]
    keys = [each.key for each in ordered] + [key for key in found if key not in {each.key for each in ordered}]
    empty = Moments.empty(columns)
    return tuple(
        found.get(key) or ArmTotals(variant=key, moments=empty, crossed=0, slates=0, fallback_slates=0)
        for key in keys
        if key == control.key or phase.weights.get(key, 0) > 0 or (key in found and found[key].moments.n > 0)
    )


def _experiment_document(experiment: Experiment, phase: Phase) -> dict[str, Json]:
    return {
        "key": experiment.key,
        "name": experiment.name,
        "layer": experiment.layer,
        "hypothesis": experiment.hypothesis,
        "status": experiment.status.value,
        "phase": phase.id,
        "phase_number": phase.number,
        "started_at": phase.started_at.isoformat(),
        "owner": experiment.owner,
    }
