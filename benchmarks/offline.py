"""What the model kinds are worth on public data, beside the references that anybody can run.

    python benchmarks/offline.py [ratings] [recall] [headlines] [--data DIR] [--kind cnn] [--json]

ratings    `mf` predicts MovieLens 1M: a random fifth of each rating value is held out (seed 42), a tenth of the rest
           stops the training early; RMSE.
recall     a kind learns choices of MovieLens 1M and ranks the whole catalogue; each user's last film is held out, the
           one before stops the training early, films rated before are not proposed; hit rate in the first ten, beside
           popularity and EASE.
headlines  `textcnn` says which of two headlines of an Upworthy test was clicked more, where the test is significant
           (two-sided 5 %), beside TF-IDF with logistic regression; a fifth of the tests is held out (seed 42). Both
           learn from all pairs of the other tests, each with the chance that its first headline is the better one.

DIR holds ml-1m/ (ratings.dat or ratings_full.parquet, movies.dat, users.dat) and upworthy_exploratory.parquet; what is
missing is skipped. MovieLens may be used for research only and is not part of this project.
"""

import argparse
import json
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import optimize, sparse, special

from lamella.adapters.ratings_files import RatingsFiles
from lamella.recommenders.dataset import Dataset, Impressions, Outcome
from lamella.recommenders.evaluation import evaluate
from lamella.recommenders.kinds import KINDS
from lamella.recommenders.rated import Split, build_ratings
from lamella.recommenders.vocabulary import words

SEED = 42
BROKEN_WEEKS = range(201326, 201402)
"""Tests of these weeks were not randomised properly, as the data's authors published."""
RATING_SETTINGS = {"embedding_size": 50, "epochs": 60, "learning_rate": 0.003, "reg": 4.0}
RECALL_SETTINGS: Mapping[str, Mapping[str, float]] = {
    "cnn": {"embedding_size": 48, "batch_size": 256, "epochs": 6, "learning_rate": 0.003, "reg": 1.0},
    "gru": {"embedding_size": 48, "batch_size": 256, "epochs": 6, "learning_rate": 0.005, "reg": 1.0},
}
TEXT_SETTINGS = {"epochs": 15, "embedding_size": 4, "filters": 64, "shortest_phrase": 1}


def quiet(share: float, line: str) -> None:
    """Nothing."""


def movielens(folder: Path, outcome: Outcome, split: Split) -> Dataset:
    """MovieLens 1M as downloaded, or as one Parquet file."""
    file = next(path for path in (folder / "ratings.dat", folder / "ratings_full.parquet") if path.exists())
    return build_ratings(RatingsFiles().read(str(file)), outcome=outcome, split=split, seed=SEED)


def ratings(data: Path) -> dict[str, float]:
    """The errors of `mf`."""
    dataset, started = movielens(data / "ml-1m", Outcome.RATING, Split.RANDOM), time.monotonic()
    fitted = KINDS["mf"].train(dataset, RATING_SETTINGS, seed=SEED, progress=quiet)
    seconds = time.monotonic() - started
    metrics = evaluate(fitted.factors, fitted.factors, dataset, seed=SEED, most_users=1)
    return {f"mf_{name}": metrics[name] for name in ("rmse", "mae", "constant_rmse")} | {"mf_seconds": seconds}


def recall(data: Path, kind: str) -> dict[str, float]:
    """The hit rate of `kind`: of one held-out film a user, recall is the hit rate."""
    dataset, started = movielens(data / "ml-1m", Outcome.CHOICE, Split.LAST), time.monotonic()
    fitted = KINDS[kind].train(dataset, RECALL_SETTINGS.get(kind, {}), seed=SEED, progress=quiet)
    seconds = time.monotonic() - started
    popularity = KINDS["popularity"].train(dataset, {}, seed=SEED, progress=quiet).factors
    metrics = evaluate(fitted.factors, popularity, dataset, seed=SEED, most_users=len(dataset.users))
    found = {name: value for name, value in metrics.items() if name.endswith("_at_10") or "_history_" in name}
    return {f"{kind}_{name}": value for name, value in found.items()} | {f"{kind}_seconds": seconds}


