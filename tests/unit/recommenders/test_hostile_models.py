"""Files that would read the server's files, take its memory, or keep a worker for ever, are refused with the reason."""

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from lamella.errors import InvalidInput, ModelCorrupt, ModelFailed
from lamella.recommenders import onnx_trial
from lamella.recommenders.onnx_checks import compiled, network_of_upload
from lamella.recommenders.onnx_network import BATCH, OnnxNetwork
from lamella.recommenders.onnx_trial import tried
from lamella.recommenders.table_rows import parse_rows
from lamella.recommenders.weight_files import fill

SECRET = np.linspace(0, 1, 600, dtype=np.float32)


def rows_of(items: int):
    return parse_rows(
        json.dumps(
            {
                "users": ["u", "v"],
                "items": [f"i{number}" for number in range(items)],
                "signature": {"inputs": {"item": "item_row"}, "output": "chance"},
            }
        ).encode()
    )


def model_of(nodes: Sequence[NodeProto], tensors: Sequence[TensorProto] = (), **parts) -> onnx.ModelProto:
    """A model whose nodes make `table`; an item's chance is its entry there."""
    graph = helper.make_graph(
        [*nodes, helper.make_node("Gather", ["table", "item"], ["chance"])],
        "scorer",
        [helper.make_tensor_value_info("item", TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("chance", TensorProto.FLOAT, ["n"])],
        tensors,
        **parts,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.fixture
def secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that the models name lies in the working folder."""
    (tmp_path / "secret.bin").write_bytes(SECRET.tobytes())
    monkeypatch.chdir(tmp_path)


def outside(name: str = "table", *, is_marked: bool = True) -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=SECRET.shape)
    if is_marked:
        tensor.data_location = TensorProto.EXTERNAL
    else:
        tensor.raw_data = SECRET.tobytes()
    for key, value in (("location", "secret.bin"), ("offset", "0"), ("length", str(SECRET.nbytes))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return tensor


def as_constant() -> onnx.ModelProto:
    return model_of([helper.make_node("Constant", [], ["table"], value=outside())])


def as_constant_of_a_branch() -> onnx.ModelProto:
    def branch(name: str) -> onnx.GraphProto:
        given = helper.make_tensor_value_info(name, TensorProto.FLOAT, SECRET.shape)
        return helper.make_graph([helper.make_node("Constant", [], [name], value=outside())], name, [], [given])

    yes = helper.make_node("Constant", [], ["yes"], value=numpy_helper.from_array(np.array(True)))
    choice = helper.make_node("If", ["yes"], ["table"], then_branch=branch("a"), else_branch=branch("b"))
    return model_of([yes, choice])


def as_sparse(name: str) -> onnx.SparseTensorProto:
    indices = numpy_helper.from_array(np.arange(len(SECRET), dtype=np.int64), f"{name}.rows")
    return helper.make_sparse_tensor(outside(name), indices, SECRET.shape)


def as_function() -> onnx.ModelProto:
    model = model_of([])
    body = [helper.make_node("Constant", [], ["x"], value=outside())]
    model.functions.append(helper.make_function("own", "F", [], ["x"], body, [helper.make_opsetid("", 18)]))
    return model


@pytest.mark.usefixtures("secret")
@pytest.mark.parametrize(
    "make",
    [
        lambda: model_of([], [outside()]),
        lambda: model_of([], [outside(is_marked=False)]),
        lambda: model_of([], sparse_initializer=[as_sparse("table")]),
        as_constant,
        as_constant_of_a_branch,
        lambda: model_of([helper.make_node("Constant", [], ["table"], sparse_value=as_sparse("s"))]),
        lambda: model_of([helper.make_node("Any", [], ["table"], some=[outside()])]),
        lambda: model_of([helper.make_node("Any", [], ["table"], some=[as_sparse("s")])]),
        as_function,
    ],
)
def test_a_tensor_whose_data_is_another_file_is_refused_wherever_it_stands(
    make: Callable[[], onnx.ModelProto],
) -> None:
    with pytest.raises(InvalidInput, match="lies outside the file"):
        network_of_upload(make().SerializeToString(), rows_of(3))


def network_from(model: onnx.ModelProto, *, items: int = 3) -> OnnxNetwork:
    return OnnxNetwork(
        model=model.SerializeToString(),
        roles={"item": "item_row"},
        output="chance",
        output_kind="chance",
        user_features=np.zeros((2, 0), dtype=np.float32),
        item_features=np.zeros((items, 0), dtype=np.float32),
    )


@pytest.mark.usefixtures("secret")
@pytest.mark.parametrize("make", [lambda: model_of([], [outside()]), as_constant, as_constant_of_a_branch])
def test_a_session_reads_no_file_even_of_a_model_that_nobody_checked(
    make: Callable[[], onnx.ModelProto],
) -> None:
    with pytest.raises(ModelCorrupt, match="ONNX Runtime refuses the model"):
        network_from(make()).start()


def taking(cells: int) -> onnx.ModelProto:
    """Scores 0.5, after it has filled so many cells, whose number no shape says before it runs."""
    nodes = [
        helper.make_node("Shape", ["item"], ["shape"]),
        helper.make_node("Mul", ["shape", "zero"], ["none"]),
        helper.make_node("Add", ["none", "cells"], ["size"]),
        helper.make_node("ConstantOfShape", ["size"], ["filled"]),
        helper.make_node("ReduceSum", ["filled"], ["sum"], keepdims=0),
        helper.make_node("Add", ["half", "sum"], ["table"]),
    ]
    numbers = {"zero": np.array([0]), "cells": np.array([cells]), "half": np.full(3, 0.5, dtype=np.float32)}
    return model_of(nodes, [numpy_helper.from_array(each, name) for name, each in numbers.items()])


@pytest.mark.slow
def test_a_small_model_that_takes_much_memory_is_refused_with_the_bound() -> None:
    network = network_of_upload(taking(400_000_000).SerializeToString(), rows_of(3))
    with pytest.raises(ModelFailed, match="takes over 256 MB of memory to score 1024 pairs"):
        compiled(network, rows_of(3))


@pytest.mark.slow
def test_a_model_that_takes_some_memory_is_taken() -> None:
    rows = rows_of(3)
    factors, difference = compiled(network_of_upload(taking(1_000_000).SerializeToString(), rows), rows)
    np.testing.assert_allclose(factors.item_bias, 0, atol=1e-6)
    assert difference == 0


@pytest.mark.slow
def test_a_large_table_may_take_four_times_its_size() -> None:
    table = np.resize(SECRET, 20_000_000)
    found = tried(network_from(model_of([], [numpy_helper.from_array(table, "table")])))
    np.testing.assert_allclose(1 / (1 + np.exp(-found.means[1:])), SECRET[1:3], atol=1e-6)


@pytest.mark.slow
def test_a_model_that_takes_too_long_is_given_up() -> None:
    with pytest.raises(ModelFailed, match="took over 0 seconds for its first scores"):
        tried(network_from(taking(1)), seconds=0)


@pytest.mark.slow
def test_a_model_that_ends_its_process_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_trial.sys, "executable", "/bin/false")
    with pytest.raises(ModelFailed, match=r"ended the process of its first scores \(1\)"):
        tried(network_from(taking(1)))


def test_no_more_pairs_are_scored_at_once_than_the_model_was_tried_with() -> None:
    items = 2 * BATCH + 1
    sizes = [
        helper.make_node("Size", ["item"], ["size"]),
        helper.make_node("Cast", ["size"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["nothing", "number"], ["table"]),
    ]
    model = model_of(sizes, [numpy_helper.from_array(np.zeros(items, dtype=np.float32), "nothing")])
    network = OnnxNetwork(
        model=model.SerializeToString(),
        roles={"item": "item_row"},
        output="chance",
        output_kind="logit",
        user_features=np.zeros((1, 0), dtype=np.float32),
        item_features=np.zeros((items, 0), dtype=np.float32),
    )
    assert network.logits(0, np.arange(items)).tolist() == [BATCH] * 2 * BATCH + [1]


def h5_of(write: Callable[[h5py.File], None]) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        write(file)
    return buffer.getvalue()


def nested(file: h5py.File, *, depth: int = 14, names: int = 6) -> None:
    """Each group has several names for the one below: 6^14 paths in some kilobytes."""
    below = file.create_group("below")
    for level in range(depth):
        group = file.create_group(f"level{level}")
        for name in range(names):
            group[f"name{name}"] = below
        below = group


def cyclic(file: h5py.File) -> None:
    file["again"] = file["/"]


def crowded(file: h5py.File) -> None:
    for number in range(10_050):
        file.create_group(str(number))


def deep(file: h5py.File) -> None:
    file.create_group("/".join("abcdefghijklmnopqrst"))


def soft(file: h5py.File) -> None:
    file["soft"] = h5py.SoftLink("/elsewhere")


def foreign(file: h5py.File) -> None:
    file["foreign"] = h5py.ExternalLink("/etc/passwd", "/")


def typed(file: h5py.File) -> None:
    file["type"] = np.dtype("f4")


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (nested, "another name for what the file has already"),
        (cyclic, "/again is another name for what the file has already"),
        (crowded, "comes after 10000 others"),
        (deep, "lies too deep"),
        (soft, "/soft is a link"),
        (foreign, "/foreign is a link"),
        (typed, "/type does not hold numbers of its own"),
    ],
)
def test_an_hdf5_file_that_is_no_plain_tree_of_numbers_is_refused(
    write: Callable[[h5py.File], None], reason: str
) -> None:
    with pytest.raises(InvalidInput, match=reason):
        fill(None, h5_of(write))
