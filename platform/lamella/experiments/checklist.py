"""What is wrong with a layer, a parameter or an experiment: every fault at once, each a sentence that says how to mend.

`draft_faults` are refused whenever an experiment is saved; `start_faults` adds what must be settled before traffic.
"""

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from lamella.errors import InvalidRule
from lamella.experiments.allocation import HOLDING, domain_faults, range_faults
from lamella.experiments.fields import kind_of, text_fault, value_fault
from lamella.experiments.model import (
    ROOT_SALT,
    Configuration,
    Experiment,
    Json,
    Layer,
    Parameter,
    ParameterType,
    Variant,
)
from lamella.experiments.operators import LARGEST_TOTAL
from lamella.experiments.plan_checks import plan_faults
from lamella.experiments.prerequisites import prerequisite_faults
from lamella.experiments.ramps import ramp_faults
from lamella.experiments.selection import near
from lamella.experiments.spaces import settable
from lamella.experiments.targeting import compile_rule

LONGEST_UNIT: Final = 256
LONGEST_SALT: Final = 128
LONGEST_TEXT: Final = 10_000
MOST_FORCED: Final = 10_000
_KEY: Final = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
_FITS: Final[Mapping[ParameterType, tuple[type, ...]]] = {
    ParameterType.STRING: (str,),
    ParameterType.INTEGER: (int,),
    ParameterType.FLOAT: (int, float),
    ParameterType.BOOLEAN: (bool,),
    ParameterType.OBJECT: (Mapping, list, tuple),
}


def key_fault(kind: str, key: str) -> str | None:
    """Why `key` cannot name a `kind`, or None if it can."""
    if _KEY.fullmatch(key):
        return None
    return f"{kind} key {key[:80]!r} is not usable; begin with a-z, then up to 63 of a-z 0-9 _ . -"


def unit_fault(unit: str) -> str | None:
    """Why `unit` cannot be randomised, or None if it can: 1 to 256 characters, none of them a control character."""
    if not unit:
        return "the unit is empty; send the id of the user, device or session"
    if len(unit) > LONGEST_UNIT:
        return f"the unit has {len(unit)} characters; send an id of at most {LONGEST_UNIT}"
    for letter in unit if not unit.isprintable() else "":
        if unicodedata.category(letter) in ("Cc", "Cs"):
            return f"the unit holds the control character U+{ord(letter):04X}; send an id without it"
    return None


def value_type_fault(parameter: Parameter, value: Json) -> str | None:
    """Why `value` cannot be a value of `parameter`, or None if it can."""
    fits = isinstance(value, _FITS[parameter.type])
    if isinstance(value, bool) and parameter.type is not ParameterType.BOOLEAN:
        fits = False
    if fits:
        fault = value_fault(value)
        return fault and f"parameter {parameter.key!r}: {fault}"
    return f"parameter {parameter.key!r} is of type {parameter.type}, not {kind_of(value)} ({value!r:.80})"


def typed(parameter: Parameter, value: Json) -> Json:
    """`value` as the parameter's type stores it: an integer given for a float becomes a float."""
    is_whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    return float(value) if parameter.type is ParameterType.FLOAT and is_whole else value  # type: ignore[arg-type]


def layer_faults(configuration: Configuration, layer: Layer) -> list[str]:
    """What is wrong with a new layer."""
    faults = [key_fault("layer", layer.key), *new_salt_faults(configuration, layer.salt)]
    faults.append(long_fault("description", layer.description))
    if layer.domain is None:
        return [fault for fault in faults if fault]
    domains = {one.key: one for one in configuration.domains}
    domain = domains.get(layer.domain)
    inside = [one.key for one in configuration.layers if one.domain == layer.domain]
    if layer.is_launch:
        faults.append("a launch layer spans all traffic; take the domain out, or is_launch")
    if domain is None:
        faults.append(f"no domain {layer.domain!r}; {near(layer.domain, list(domains))}")
    elif inside and not domain.is_overlapping:
        faults.append(f"domain {domain.key!r} is not overlapping and holds layer {inside[0]!r} already; use that one")
    return [fault for fault in faults if fault]


