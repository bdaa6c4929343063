"""The hyperparameters of the model kinds: frozen dataclasses whose fields state their bounds.

The names mean the same in every kind: `embedding_size` is the length of a user's and an item's vector, `epochs` the
most passes over the training part, `learning_rate` Adam's step, `reg` the precision of the zero-mean normal prior on
every weight that is regularised (the loss is the sum of log losses plus reg/2 times the squared weights, so that one
value suits every amount of data), `batch_size` impressions a step, `dropout` the share of features dropped.
"""

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TypeVar

from lamella.errors import InvalidInput
from lamella.experiments.model import Json


@dataclass(frozen=True, slots=True)
class Bounds:
    """The closed range of a hyperparameter; `fault` says what is wrong with a value."""

    low: float
    high: float

    def fault(self, name: str, value: Json, *, is_integer: bool) -> str | None:
        """A sentence that names the value and the bounds, or None where `value` is allowed."""
        wanted = "an integer" if is_integer else "a number"
        number_types = int if is_integer else (int, float)
        fits = isinstance(value, number_types) and not isinstance(value, bool) and self.low <= value <= self.high
        return None if fits else f"{name}={value!r} is not {wanted} from {self.low:g} to {self.high:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyperparameters:
    """The base of every kind's hyperparameters; each field is made by `integer` or `number`."""


def integer(default: int, low: int, high: int) -> int:
    """A field that holds an integer within the closed range."""
    made: int = field(default=default, metadata={"bounds": Bounds(low, high)})
    return made


def number(default: float, low: float, high: float) -> float:
    """A field that holds a number within the closed range."""
    made: float = field(default=default, metadata={"bounds": Bounds(low, high)})
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkHyperparameters(Hyperparameters):
    """What every network that learns from single impressions has; a kind overrides defaults and adds its own."""

    embedding_size: int = integer(16, 1, 512)
    epochs: int = integer(30, 1, 1000)
    learning_rate: float = number(0.01, 1e-6, 1.0)
    reg: float = number(5.0, 0.0, 1e6)
    batch_size: int = integer(8192, 1, 1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseHyperparameters(NetworkHyperparameters):
    """Those of a network with dense layers: `hidden` units in the first, half as many in the next."""

    learning_rate: float = number(0.003, 1e-6, 1.0)
    reg: float = number(2.0, 0.0, 1e6)
    dropout: float = number(0.2, 0.0, 0.95)
    hidden: int = integer(64, 2, 4096)


H = TypeVar("H", bound=Hyperparameters)


def parse(kind: str, into: type[H], values: Mapping[str, Json]) -> H:
    """The hyperparameters of `kind` that `values` asks for; defaults where it is silent.

    Raises InvalidInput with one sentence for each unknown name and each value out of its type or bounds.
    """
    known = {each.name: each for each in fields(into)}
    faults: list[str] = []
    chosen: dict[str, int | float] = {}
    for name, value in values.items():
        if name not in known:
            faults.append(_unknown(kind, name, known))
            continue
        is_integer = isinstance(known[name].default, int)
        fault = known[name].metadata["bounds"].fault(name, value, is_integer=is_integer)
        if fault:
            faults.append(f"{kind}: {fault}")
        elif isinstance(value, (int, float)):
            chosen[name] = value if is_integer else float(value)
    if faults:
        raise InvalidInput(*faults)
    return into(**chosen)


def unparse(hyperparameters: Hyperparameters) -> dict[str, Json]:
    """Every hyperparameter with its value, as the manifest records it."""
    return dict(asdict(hyperparameters))


def _unknown(kind: str, name: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(sorted(known)) or 'none'}"
    return f"{kind} has no hyperparameter {name!r}; {hint}"
