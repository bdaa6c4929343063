"""The report of an experiment: what its variants did, what may be concluded at this look, and all that it rests on."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from lamella.errors import Conflict
from lamella.experiments.document import plan_document
from lamella.experiments.model import AnalysisPlan, Experiment, Json, Phase, Status, Variant
from lamella.experiments.selection import experiment_of
from lamella.metrics.definitions import METRICS, find_metric, needed_columns
from lamella.services.checking import checks
from lamella.services.comparing import compare, roles
from lamella.services.concluding import conclude
from lamella.services.history import earlier_comparisons, phase_of, taken_before
from lamella.services.ports import AnalysisStore, ArmTotals, Clock, ConfigurationStore
from lamella.services.schedule import data_until, standing
from lamella.services.tabulating import (
    check_document,
    inputs_document,
    looks_document,
    metric_documents,
    variant_documents,
    verdict_document,
)
from lamella.stats.moments import Moments
from lamella.stats.standard import Method

SCHEMA: Final = "lamella.report/1"


def analyse(
    experiment_key: str, configurations: ConfigurationStore, analyses: AnalysisStore, clock: Clock
) -> dict[str, Json]:
    """The report of the experiment's current phase as of now; nothing is stored.

    Raises NotFound for an unknown experiment or metric, Conflict for an experiment that has not started.
    """
    return _report(_subject(experiment_key, configurations), analyses, clock.now())


def analyse_and_keep(
    experiment_key: str, configurations: ConfigurationStore, analyses: AnalysisStore, clock: Clock
) -> dict[str, Json]:
    """The report as `analyse` makes it, after it was saved: from then on the looks that it took are spent."""
    subject, now = _subject(experiment_key, configurations), clock.now()
    document = _report(subject, analyses, now)
    analyses.save_report(experiment_key, subject.phase.id, now, document)
    return document


def columns_of(plan: AnalysisPlan) -> tuple[str, ...]:
    """The columns of the per-unit totals that a report of this plan needs; all metrics are reported."""
    wanted = [find_metric(plan.primary_metric), *METRICS.values()]
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
) -> dict[str, Json]:
    """The report document from the arms' totals; pure: the same input gives the same document.

    `totals` hold the columns of `columns_of(plan)`; an arm that is missing has no units. `previous` are reports of
    the phase, oldest first: the newest says which looks are spent, earlier ones may be left out.
    """
    plan = experiment.plan
    stand = standing(plan, phase, previous, now, is_stopped=experiment.status in (Status.STOPPED, Status.ARCHIVED))
    arms = _arms(experiment, phase, totals, columns_of(plan))
    control = _control(experiment).key
    treatments = {each.variant: each.moments for each in arms if each.variant != control}
    own = next(each.moments for each in arms if each.variant == control)
    wanted, standard = roles(plan), stand.standard(plan.alpha)
    readings = compare(
        wanted,
        own,
        treatments,
        standard,
        correction=plan.correction,
        with_covariates=plan.covariate_days > 0,
        earlier=earlier_comparisons(previous) if stand.method is Method.ALWAYS_VALID else None,
    )
    checked = checks(
        arms,
        phase.weights,
        control=control,
        primary=wanted[0].metric,
        covariate_days=plan.covariate_days,
        elapsed_days=stand.elapsed_days,
        minimum_days=plan.minimum_days,
    )
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
        "metrics": metric_documents(wanted, readings, arms, level=1.0 - standard.threshold(plan.alpha)),
        "verdict": verdict_document(conclusion.verdict),
        "inputs": inputs_document(arms),
    }


class _Subject(NamedTuple):
    experiment: Experiment
    phase: Phase
    snapshot: int


def _subject(experiment_key: str, configurations: ConfigurationStore) -> _Subject:
    configuration = configurations.load()
    experiment = experiment_of(configuration, experiment_key)
    if not experiment.phases:
        raise Conflict(f"experiment {experiment_key!r} is {experiment.status}; start it before it is analysed")
    return _Subject(experiment, experiment.phases[-1], configuration.version)


def _report(subject: _Subject, analyses: AnalysisStore, now: datetime) -> dict[str, Json]:
    experiment, phase, snapshot = subject
    plan = experiment.plan
    totals = analyses.arm_totals(
        phase.id,
        columns_of(plan),
        until=data_until(plan, phase, now),
        covariate_since=phase.started_at - timedelta(days=plan.covariate_days) if plan.covariate_days else None,
    )
    newest = analyses.latest_report(experiment.key)
    previous = [newest] if newest is not None and phase_of(newest) == phase.id else []
    return build_report(experiment, phase, totals, previous, now, snapshot=snapshot)


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