def parameter_faults(configuration: Configuration, parameter: Parameter) -> list[str]:
    """What is wrong with a new parameter."""
    layers = [one.key for one in configuration.layers]
    faults = [
        key_fault("parameter", parameter.key),
        value_type_fault(parameter, parameter.default),
        long_fault("description", parameter.description),
    ]
    if any(one.key == parameter.layer and one.is_launch for one in configuration.layers):
        faults.append(f"{parameter.layer!r} is a launch layer, which owns no parameter; name the layer that varies it")
    if parameter.layer not in layers:
        faults.append(f"parameter {parameter.key!r}: no layer {parameter.layer!r}; {near(parameter.layer, layers)}")
    return [fault for fault in faults if fault]


def draft_faults(configuration: Configuration, experiment: Experiment) -> list[str]:
    """What is wrong with an experiment in any state; an unfinished draft may pass."""
    layers = [one.key for one in configuration.layers]
    faults = [
        key_fault("experiment", experiment.key),
        *(long_fault(name, getattr(experiment, name)) for name in ("name", "hypothesis", "owner")),
        *variant_faults(configuration, experiment),
        *range_faults(experiment.ranges),
        *forced_faults(configuration, experiment),
        *domain_faults(configuration, experiment),
        *prerequisite_faults(configuration, experiment),
        *ramp_faults(experiment),
    ]
    if experiment.layer not in layers:
        faults.append(f"no layer {experiment.layer!r}; {near(experiment.layer, layers)}")
    try:
        compile_rule(experiment.rule)
    except InvalidRule as error:
        faults.extend(error.faults)
    return [fault for fault in faults if fault]


def start_faults(configuration: Configuration, experiment: Experiment, metrics: Collection[str]) -> list[str]:
    """What must be settled before units are assigned, besides buckets that another experiment holds."""
    faults = draft_faults(configuration, experiment)
    if not experiment.hypothesis.strip():
        faults.append("the hypothesis is empty; say what you expect to change, and why")
    weighted = [one for one in experiment.variants if one.weight > 0]
    if len(weighted) < 2:
        faults.append(
            f"{len(weighted)} of {len(experiment.variants)} variants have a weight above 0; a comparison needs two"
        )
    controls = [one for one in experiment.variants if one.is_control]
    if len(controls) != 1:
        named = ", ".join(one.key for one in controls) or "none"
        faults.append(f"exactly one variant must be the control, not {named}; set is_control on one")
    elif controls[0].weight <= 0:
        faults.append(f"the control {controls[0].key!r} has weight {controls[0].weight}; give it a weight above 0")
    if not experiment.ranges:
        faults.append("it has no buckets; give it free ranges of its layer")
    if experiment.plan.on_verdict == "promote" and (experiment.rule is not None or experiment.requires):
        faults.append(
            "on_verdict is promote, and a rule or a prerequisite lets only some units in: a default is for all, also "
            "for those on whom it was not tested; choose recommend or stop"
        )
    known = {*metrics, *(one.key for one in configuration.metrics)}
    return [*faults, *_launch_faults(configuration, experiment), *plan_faults(experiment.plan, known)]


def variant_faults(configuration: Configuration, experiment: Experiment) -> list[str]:
    """What is wrong with the variants: keys, weights, and values of parameters that the layer does not own."""
    keys = [one.key for one in experiment.variants]
    faults = [fault for one in experiment.variants if (fault := key_fault("variant", one.key))]
    faults += [f"variant {key!r} is listed twice; name each once" for key in dict.fromkeys(keys) if keys.count(key) > 1]
    weights = [one.weight for one in experiment.variants]
    for one in experiment.variants:
        if one.weight < 0:
            faults.append(f"variant {one.key!r} has weight {one.weight}; a weight is an integer of 0 or more")
    if weights and not 0 < sum(weights) <= LARGEST_TOTAL:
        faults.append(f"the weights sum to {sum(weights)}; the sum must be 1 to {LARGEST_TOTAL}")
    for one in experiment.variants:
        faults += _owned_faults(configuration, experiment.layer, one)
    return faults


