"""What an ONNX file from outside may be: standard operators alone, nothing outside the file, no loops."""

import importlib
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any, Final

import numpy as np

from lamella.errors import InvalidInput, TrainingFault
from lamella.experiments.model import Json
from lamella.recommenders.artifact import COLD_QUANTILE, FactorModel
from lamella.recommenders.onnx_network import OUTPUTS, ROLES, OnnxNetwork
from lamella.recommenders.onnx_trial import tried
from lamella.recommenders.table_rows import TableRows

DOMAINS: Final = ("", "ai.onnx")
OLDEST_OPSET: Final = 9
NEWEST_OPSET: Final = 25
BARRED: Final = frozenset(
    {
        "Loop",
        "Scan",
        "RandomNormal",
        "RandomUniform",
        "RandomNormalLike",
        "RandomUniformLike",
        "Bernoulli",
        "Multinomial",
    }
)
"""Operators that need not end, or answer differently each time."""
_MOST_NAMED: Final = 4
_LONGEST_NAME: Final = 80


def network_of_upload(content: bytes, rows: TableRows) -> OnnxNetwork:
    """The network, once the file and the declaration of its inputs were checked. Raises InvalidInput."""
    declared = declaration(rows.signature)
    faults = _faults(content, declared)
    if faults:
        raise InvalidInput(*faults)
    roles, output, kind = declared
    return OnnxNetwork(
        model=content,
        roles=roles,
        output=output,
        output_kind=kind,
        user_features=rows.features("user"),
        item_features=rows.features("item"),
    )


def declaration(signature: Mapping[str, Json]) -> tuple[Mapping[str, str], str, str]:
    """The role of each input by name, the output's name, and whether it is a chance or a logit.

    Raises InvalidInput with one sentence for each fault.
    """
    inputs, output, kind = signature.get("inputs"), signature.get("output"), signature.get("answers", "chance")
    faults = [f"signature: unknown name {name!r}" for name in signature if name not in ("inputs", "output", "answers")]
    if not isinstance(inputs, dict) or not inputs or not all(role in ROLES for role in inputs.values()):
        faults.append(f"signature: inputs is not an object of input names with one of {', '.join(ROLES)} each")
    elif not {"item_row", "item_features"} & {str(role) for role in inputs.values()}:
        faults.append("signature: no input takes the item; a ranker needs item_row or item_features")
    if not isinstance(output, str) or not output:
        faults.append("signature: output is not the name of an output")
    if kind not in OUTPUTS:
        faults.append(f"signature: answers={kind!r} is none of {', '.join(OUTPUTS)}")
    if faults or not isinstance(inputs, dict):
        raise InvalidInput(*faults)
    return {name: str(role) for name, role in inputs.items()}, str(output), str(kind)


def compiled(network: OnnxNetwork, rows: TableRows) -> tuple[FactorModel, float]:
    """The model that serves, and the greatest difference between a batch's chances and those of single pairs.

    Somebody unknown gets for each item the mean logit of up to 16 users; an unknown item the lower quartile of those.
    Raises ModelFailed where the network does not answer one finite number a pair, or takes too much memory or time.
    """
    means, difference = tried(network)
    users, items = len(rows.users), len(rows.items)
    factors = FactorModel(
        user_ids=rows.users,
        user_vectors=np.zeros((users, 0), dtype=np.float32),
        user_bias=np.zeros(users, dtype=np.float32),
        item_ids=rows.items,
        item_vectors=np.zeros((items, 0), dtype=np.float32),
        item_bias=means,
        intercept=0.0,
        unknown_item_bias=float(np.quantile(means, COLD_QUANTILE)),
        rank_bias=np.zeros(1, dtype=np.float32),
        network=network,
    )
    return factors, difference


def _faults(content: bytes, declared: tuple[Mapping[str, str], str, str]) -> list[str]:
    onnx = _onnx()
    try:
        model = onnx.load_model_from_string(content)
        outside = _outside(model, onnx.TensorProto.EXTERNAL)
        if outside:
            return [f"{name} lies outside the file" for name in outside[:_MOST_NAMED]]
        onnx.checker.check_model(model)
    except Exception as error:  # noqa: BLE001 - the parser's and the checker's errors share no other base
        return [f"the file is not a valid ONNX model: {' '.join(str(error).split())[:300]}"]
    roles, output, _ = declared
    faults = [
        f"operators of the domain {each.domain!r} are not taken"
        for each in model.opset_import
        if each.domain not in DOMAINS
    ]
    faults += [
        f"opset {each.version} is not {OLDEST_OPSET} to {NEWEST_OPSET}"
        for each in model.opset_import
        if each.domain in DOMAINS and not OLDEST_OPSET <= each.version <= NEWEST_OPSET
    ]
    faults += ["the model brings functions of its own"] if model.functions else []
    used = set()
    for graph in _graphs(model.graph):
        used |= {(node.domain, node.op_type) for node in graph.node}
    faults += [f"the operator {domain}.{name} is not taken" for domain, name in sorted(used) if domain not in DOMAINS]
    faults += [f"the operator {name} is not taken" for _, name in sorted(used) if name in BARRED]
    given = {each.name for each in model.graph.input} - {each.name for each in model.graph.initializer}
    faults += [f"the input {name!r} is not declared in the signature" for name in sorted(given - roles.keys())]
    faults += [f"the signature declares {name!r}, which is no input" for name in sorted(roles.keys() - given)]
    if output not in {each.name for each in model.graph.output}:
        faults.append(f"the signature's output {output!r} is no output of the model")
    return faults


def _outside(model: Any, external: int) -> list[str]:
    """The names of the tensors whose data is another file's, wherever in the model they stand.

    To be asked before the checker, which would look for those files.
    """
    return [
        each.name[:_LONGEST_NAME] or "a tensor without a name"
        for each in _tensors(model)
        if each.data_location == external or each.external_data
    ]


def _tensors(model: Any) -> Iterator[Any]:
    """Every tensor of the model: of initialisers, attributes, subgraphs, functions, and whatever may yet be added."""
    pending = [model]
    while pending:
        found = pending.pop()
        if found.DESCRIPTOR.name == "TensorProto":
            yield found
            continue
        for field, value in found.ListFields():
            if field.type == field.TYPE_MESSAGE:
                pending += [value] if hasattr(value, "DESCRIPTOR") else value


def _graphs(graph: Any) -> Iterator[Any]:
    """The graph and those within its nodes."""
    pending = [graph]
    while pending:
        found = pending.pop()
        yield found
        for node in found.node:
            for attribute in node.attribute:
                pending += [attribute.g] if attribute.HasField("g") else []
                pending += list(attribute.graphs)


def _onnx() -> ModuleType:
    try:
        return importlib.import_module("onnx")
    except ImportError as error:
        raise TrainingFault(
            f"ONNX files are checked with onnx, which is not installed ({error}); run: pip install 'lamella[onnx]'"
        ) from error