class Pair(NamedTuple):
    """Two headlines of one test, the one that was clicked more first, and the z-value of the difference, 0 or more."""

    better: str
    worse: str
    z: float

    @property
    def chance(self) -> float:
        """The chance that the better one is better, were all differences equally likely beforehand."""
        return float(special.ndtr(self.z))


class Pairs:
    """The pairs of all tests, in three parts; those held out are significant."""

    def __init__(self, file: Path) -> None:
        table = pd.read_parquet(file)
        table = table[~table["test_week"].isin(BROKEN_WEEKS) & (table["impressions"] > 0)]
        grouped = table.groupby(["test_id", "headline"], sort=True)[["impressions", "clicks"]].sum().reset_index()
        self.tests: dict[str, list[Pair]] = {}
        for test, arms in grouped.groupby("test_id", sort=True):
            found = [pair for one, two in combinations(arms.itertuples(), 2) if (pair := _ordered(one, two))]
            if found:
                self.tests[str(test)] = found
        names = np.random.default_rng(SEED).permutation(sorted(self.tests))
        fifth, tenth = len(names) // 5, len(names) // 12
        self.held_out = [pair for pair in self._of(names[:fifth]) if pair.z > 1.959964]
        self.validation = self._of(names[fifth : fifth + tenth])
        self.training = self._of(names[fifth + tenth :])

    def _of(self, names: Sequence[str]) -> list[Pair]:
        return [pair for name in names for pair in self.tests[name]]


def _ordered(one: Any, two: Any) -> Pair | None:
    rates = one.clicks / one.impressions, two.clicks / two.impressions
    pooled = (one.clicks + two.clicks) / (one.impressions + two.impressions)
    error = np.sqrt(pooled * (1 - pooled) * (1 / one.impressions + 1 / two.impressions))
    if error == 0:
        return None
    better, worse = (one, two) if rates[0] > rates[1] else (two, one)
    return Pair(better.headline, worse.headline, abs(rates[0] - rates[1]) / error)


def headlines(data: Path) -> dict[str, float]:
    """The pairwise accuracy of `textcnn` and of the reference."""
    pairs, started = Pairs(data / "upworthy_exploratory.parquet"), time.monotonic()
    dataset = _pair_dataset(pairs)
    model = KINDS["textcnn"].train(dataset, TEXT_SETTINGS, seed=SEED, progress=quiet).factors
    seconds = time.monotonic() - started
    keys = {title: key for key, title in zip(dataset.items, dataset.titles, strict=True)}
    scores = model.logits_of("a stranger", [keys[each] for pair in pairs.held_out for each in pair[:2]]).reshape(-1, 2)
    return {
        "textcnn_pairwise_accuracy": float((scores[:, 0] > scores[:, 1]).mean()),
        "tfidf_pairwise_accuracy": tfidf_accuracy(pairs),
        "held_out_pairs": float(len(pairs.held_out)),
        "training_pairs": float(len(pairs.training) + len(pairs.validation)),
        "textcnn_seconds": seconds,
    }


def _pair_dataset(pairs: Pairs) -> Dataset:
    """Every pair as two impressions for the same reader: clicked by the chance to be the better one."""
    every = (*pairs.training, *pairs.validation, *pairs.held_out)
    titles = sorted({headline for pair in every for headline in pair[:2]})
    row = {title: number for number, title in enumerate(titles)}

    def impressions(of: Sequence[Pair]) -> Impressions:
        item = np.array([row[each] for pair in of for each in pair[:2]], dtype=np.int32)
        zeros = np.zeros(len(item), dtype=np.int32)
        clicked = np.array([each for pair in of for each in (pair.chance, 1 - pair.chance)], dtype=np.float32)
        return Impressions(user=zeros, item=item, rank=zeros, clicked=clicked)

    return Dataset(
        users=("reader",),
        items=tuple(f"h{number:05d}" for number in range(len(titles))),
        titles=tuple(titles),
        published=np.full(len(titles), -np.inf),
        training=impressions(pairs.training),
        validation=impressions(pairs.validation),
        held_out=impressions(pairs.held_out),
    )


