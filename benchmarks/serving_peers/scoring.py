"""The deep net of the benchmark as an ONNX file, and the one session with which every peer scores it."""

import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort

CANDIDATES = 500
SHOWN = 10


class Scorer:
    """Scores 500 candidates for a user in one run of the session, and keeps the best ten."""

    def __init__(self, path: str) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._items = int(np.load(Path(path).with_suffix(".npz"))["item_vectors"].shape[0])

    def __call__(self, user: int) -> list[dict[str, object]]:
        """The best ten of the candidates that start at the user's own place in the catalogue."""
        items = (np.arange(CANDIDATES, dtype=np.int64) + 7 * user) % self._items
        users = np.full(CANDIDATES, user, dtype=np.int64)
        scores = self._session.run(None, {"user": users, "item": items})[0]
        best = np.argpartition(-scores, SHOWN)[:SHOWN]
        best = best[np.argsort(-scores[best])]
        return [{"item": f"i{items[at]}", "score": float(scores[at])} for at in best]


def export(arrays_file: str, target: str) -> None:
    """Writes the net of the arrays (see `serving.py`) as ONNX: embeddings, concatenation, dense layers."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    arrays = dict(np.load(arrays_file))
    named = [numpy_helper.from_array(each.astype(np.float32), name) for name, each in arrays.items()]
    nodes = [
        helper.make_node("Gather", ["user_vectors", "user"], ["u"]),
        helper.make_node("Gather", ["item_vectors", "item"], ["i"]),
        helper.make_node("Concat", ["u", "i"], ["h0"], axis=1),
    ]
    last = sum(name.startswith("w") for name in arrays)
    for at in range(1, last + 1):
        nodes.append(helper.make_node("Gemm", [f"h{at - 1}", f"w{at}", f"b{at}"], [f"d{at}"]))
        nodes.append(helper.make_node("Sigmoid" if at == last else "Relu", [f"d{at}"], [f"h{at}"]))
    nodes.append(helper.make_node("Squeeze", [f"h{last}", "axes"], ["score"]))
    axes = numpy_helper.from_array(np.array([1], dtype=np.int64), "axes")
    graph = helper.make_graph(
        nodes,
        "deep",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["n"]) for name in ("user", "item")],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n"])],
        [*named, axes],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, target)


if __name__ == "__main__":
    export(sys.argv[1], sys.argv[2])
