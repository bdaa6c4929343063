"""The peers of `analysis.py`: the same ten metrics with CUPED, from the events, as their documentation shows.

Run by `analysis.py` in environments of their own: `analysis_peers.py PEER FILE` reads a line for each run and answers
with a JSON object: the seconds of the run and the relative difference of the click-through rates.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

# metric: numerator columns, denominator (none: a mean over units), covariate numerator, covariate denominator
METRICS: dict[str, tuple[str, str | None, str, str | None]] = {
    "ctr": ("clicks", "impressions", "pre_clicks", "pre_impressions"),
    "reading_depth": ("completion", "reads", "pre_completion", "pre_reads"),
    "dwell_per_read": ("read_seconds", "reads", "pre_read_seconds", "pre_reads"),
    "interaction_rate": ("interactions", "impressions", "pre_interactions", "pre_impressions"),
    "articles_per_user": ("clicks", None, "pre_clicks", None),
    "articles_per_clicking_user": ("clicks", "clicked", "pre_clicks", None),
    "read_time_per_user": ("read_seconds", None, "pre_read_seconds", None),
    "clicking_users": ("clicked", None, "pre_clicks", None),
    "reads_per_user": ("reads", None, "pre_reads", None),
    "shares_per_user": ("shares", None, "pre_shares", None),
}
SUMMED = ("clicks", "reads", "read_seconds", "completion", "comments", "shares")


def tea_tasting(path: str) -> Callable[[], float]:
    """tea-tasting on its best engine: DuckDB over the Parquet file, which groups the events by unit."""
    import ibis
    import tea_tasting as tt

    connection = ibis.duckdb.connect()
    sums = ", ".join(
        f"sum({name}) FILTER (NOT is_before) AS {name}, coalesce(sum({name}) FILTER (is_before), 0) AS pre_{name}"
        for name in SUMMED
    )
    shown = "count(*) FILTER (NOT is_before) AS impressions, count(*) FILTER (is_before) AS pre_impressions"
    grouped = f"SELECT unit, any_value(variant) AS variant, {shown}, {sums} FROM '{path}' GROUP BY unit"
    more = "comments + shares AS interactions, pre_comments + pre_shares AS pre_interactions"
    units = connection.sql(f"SELECT *, (clicks > 0)::INT AS clicked, {more} FROM ({grouped})")
    metrics: dict[str, Any] = {
        key: tt.Mean(above, before) if below is None else tt.RatioOfMeans(above, below, before, below_before)
        for key, (above, below, before, below_before) in METRICS.items()
    }
    experiment = tt.Experiment(metrics)
    plain = tt.Experiment({"ctr": tt.RatioOfMeans("clicks", "impressions")})

    def run() -> float:
        return float(experiment.analyze(units, control=0)["ctr"].rel_effect_size)

    run.check = lambda: float(plain.analyze(units, control=0)["ctr"].rel_effect_size)  # type: ignore[attr-defined]
    return run


def pandas_gbstats(path: str) -> Callable[[], float]:
    """pandas for the sums of each unit, GrowthBook's gbstats for the tests; it has no CUPED for ratios."""
    import pandas as pd
    from gbstats.frequentist.tests import TwoSidedTTest
    from gbstats.models.statistics import RatioStatistic, RegressionAdjustedStatistic, SampleMeanStatistic

    def mean(of: Any, name: str) -> Any:
        values = of[name]
        return SampleMeanStatistic(n=len(of), sum=values.sum(), sum_squares=(values**2).sum())

    def ratio(of: Any, above: str, below: str) -> Any:
        products = (of[above] * of[below]).sum()
        return RatioStatistic(
            n=len(of), m_statistic=mean(of, above), d_statistic=mean(of, below), m_d_sum_of_products=products
        )

    def adjusted(of: Any, name: str, before: str, theta: float) -> Any:
        return RegressionAdjustedStatistic(
            n=len(of),
            post_statistic=mean(of, name),
            pre_statistic=mean(of, before),
            post_pre_sum_of_products=(of[name] * of[before]).sum(),
            theta=theta,
        )

    def units() -> Any:
        events = pd.read_parquet(path)
        events["impressions"] = 1
        names = ["impressions", *SUMMED]
        by_unit = events.loc[~events["is_before"]].groupby("unit")[names].sum()
        past = events.loc[events["is_before"]].groupby("unit")[names].sum().add_prefix("pre_")
        by_unit = by_unit.join(past).fillna(0.0)
        by_unit["clicked"] = (by_unit["clicks"] > 0).astype("int64")
        for prefix in ("", "pre_"):
            by_unit[f"{prefix}interactions"] = by_unit[f"{prefix}comments"] + by_unit[f"{prefix}shares"]
        by_unit["variant"] = by_unit.index % 2
        return by_unit.astype({name: "float64" for name in by_unit.columns if name != "variant"})

    def run() -> float:
        found = units()
        one, other = found[found["variant"] == 0], found[found["variant"] == 1]
        effects = {}
        for key, (above, below, before, _) in METRICS.items():
            if below is not None:
                pair = ratio(one, above, below), ratio(other, above, below)
            else:
                variance = found[before].var()
                theta = found[above].cov(found[before]) / variance if variance else 0.0
                pair = adjusted(one, above, before, theta), adjusted(other, above, before, theta)
            effects[key] = TwoSidedTTest(*pair).compute_result().expected
        return float(effects["ctr"])

    return run


PEERS = {"tea_tasting": tea_tasting, "pandas_gbstats": pandas_gbstats}


def main() -> None:
    """Answers each line of standard input with one run."""
    run = PEERS[sys.argv[1]](sys.argv[2])
    check = getattr(run, "check", run)
    print(json.dumps({"ctr_lift": check()}), flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        run()
        print(json.dumps({"seconds": time.perf_counter() - started}), flush=True)


if __name__ == "__main__":
    main()