def tfidf_accuracy(pairs: Pairs) -> float:
    """Logistic regression on differences of TF-IDF vectors of words and word pairs, its L2 by the validation part."""
    known = [*pairs.training, *pairs.validation]
    counts = Counter(term for pair in known for title in pair[:2] for term in set(_terms(title)))
    column = {term: at for at, term in enumerate(sorted(term for term, count in counts.items() if count >= 3))}
    idf = np.array([np.log(2 * len(known) / counts[term]) for term in column])
    training, validation, held_out = (
        _differences(each, column, idf) for each in (pairs.training, pairs.validation, pairs.held_out)
    )
    found = {}
    chances = np.array([pair.chance for pair in pairs.training])
    clear = np.array([pair.z > 1.959964 for pair in pairs.validation])
    for penalty in (1.0, 3.0, 10.0, 30.0):
        weights = _logistic(training, chances, penalty)
        found[penalty] = (float(((validation @ weights) > 0)[clear].mean()), weights)
    best = max(found, key=lambda penalty: found[penalty][0])
    return float(((held_out @ found[best][1]) > 0).mean())


def _terms(title: str) -> list[str]:
    found = words(re.sub(r"\d+", "0", title))
    return found + [f"{one} {two}" for one, two in pairwise(found)]


def _differences(pairs: Sequence[Pair], column: Mapping[str, int], idf: np.ndarray) -> sparse.csr_matrix:
    rows = []
    for title in (title for pair in pairs for title in pair[:2]):
        counts = Counter(column[term] for term in _terms(title) if term in column)
        values = np.array([(1 + np.log(count)) * idf[at] for at, count in counts.items()])
        rows.append((list(counts), values / max(float(np.linalg.norm(values)), 1e-9)))
    ends = np.cumsum([0, *(len(places) for places, _ in rows)])
    places = np.concatenate([np.array(each, dtype=np.int64) for each, _ in rows])
    matrix = sparse.csr_matrix((np.concatenate([each for _, each in rows]), places, ends), (len(rows), len(column)))
    return matrix[0::2] - matrix[1::2]


def _logistic(differences: sparse.csr_matrix, chances: np.ndarray, penalty: float) -> np.ndarray:
    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margins = differences @ weights
        value = float((np.logaddexp(0, margins) - chances * margins).sum() + penalty / 2 * weights @ weights)
        return value, differences.T @ (special.expit(margins) - chances) + penalty * weights

    return optimize.minimize(loss, np.zeros(differences.shape[1]), jac=True, method="L-BFGS-B").x


def main() -> None:
    parser = argparse.ArgumentParser(description="What the model kinds are worth on public data.")
    parser.add_argument("parts", nargs="*", default=["ratings", "recall", "headlines"])
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--kind", default="cnn")
    parser.add_argument("--json", action="store_true", dest="as_json")
    asked = parser.parse_args()
    figures: dict[str, float] = {}
    if (asked.data / "ml-1m").is_dir():
        figures |= ratings(asked.data) if "ratings" in asked.parts else {}
        figures |= recall(asked.data, asked.kind) if "recall" in asked.parts else {}
    if "headlines" in asked.parts and (asked.data / "upworthy_exploratory.parquet").exists():
        figures |= headlines(asked.data)
    if asked.as_json:
        print(json.dumps(figures, indent=2))
    else:
        for name, value in figures.items():
            print(f"{name:40} {value:.4f}")


if __name__ == "__main__":
    main()
