"""Report documents for the tests: one maker, and the situations that a report must be able to show."""

import math
import random
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import NormalDist
from typing import Any

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
REASONS = (
    "zero_variance", "too_few_units", "too_few_arms", "zero_baseline", "no_denominator", "missing_covariate",
    "not_finite", "srm",
)  # fmt: skip
OBRIEN_FLEMING = (4.877, 3.357, 2.680, 2.290, 2.031)

Document = dict[str, Any]


@dataclass(frozen=True)
class Planted:
    """A metric of a sample: its value in control, the true lift per variant, and the noise of one unit."""

    key: str
    label: str
    label_zh: str
    kind: str
    role: str
    unit: str
    base: float
    noise: float
    lift: float = 0.0
    direction: str = "increase"


METRICS = (
    Planted("ctr", "Click-through rate", "点击率", "ratio", "primary", "share", 0.0412, 1.6, 0.081),
    Planted("reading_depth", "Reading depth", "阅读深度", "ratio", "guardrail", "share", 0.652, 0.9, 0.004),
    Planted(
        "read_time_per_user", "Read time per user", "人均阅读时长", "mean", "guardrail", "seconds", 184.0, 2.1, 0.02
    ),
    Planted("articles_per_user", "Articles per user", "人均阅读篇数", "mean", "secondary", "count", 2.37, 1.9, 0.06),
    Planted("interaction_rate", "Interaction rate", "互动率", "ratio", "exploratory", "share", 0.00213, 4.1, -0.01),
)


