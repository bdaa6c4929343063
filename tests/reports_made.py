"""Experiments and arm totals for tests of the report: seeded readers of a small site, with planted effects."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from lamella.experiments.model import AnalysisPlan, BucketRange, Experiment, Phase, Status, Variant
from lamella.services.analysing import build_report, columns_of
from lamella.services.ports import ArmTotals
from lamella.stats.moments import Moments

START = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
PLAN = AnalysisPlan(primary_metric="ctr")


def experiment(
    plan: AnalysisPlan = PLAN, *, variants: Sequence[str] = ("control", "treatment"), **changes: Any
) -> Experiment:
    """A running experiment whose first variant is the control; equal weights."""
    weights = dict.fromkeys(variants, 50)
    phase = Phase(id=7, number=1, salt="s", started_at=START, weights=weights)
    made = Experiment(
        key="mf_against_cnn",
        layer="recall",
        name="Matrix factorisation against TextCNN",
        hypothesis="Words know more than clicks.",
        variants=tuple(Variant(key=key, weight=50, is_control=key == variants[0]) for key in variants),
        plan=plan,
        ranges=(BucketRange(start=0, stop=10_000),),
        status=Status.RUNNING,
        phases=(phase,),
        owner="ana",
    )
    return replace(made, **changes)


def totals(
    variant: str,
    *,
    units: int = 4000,
    lift: float = 0.0,
    depth: float = 0.0,
    seed: int = 1,
    columns: Sequence[str] | None = None,
    fallback: float = 0.02,
    **changes: Any,
) -> ArmTotals:
    """One arm: `lift` moves the click rate, `depth` the reading depth, both relative."""
    rng = np.random.default_rng(seed)
    table = _table(rng, units, lift=lift, depth=depth, fallback=fallback)
    wanted = tuple(columns or columns_of(replace(PLAN, covariate_days=14)))
    moments = Moments.from_rows(wanted, np.column_stack([table[name] for name in wanted]))
    slates = int(table["slates"].sum())
    values = {
        "variant": variant,
        "moments": moments,
        "crossed": 0,
        "slates": slates,
        "fallback_slates": int(table["fallback_slates"].sum()),
    }
    return ArmTotals(**(values | changes))


def _table(rng: np.random.Generator, units: int, *, lift: float, depth: float, fallback: float) -> dict[str, Any]:
    rate = rng.beta(3.0, 40.0, units)
    table: dict[str, Any] = {}
    for prefix, up, deep in (("pre_", 0.0, 0.0), ("", lift, depth)):
        slates = np.ceil(np.exp(rng.normal(0.8, 0.8, units)))
        impressions = slates * 10
        clicks = rng.binomial(impressions.astype(int), np.minimum(rate * (1 + up), 1.0))
        reads = clicks
        table |= {
            f"{prefix}slates": slates,
            f"{prefix}fallback_slates": rng.binomial(slates.astype(int), fallback),
            f"{prefix}impressions": impressions,
            f"{prefix}clicks": clicks,
            f"{prefix}reads": reads,
            f"{prefix}read_seconds": reads * rng.gamma(2.0, 20.0, units),
            f"{prefix}completion": reads * 0.6 * (1 + deep) + rng.normal(0, 0.2, units) * np.sqrt(reads),
            f"{prefix}completion_reads": reads,
            f"{prefix}comments": rng.binomial(reads, 0.05),
            f"{prefix}shares": rng.binomial(reads, 0.05),
        }
    table["clicked"] = (table["clicks"] > 0).astype(float)
    known = rng.random(units) < 0.7
    for name in [each for each in table if each.startswith("pre_")]:
        table[name] = table[name] * known
    table["has_pre"] = known.astype(float)
    return table


def report(
    made: Experiment,
    arms: Sequence[ArmTotals],
    *,
    day: float,
    previous: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The report `day` days after the start."""
    return build_report(made, made.phases[-1], arms, previous, START + timedelta(days=day), snapshot=3)


def metric(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """One metric of a report."""
    return next(each for each in document["metrics"] if each["metric"] == key)


def comparison(document: Mapping[str, Any], key: str, variant: str = "treatment") -> Mapping[str, Any]:
    """One comparison of a report."""
    return next(each for each in metric(document, key)["comparisons"] if each["variant"] == variant)


def check(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """One check of a report."""
    return next(each for each in document["checks"] if each["check"] == key)
