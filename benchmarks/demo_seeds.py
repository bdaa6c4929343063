"""How often every verdict of the demo is right, over many seeds; prints the lines that docs/demo.md quotes.

    python benchmarks/demo_seeds.py --seeds 20 --first 1 --out demo-seeds [-- --users 4000 --effect 0]

Each seed is a demo of its own in a process of its own; a seed whose report.json exists already is not run again.
"""

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("demo-seeds"))
    parser.add_argument("rest", nargs="*", help="options of `lamella demo`, after --")
    options = parser.parse_args()
    reports = [run(seed, options.out, options.rest) for seed in range(options.first, options.first + options.seeds)]
    summarise(reports)
    return 0


def run(seed: int, out: Path, rest: list[str]) -> dict:
    """The report.json of a seed."""
    folder = out / f"seed-{seed}"
    report = folder / "report.json"
    if not report.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "lamella", "demo", "--seed", str(seed), "--out", str(folder), *rest]
        with (folder / "printed.txt").open("wb") as printed:
            subprocess.run(command, stdout=printed, stderr=subprocess.STDOUT, check=True)
    document = json.loads(report.read_text())
    parts = [
        f"{each['key']} {each['relative_lift_planted']:+.1%} {each['verdict']}{'' if each['correct'] else ' WRONG'}"
        for each in document["experiments"]
    ]
    print(f"seed {seed:>3}  {sum(document['seconds'].values()):5.0f} s  " + "; ".join(parts), flush=True)
    return document


def summarise(reports: list[dict]) -> None:
    right: dict[str, list[bool]] = defaultdict(list)
    lifts: dict[str, list[float]] = defaultdict(list)
    covered: dict[str, list[bool]] = defaultdict(list)
    for report in reports:
        for each in report["experiments"]:
            right[each["key"]].append(each["correct"])
            lifts[each["key"]].append(each["relative_lift_planted"])
            covered[each["key"]].append(covers(each))
    print()
    for key, told in right.items():
        print(
            f"{key}: right {sum(told)} of {len(told)}; planted lift {min(lifts[key]):+.1%} to {max(lifts[key]):+.1%}; "
            f"the interval holds the planted lift {sum(covered[key])} of {len(told)} times"
        )
    everything = sum(all(each["correct"] for each in report["experiments"]) for report in reports)
    seconds = sorted(sum(report["seconds"].values()) for report in reports)
    print(f"all verdicts right: {everything} of {len(reports)} seeds")
    print(f"seconds: median {seconds[len(seconds) // 2]:.0f}, longest {seconds[-1]:.0f}")


def covers(experiment: dict) -> bool:
    row = next(
        row for row in experiment["metrics"] if row["metric"] == "ctr" and row["variant"] == "treatment" and row["ci"]
    )
    low, high = row["ci"]
    planted = experiment["relative_lift_planted"]
    return (low is None or low <= planted) and (high is None or planted <= high)


if __name__ == "__main__":
    sys.exit(main())
