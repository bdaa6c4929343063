"""The peers of `assignment.py`, each in the way its documentation shows for many flags and many users.

Run by `assignment.py` in an environment of their own: reads `peer layers users` a line, answers seconds a line.
The workload is here too, so that all of them take the same: one experiment a layer over all traffic, two equal
variants that set one value each, one of five rules, and users of whom most are let in.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence

RULES = (
    {"==": [{"var": "country"}, "CN"]},
    {"in": [{"var": "country"}, ["CN", "SG"]]},
    {">=": [{"var": "age"}, 18]},
    {"or": [{"==": [{"var": "device"}, "ios"]}, {"==": [{"var": "device"}, "android"]}]},
    {"and": [{"!=": [{"var": "country"}, "US"]}, {"<": [{"var": "age"}, 65]}]},
)
CONDITIONS = (
    {"country": "CN"},
    {"country": {"$in": ["CN", "SG"]}},
    {"age": {"$gte": 18}},
    {"$or": [{"device": "ios"}, {"device": "android"}]},
    {"country": {"$ne": "US"}, "age": {"$lt": 65}},
)
TESTS: tuple[Callable[[str, int, str], bool], ...] = (
    lambda country, _age, _device: country == "CN",
    lambda country, _age, _device: country in ("CN", "SG"),
    lambda _country, age, _device: age >= 18,
    lambda _country, _age, device: device in {"ios", "android"},
    lambda country, age, _device: country != "US" and age < 65,
)
CONTEXTS = (
    {"country": "CN", "age": 31, "device": "ios"},
    {"country": "CN", "age": 17, "device": "android"},
    {"country": "SG", "age": 44, "device": "web"},
    {"country": "US", "age": 70, "device": "ios"},
    {"country": "CN", "age": 25, "device": "web"},
)
Evaluate = Callable[[str, Mapping[str, str | int]], object]


def units(number: int, start: int = 0) -> list[str]:
    """That many users."""
    return [f"user-{each:010d}" for each in range(start, start + number)]


def growthbook(layers: int) -> Evaluate:
    """GrowthBook's SDK: a feature a layer, evaluated for the attributes of each user."""
    from growthbook import GrowthBook

    features = {
        f"p{each}": {
            "defaultValue": "a",
            "rules": [
                {
                    "key": f"e{each}",
                    "seed": f"e{each}:1",
                    "hashAttribute": "id",
                    "hashVersion": 2,
                    "variations": ["a", "b"],
                    "weights": [0.5, 0.5],
                    "coverage": 1,
                    "condition": CONDITIONS[each % len(CONDITIONS)],
                }
            ],
        }
        for each in range(layers)
    }
    client = GrowthBook(features=features)
    keys = list(features)

    def evaluate(unit: str, context: Mapping[str, str | int]) -> object:
        client.set_attributes({"id": unit, **context})
        return {key: client.eval_feature(key).value for key in keys}

    return evaluate


def flagd(layers: int) -> Evaluate:
    """flagd's evaluator core: a flag a layer, with the same rule around `fractional`."""
    from openfeature.contrib.tools.flagd.core import FlagdCore
    from openfeature.evaluation_context import EvaluationContext

    flags = {
        f"p{each}": {
            "state": "ENABLED",
            "variants": {"a": "a", "b": "b"},
            "defaultVariant": "a",
            "targeting": {
                "if": [
                    RULES[each % len(RULES)],
                    {"fractional": [{"cat": [f"e{each}:1:", {"var": "targetingKey"}]}, ["a", 1], ["b", 1]]},
                    None,
                ]
            },
        }
        for each in range(layers)
    }
    core = FlagdCore()
    import json

    core.set_flags(json.dumps({"flags": flags}))
    keys = list(flags)

    def evaluate(unit: str, context: Mapping[str, str | int]) -> object:
        scope = EvaluationContext(targeting_key=unit, attributes=dict(context))
        return {key: core.resolve_string_value(key, "a", scope).value for key in keys}

    return evaluate


def planout(layers: int) -> Evaluate:
    """PlanOut: an experiment class a layer, without its log."""
    import collections
    import collections.abc

    collections.MutableMapping = collections.abc.MutableMapping  # type: ignore[attr-defined]
    from planout.experiment import Experiment
    from planout.ops.random import UniformChoice

    def experiment(name: str, test: Callable[[str, int, str], bool]) -> type:
        class Own(Experiment):
            def setup(self) -> None:
                self.name = name
                self.set_auto_exposure_logging(False)

            def assign(self, params: object, unit: str, country: str, age: int, device: str) -> object:
                if not test(country, age, device):
                    return False
                params.x = UniformChoice(choices=["a", "b"], unit=unit)
                return True

            def configure_logger(self) -> None:
                pass

            def log(self, data: object) -> None:
                pass

            def previously_logged(self) -> bool:
                return True

        return Own

    classes = {f"p{each}": experiment(f"e{each}", TESTS[each % len(TESTS)]) for each in range(layers)}

    def evaluate(unit: str, context: Mapping[str, str | int]) -> object:
        return {key: own(unit=unit, **context).get("x", "a") for key, own in classes.items()}

    return evaluate


def bare(layers: int) -> Evaluate:
    """The limit: one hash a layer and nothing else."""
    import mmh3

    salts = [f"e{each}:1:" for each in range(layers)]
    digest = mmh3.hash

    def evaluate(unit: str, context: Mapping[str, str | int]) -> object:  # noqa: ARG001
        for salt in salts:
            digest(salt + unit)
        return None

    return evaluate


PEERS = {"growthbook": growthbook, "flagd": flagd, "planout": planout, "bare": bare}


def seconds(evaluate: Evaluate, users: Sequence[str]) -> float:
    """The processor time that it takes to evaluate all of them, each in one of the contexts."""
    asked = [(user, CONTEXTS[each % len(CONTEXTS)]) for each, user in enumerate(users)]
    started = time.process_time()
    for user, context in asked:
        evaluate(user, context)
    return time.process_time() - started


def main() -> None:
    """Answers each line of standard input with the seconds that it took."""
    made: dict[tuple[str, int], Evaluate] = {}
    for line in sys.stdin:
        peer, layers, start, number = line.split()
        key = (peer, int(layers))
        if key not in made:
            made[key] = PEERS[peer](int(layers))
            made[key]("warm", CONTEXTS[0])
        print(seconds(made[key], units(int(number), int(start))), flush=True)


if __name__ == "__main__":
    main()