def forced_faults(configuration: Configuration, experiment: Experiment) -> list[str]:
    """What is wrong with the allow-list: units, variants, and units that another experiment of the layer forces."""
    keys = [one.key for one in experiment.variants]
    faults: list[str] = []
    if len(experiment.forced) > MOST_FORCED:
        faults.append(f"the allow-list has {len(experiment.forced)} units; at most {MOST_FORCED}, or use a rule")
    for unit, variant in experiment.forced.items():
        if fault := unit_fault(unit):
            faults.append(f"allow-list: {fault}")
        if variant not in keys:
            faults.append(f"allow-list: {unit!r} gets {variant!r}, which is no variant; {near(variant, keys)}")
    for other in configuration.experiments:
        if other.layer == experiment.layer and other.key != experiment.key and other.status in HOLDING:
            faults += [
                f"allow-list: {unit!r} is on that of experiment {other.key!r} too; a layer gives one variant"
                for unit in experiment.forced
                if unit in other.forced
            ]
    return faults


def salt_fault(salt: str) -> str | None:
    """Why `salt` cannot be hashed with, or None if it can."""
    if not salt or len(salt) > LONGEST_SALT or not salt.isprintable():
        return f"salt {salt[:80]!r} is not usable; take 1 to {LONGEST_SALT} printable characters"
    return None


def salts(configuration: Configuration) -> set[str]:
    """Every salt that was ever used: of layers, phases and holdouts, and that of the root space."""
    phases = (phase.salt for one in configuration.experiments for phase in one.phases)
    layers = (one.salt for one in configuration.layers)
    holdouts = (one.salt for one in configuration.holdouts)
    return {ROOT_SALT, *layers, *holdouts, *phases}


def new_salt_faults(configuration: Configuration, salt: str) -> list[str]:
    """Why `salt` cannot be taken into use, or nothing."""
    faults = [fault for fault in (salt_fault(salt),) if fault]
    if salt in salts(configuration):
        faults.append(f"salt {salt!r} is in use; two equal salts split alike, so choose another")
    return faults


def _launch_faults(configuration: Configuration, experiment: Experiment) -> list[str]:
    """Parameters that experiments of two launch layers would set: which goes first must not depend on their order."""
    launch = {one.key for one in configuration.layers if one.is_launch}
    mine = {key for one in experiment.variants for key in one.values}
    return [
        f"parameter {key!r} is set by {other.key!r} in launch layer {other.layer!r}; stop that one first"
        for other in configuration.experiments
        if experiment.layer in launch and other.layer in launch - {experiment.layer} and other.status in HOLDING
        for key in sorted(mine & {key for one in other.variants for key in one.values})
    ]


def _owned_faults(configuration: Configuration, layer: str, variant: Variant) -> Sequence[str]:
    known = {one.key: one for one in configuration.parameters}
    home = next((one for one in configuration.layers if one.key == layer), None)
    may_set = settable(configuration, home) if home is not None else frozenset()
    faults: list[str] = []
    for key, value in variant.values.items():
        parameter = known.get(key)
        if parameter is None:
            faults.append(f"variant {variant.key!r}: no parameter {key!r}; {near(key, list(known))}")
        elif key not in may_set:
            faults.append(
                f"variant {variant.key!r}: parameter {key!r} belongs to layer {parameter.layer!r}, not {layer!r}; "
                f"run the experiment there"
            )
        elif fault := value_type_fault(parameter, value):
            faults.append(f"variant {variant.key!r}: {fault}")
    return faults


def long_fault(name: str, text: str) -> str | None:
    """Why `text` cannot be kept, or None if it can."""
    if len(text) > LONGEST_TEXT:
        return f"the {name} has {len(text)} characters; at most {LONGEST_TEXT}"
    fault = text_fault(text)
    return fault and f"the {name} {fault}"
