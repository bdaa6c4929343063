"""Files of units and events for tests of `lamella analyze` and `lamella power`: readers as unequal as real ones."""

from pathlib import Path

import numpy as np
import pandas as pd


def units_frame(seed: int = 1, *, units: int = 2000, lift: float = 0.0) -> pd.DataFrame:
    """One row a reader: clicks and impressions, their twins before, money, a flag, a device."""
    rng = np.random.default_rng(seed)
    is_treated = rng.random(units) < 0.5
    shown = np.ceil(np.exp(rng.normal(2.0, 1.0, units))).astype(int)
    rate = rng.beta(2.0, 40.0, units)
    before = np.ceil(np.exp(rng.normal(2.0, 1.0, units))).astype(int)
    revenue = rng.exponential(3.0, units)
    return pd.DataFrame(
        {
            "user_id": [f"u{n}" for n in range(units)],
            "variant": np.where(is_treated, "treatment", "control"),
            "clicks": rng.binomial(shown, np.minimum(rate * (1.0 + lift * is_treated), 1.0)),
            "impressions": shown,
            "pre_clicks": rng.binomial(before, rate).astype(float),
            "pre_impressions": before,
            "revenue": revenue,
            "bought": (revenue > 4.0).astype(int),
            "device": rng.choice(["phone", "desktop"], units),
        }
    )


def events_frame(frame: pd.DataFrame, seed: int = 2) -> pd.DataFrame:
    """One row an impression of the same readers, in any order, with the wait for each."""
    rng = np.random.default_rng(seed)
    clicked = np.concatenate([np.arange(n) < k for n, k in zip(frame["impressions"], frame["clicks"], strict=True)])
    rows = frame.loc[frame.index.repeat(frame["impressions"]), ["user_id", "variant", "device"]].reset_index(drop=True)
    rows["clicked"] = clicked.astype(int)
    rows["wait_ms"] = rng.exponential(100.0, len(rows))
    return rows.sample(frac=1.0, random_state=seed)


def written(frame: pd.DataFrame, path: Path) -> Path:
    """The frame as the file that the name's ending says."""
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False)
    return path