def document(
    *,
    look: int = 5,
    variants: tuple[str, ...] = ("popularity", "mf"),
    lifts: dict[str, float] | None = None,
    metrics: tuple[Planted, ...] = METRICS,
    units: int = 24_000,
    seed: int = 7,
    key: str = "ranking-mf",
    name: str = "Rank by matrix factorisation",
    adjusted: bool = False,
) -> Document:
    """One look of an experiment; the noise of look n is that of look n - 1 plus fresh traffic."""
    lifts = dict.fromkeys(variants[1:], 1.0) if lifts is None else lifts
    made = [_metric(planted, variants, lifts, look, units, seed=seed, adjusted=adjusted) for planted in metrics]
    zs = [_walk(seed, variants[1], metrics[0].key, n) * 1.0 for n in range(1, look + 1)]
    lift = metrics[0].lift * lifts.get(variants[1], 1.0)
    se = metrics[0].noise * math.sqrt(2 / units)
    return {
        "schema": "lamella.report/1",
        "experiment": {
            "key": key,
            "name": name,
            "layer": "ranking",
            "hypothesis": "Personalised ranking raises the click-through rate, because taste differs by topic.",
            "status": "running" if look < 5 else "stopped",
            "phase": 12,
            "phase_number": 1,
            "started_at": START.isoformat(),
            "owner": "newsroom",
        },
        "as_of": (START + timedelta(days=14 * look / 5)).isoformat(),
        "snapshot": 31,
        "plan": _plan(metrics),
        "looks": {
            "taken": look,
            "planned": 5,
            "information": look / 5,
            "history": [
                {
                    "information": n / 5,
                    "z": round(lift / se * math.sqrt(n / 5) + zs[n - 1], 3),
                    "boundary": OBRIEN_FLEMING[n - 1],
                }
                for n in range(1, look + 1)
            ],
        },
        "checks": _checks(),
        "variants": [
            _variant(variant, index, len(variants), units * look // 5) for index, variant in enumerate(variants)
        ],
        "metrics": made,
        "verdict": {
            "decision": "ship",
            "variant": variants[1],
            "reason": "The click-through rate rose, the boundary is crossed, and every guardrail holds.",
            "numbers": {"z": 4.6, "boundary": 2.031},
        },
        "inputs": _inputs(variants, units * look // 5),
    }


def looks(**options: Any) -> list[Document]:
    """Five looks of one experiment, oldest first."""
    return [document(look=look, **options) for look in range(1, 6)]


def decided(made: Document, decision: str, reason: str, variant: str | None = None) -> Document:
    """A copy with another verdict."""
    made = deepcopy(made)
    made["verdict"] = {"decision": decision, "variant": variant, "reason": reason, "numbers": {}}
    return made


def none_found() -> list[Document]:
    """An A/A test at its end."""
    name = {"key": "aa-check", "name": "The same model twice", "lifts": {"b": 0.0}, "variants": ("a", "b"), "seed": 20}
    quiet = tuple(Planted(**{**vars(planted), "lift": 0.0}) for planted in METRICS)
    return [
        decided(one, "no_difference", "The planned end is reached and the interval of the primary metric holds 0.")
        for one in looks(**name, metrics=quiet)
    ]


def unbalanced() -> list[Document]:
    """An experiment whose sample ratio is off."""
    made = []
    for look in looks(seed=3, key="recall-textcnn", name="Recall by headline text"):
        one = decided(look, "invalid", "The sample ratio is off: 13,440 and 11,020 units where 1 : 1 was planned.")
        one["variants"][0]["units"] = one["variants"][0]["units"] * 112 // 100
        one["checks"][0].update(passed=False, p=3.2e-17, detail="p < 0.001: units are missing from a variant.")
        one["checks"][2].update(passed=False, p=0.004, detail="Fallbacks differ: 0.4 % against 1.9 % of slates.")
        one["checks"][3].update(passed=None, p=None, detail="No covariate was planned.")
        made.append(one)
    return made


def undefined() -> list[Document]:
    """An experiment with every reason for an undefined number, one metric each."""
    made = []
    for look in looks(key="undefined", name="What has no number"):
        one = decided(look, "keep_running", "The primary metric is not defined yet.")
        template = one["metrics"][1]
        one["metrics"] = [_undefined(template, code, index) for index, code in enumerate(REASONS)] + one["metrics"][3:]
        made.append(one)
    return made


def three_variants() -> list[Document]:
    """Four variants, one of them harmful, with CUPED and Bayes beside."""
    variants = ("popularity", "mf", "textcnn", "mf-diverse")
    lifts = {"mf": 1.0, "textcnn": -0.9, "mf-diverse": 0.5}
    return looks(variants=variants, lifts=lifts, key="ranking-three", name="Three rankers", adjusted=True, units=60_000)


def harmful() -> list[Document]:
    """A variant that lowers what should rise and raises what should fall."""
    slow = Planted(
        "dwell_ms", "Response time", "响应时间", "mean", "guardrail", "seconds", 0.083, 0.8, 0.09, "decrease"
    )
    made = looks(lifts={"mf": -1.0}, metrics=(*METRICS[:3], slow), key="harm", name="A slower ranker", seed=5)
    return [decided(one, "stop_for_harm", "The click-through rate fell beyond the boundary.", "mf") for one in made]


def unbounded() -> list[Document]:
    """Intervals without an upper limit, without a lower one, and without either."""
    made = decided(document(look=1, units=120, key="unbounded"), "keep_running", "Too few readers for both ends.")
    made["metrics"][0]["comparisons"][0].update(ci=[-0.31, None], p=0.41, significant=False)
    made["metrics"][1]["comparisons"][0].update(ci=[None, 0.12], p=0.2, significant=False)
    made["metrics"][2]["comparisons"][0].update(ci=[None, None], p=0.77, significant=False)
    return [made]


def first_look() -> list[Document]:
    """The first hour: hardly anybody was seen."""
    made = decided(document(look=1, units=140), "keep_running", "The minimum run time of 7 days is not over.")
    made["as_of"] = (START + timedelta(hours=1)).isoformat()
    made["checks"][4].update(passed=False, detail="0.0 of 7 days.")
    made["experiment"]["key"] = "first-look"
    made["looks"] = {"taken": 0, "planned": 5, "information": 0.004}
    return [made]


TRUTHS: dict[str, dict[str, Any]] = {
    "ranking-mf": {"planted": "effect", "relative_lift_planted": 0.08, "correct": True},
    "aa-check": {"planted": "none", "relative_lift_planted": None, "correct": True},
    "recall-textcnn": {"planted": "effect", "relative_lift_planted": 0.05, "correct": False},
}


def everything() -> list[list[Document]]:
    """Every situation, each as its looks."""
    good = looks()
    return [
        good, none_found(), unbalanced(), three_variants(), harmful(), undefined(), unbounded(), first_look(),
    ]  # fmt: skip


def _walk(seed: int, variant: str, metric: str, look: int) -> float:
    rng = random.Random(f"{seed}/{variant}/{metric}")
    steps = [rng.gauss(0, 1) for _ in range(look)]
    return sum(steps) / math.sqrt(look)


def _metric(
    planted: Planted,
    variants: tuple[str, ...],
    lifts: dict[str, float],
    look: int,
    units: int,
    *,
    seed: int,
    adjusted: bool,
) -> Document:
    n = units * look // 5
    se = planted.noise * math.sqrt(2 / n)
    found = {variant: planted.lift * lifts[variant] + se * _walk(seed, variant, planted.key, look) for variant in lifts}
    values = {variants[0]: planted.base} | {variant: planted.base * (1 + lift) for variant, lift in found.items()}
    return {
        "metric": planted.key,
        "label": planted.label,
        "label_zh": planted.label_zh,
        "kind": planted.kind,
        "role": planted.role,
        "direction": planted.direction,
        "unit": planted.unit,
        "arms": [
            {
                "variant": variant,
                "units": n,
                "value": values[variant],
                "numerator": round(values[variant] * n * 11, 2),
                "denominator": float(n * 11) if planted.kind == "ratio" else float(n),
                "undefined": None,
            }
            for variant in variants
        ],
        "comparisons": [
            _comparison(variant, planted.base, lift, se, adjusted=adjusted) for variant, lift in found.items()
        ],
    }


def _comparison(variant: str, base: float, lift: float, se: float, *, adjusted: bool, level: float = 0.95) -> Document:
    z = lift / se
    p = 2 * NormalDist().cdf(-abs(z))
    made: Document = {
        "variant": variant,
        "difference": lift * base,
        "difference_ci": [(lift - 1.96 * se) * base, (lift + 1.96 * se) * base],
        "relative_lift": lift,
        "ci": [lift - 1.96 * se, lift + 1.96 * se],
        "p": p,
        "p_adjusted": min(1.0, 2 * p),
        "level": level,
        "method": "delta",
        "significant": 2 * p < 1 - level,
        "undefined": None,
        "adjusted": None,
        "bayes": {"chance_to_win": NormalDist().cdf(z), "expected_loss": se * base * NormalDist().pdf(z)},
    }
    if adjusted:
        made["adjusted"] = _comparison(variant, base, lift * 0.97, se * 0.7, adjusted=False)
    return made


def _undefined(template: Document, code: str, index: int) -> Document:
    made = deepcopy(template)
    made.update(metric=f"metric_{index}", label=f"Metric {index}", label_zh=f"指标 {index}")
    made["role"] = "primary" if index == 0 else "secondary"
    if code == "zero_baseline":
        for comparison in made["comparisons"]:
            comparison.update(relative_lift=None, ci=[None, None], undefined=code)
        return made
    made["arms"][-1].update(value=None, undefined=code)
    for comparison in made["comparisons"]:
        comparison.update(
            difference=None, difference_ci=[None, None], relative_lift=None, ci=[None, None], p=None, p_adjusted=None,
            level=None, significant=False, undefined=code, bayes=None,
        )  # fmt: skip
    return made


def _plan(metrics: tuple[Planted, ...]) -> Document:
    return {
        "primary_metric": metrics[0].key,
        "guardrails": [{"metric": one.key, "margin": 0.03} for one in metrics if one.role == "guardrail"],
        "secondary_metrics": [one.key for one in metrics if one.role == "secondary"],
        "method": "group_sequential",
        "alpha": 0.05,
        "power": 0.8,
        "minimum_effect": 0.05,
        "planned_days": 14,
        "looks": 5,
        "minimum_days": 7,
        "correction": "holm",
        "covariate_days": 0,
        "on_verdict": "recommend",
    }


def _checks() -> list[Document]:
    found = (
        ("sample_ratio", True, 0.43, "Units came as planned: 1 : 1."),
        ("crossed_units", True, None, "3 of 48,000 units were in two variants and are left out."),
        ("fallbacks", True, 0.61, "0.4 % of slates fell back, evenly."),
        ("pre_period", True, 0.52, "The variants did not differ before the start."),
        ("minimum_days", True, None, "14 of 7 days."),
    )
    return [
        {"check": key, "passed": passed, "blocking": key != "fallbacks", "p": p, "detail": detail}
        for key, passed, p, detail in found
    ]


def _variant(variant: str, index: int, of: int, units: int) -> Document:
    return {
        "variant": variant,
        "is_control": index == 0,
        "weight": 100 // of,
        "units": units + index * 37,
        "crossed": index,
        "slates": units * 4,
        "fallback_slates": units // 60,
    }


def _inputs(variants: tuple[str, ...], units: int) -> Document:
    columns = ["impressions", "clicks", "read_seconds"]
    arm = {"n": units, "mean": [44.1, 1.82, 184.3], "cross": [[9.1, 0.4, 30.0], [0.4, 2.2, 8.1], [30.0, 8.1, 810.5]]}
    return {"columns": columns, "arms": {variant: deepcopy(arm) for variant in variants}}
