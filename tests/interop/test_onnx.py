"""`gc.from_onnx` against the reference evaluator of the package onnx."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

import graphc as gc

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

FLOAT = TensorProto.FLOAT
Arrays = Mapping[str, np.ndarray]


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def model(
    nodes: list[Any], inputs: Arrays, outputs: list[str], weights: Arrays, opset: int = 20, symbolic: Mapping[str, Any] | None = None
) -> Any:
    """A file; `symbolic` gives shapes of inputs that are not those of the arrays."""
    shapes = {n: (symbolic or {}).get(n, a.shape) for n, a in inputs.items()}
    given = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), shapes[n]) for n, a in inputs.items()]
    results = [helper.make_tensor_value_info(n, TensorProto.UNDEFINED, None) for n in outputs]
    graph = helper.make_graph(nodes, "net", given, results, [numpy_helper.from_array(a, n) for n, a in weights.items()])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    made = onnx.shape_inference.infer_shapes(made)
    if not all(o.type.tensor_type.HasField("shape") for o in made.graph.output):  # onnx does not infer all of them
        for output, value in zip(made.graph.output, ReferenceEvaluator(made).run(None, dict(inputs)), strict=True):
            output.CopyFrom(helper.make_tensor_value_info(output.name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape))
    return made


def check(proto: Any, inputs: Arrays, tolerance: float = 2e-5, sizes: Mapping[str, int] | None = None) -> gc.OnnxModel:
    """The loops give what the reference gives."""
    net = gc.from_onnx(proto, sizes)
    wanted = ReferenceEvaluator(proto).run(None, dict(inputs))
    got = gc.compile(net.outputs, target="interpret")({**net.values, **{net.inputs[n].name: a for n, a in inputs.items()}})
    for name, value in zip(net.outputs, wanted, strict=True):
        assert got[name].shape == np.shape(value), name
        assert got[name].dtype == np.asarray(value).dtype, name
        np.testing.assert_allclose(got[name], value, rtol=tolerance, atol=tolerance, err_msg=name)
    return net


def one(kind: str, *arrays: np.ndarray | None, weights: int = 0, results: int = 1, opset: int = 20, **attributes: Any) -> gc.OnnxModel:
    """A node alone: the first arrays are inputs, the last `weights` of them initializers."""
    names = ["" if a is None else f"x{k}" for k, a in enumerate(arrays)]
    free = len(arrays) - weights
    inputs = {n: a for n, a in zip(names[:free], arrays, strict=False) if a is not None}
    held = {n: a for n, a in zip(names[free:], arrays[free:], strict=True) if a is not None}
    outputs = [f"y{k}" for k in range(results)]
    return check(model([helper.make_node(kind, names, outputs, **attributes)], inputs, outputs, held, opset), inputs)


def whole(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


X, IMAGE = normal(3, 4), normal(2, 4, 6, 5)
POSITIVE = np.abs(X) + 0.5

ELEMENTWISE: dict[str, list[np.ndarray]] = {
    **{kind: [X] for kind in (
        "Abs", "Ceil", "Celu", "Cos", "Cosh", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu",
        "Mish", "Neg", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Tan",
        "Tanh", "ThresholdedRelu")},
    "Log": [POSITIVE], "Sqrt": [POSITIVE], "Not": [X > 0], "Add": [X, normal(4)], "Sub": [normal(3, 1), X], "Mul": [X, normal(2, 1, 4)],
    "Div": [X, POSITIVE], "Pow": [POSITIVE, X], "And": [X > 0, X[:1] < 1], "Or": [X > 0, X > 1], "Xor": [X > 0, X > 1], "Equal": [X, X[:1]],
    "Greater": [X, X[:1]], "GreaterOrEqual": [X, X[:1]], "Less": [X, X[:1]], "LessOrEqual": [X, X[:1]], "Max": [X, X[:1], X[:, :1]],
    "Min": [X, X[:1]], "Sum": [X, X[:1], X], "Mean": [X, X[:1], X], "Where": [X > 0, X, X[:1]], "PRelu": [X, normal(4, seed=1)],
}  # fmt: skip


@pytest.mark.parametrize("kind", ELEMENTWISE)
def test_elementwise(kind: str) -> None:
    one(kind, *ELEMENTWISE[kind])


CASES: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "gelu": (("Gelu", X), {"approximate": "tanh"}),
    "leaky_relu": (("LeakyRelu", X), {"alpha": 0.3}),
    "clip": (("Clip", X, np.float32(-0.5), np.float32(0.5)), {"weights": 2}),
    "clip above": (("Clip", X, None, np.float32(0.5)), {"weights": 2}),
    "clip before 11": (("Clip", X), {"min": -0.2, "max": 0.4, "opset": 9}),
    "integers": (("Add", np.arange(3), np.arange(3)), {}),
    "cast": (("Cast", 3 * X), {"to": TensorProto.INT64}),
    "cast from bool": (("Cast", X > 0), {"to": TensorProto.FLOAT}),
    "int32": (("Mul", np.arange(3, dtype=np.int32), np.arange(3, dtype=np.int32)), {}),
    "cast to bool": (("Cast", np.arange(3)), {"to": TensorProto.BOOL}),
    "gemm": (("Gemm", X, normal(5, 4, seed=1), normal(5, seed=2)), {"transB": 1, "weights": 2}),
    "gemm transposed": (("Gemm", X, normal(3, 5, seed=1), normal(4, 1, seed=2)), {"transA": 1, "alpha": 0.5, "beta": 2.0}),
    "matmul": (("MatMul", X, normal(4, 5, seed=1)), {"weights": 1}),
    "matmul of batches": (("MatMul", normal(2, 1, 3, 4), normal(5, 4, 2, seed=1)), {}),
    "matmul of a vector": (("MatMul", normal(2, 3, 4), normal(4, seed=1)), {}),
    "einsum": (("Einsum", normal(2, 3, 4), normal(2, 4, 5, seed=1)), {"equation": "bij,bjk->bik"}),
    "conv": (("Conv", IMAGE, normal(3, 4, 3, 3, seed=1), normal(3, seed=2)), {"weights": 2, "pads": [1, 1, 1, 1]}),
    "conv strided": (("Conv", IMAGE, normal(3, 4, 3, 2, seed=1)), {"weights": 1, "strides": [2, 1], "dilations": [1, 2]}),
    "conv in groups": (("Conv", IMAGE, normal(6, 2, 1, 1, seed=1)), {"weights": 1, "group": 2}),
    "conv with different paddings": (("Conv", IMAGE, normal(3, 4, 3, 3, seed=1)), {"weights": 1, "pads": [0, 1, 2, 1]}),
    "conv same": (("Conv", IMAGE, normal(3, 4, 3, 2, seed=1)), {"weights": 1, "auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    "conv1d": (("Conv", normal(2, 3, 7), normal(2, 3, 3, seed=1)), {"weights": 1}),
    "conv3d": (("Conv", normal(1, 2, 3, 4, 3), normal(2, 2, 2, 2, 2, seed=1)), {"weights": 1}),
    "conv_transpose": (("ConvTranspose", IMAGE, normal(4, 3, 3, 3, seed=1), normal(3, seed=2)),
                       {"weights": 2, "strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 0]}),
    "max_pool": (("MaxPool", IMAGE), {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]}),
    "max_pool1d": (("MaxPool", normal(2, 3, 7)), {"kernel_shape": [3], "dilations": [2]}),
    "average_pool": (("AveragePool", IMAGE), {"kernel_shape": [3, 3], "strides": [1, 2], "pads": [1, 1, 1, 1]}),
    "average_pool with padding": (("AveragePool", IMAGE), {"kernel_shape": [2, 2], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
    "global_average_pool": (("GlobalAveragePool", IMAGE), {}),
    "global_max_pool": (("GlobalMaxPool", IMAGE), {}),
    "batch_norm": (("BatchNormalization", IMAGE, normal(4), normal(4, seed=1), normal(4, seed=2), POSITIVE[0]), {"weights": 4}),
    "layer_norm": (("LayerNormalization", normal(2, 3, 4), normal(4, seed=1), normal(4, seed=2)), {"weights": 2, "epsilon": 1e-3}),
    "layer_norm of two": (("LayerNormalization", normal(2, 3, 4), normal(3, 4, seed=1)), {"weights": 1, "axis": 1}),
    "instance_norm": (("InstanceNormalization", IMAGE, normal(4), normal(4, seed=1)), {"weights": 2}),
    "group_norm": (("GroupNormalization", IMAGE, normal(4), normal(4, seed=1)), {"weights": 2, "num_groups": 2, "opset": 21}),
    "lp_norm": (("LpNormalization", X), {"axis": 0, "p": 2}),
    "softmax": (("Softmax", normal(2, 3, 4)), {"axis": 1}),
    "log_softmax": (("LogSoftmax", X), {}),
    "softmax before 13": (("Softmax", X), {"opset": 11}),
    "dropout": (("Dropout", X), {}),
    "reshape": (("Reshape", IMAGE, whole(2, -1)), {"weights": 1}),
    "reshape splits": (("Reshape", normal(6, 8), whole(2, 3, 8)), {"weights": 1}),
    "reshape of groups": (("Reshape", normal(2, 3, 4, 5), whole(6, 20)), {"weights": 1}),
    "reshape that keeps": (("Reshape", normal(2, 3, 4, 5), whole(0, 0, -1)), {"weights": 1}),
    "reshape with ones": (("Reshape", normal(1, 3, 4), whole(3, 1, 4, 1)), {"weights": 1}),
    "reshape from three to two": (("Reshape", normal(2, 3, 4), whole(3, 8)), {"weights": 1}),
    "reshape to a number": (("Reshape", normal(1, 1), np.zeros(0, np.int64)), {"weights": 1}),
    "reshape a number": (("Reshape", normal(), whole(1, 1)), {"weights": 1}),
    "flatten": (("Flatten", IMAGE), {"axis": 2}),
    "flatten from the end": (("Flatten", IMAGE), {"axis": -1}),
    "flatten all": (("Flatten", X), {"axis": 0}),
    "transpose": (("Transpose", normal(2, 3, 4)), {"perm": [2, 0, 1]}),
    "transpose all": (("Transpose", normal(2, 3, 4)), {}),
    "transpose a constant": (("Transpose", np.array(2, np.float32)), {"weights": 1}),
    "concat": (("Concat", normal(2, 3), normal(2, 1), normal(2, 2)), {"axis": -1}),
    "split": (("Split", normal(7, 2), whole(3, 4)), {"weights": 1, "results": 2}),
    "split evenly": (("Split", normal(2, 7)), {"results": 2, "axis": 1, "num_outputs": 2}),
    "unsqueeze in any order": (("Unsqueeze", X, whole(3, 0)), {"weights": 1}),
    "squeeze": (("Squeeze", normal(1, 3, 1), whole(0)), {"weights": 1}),
    "squeeze all": (("Squeeze", normal(1, 3, 1)), {}),
    "unsqueeze": (("Unsqueeze", X, whole(0, 3)), {"weights": 1}),
    "unsqueeze before 13": (("Unsqueeze", X), {"axes": [1], "opset": 11}),
    "slice": (("Slice", normal(6, 8), whole(1, -1), whole(5, -(2**62)), whole(0, 1), whole(2, -3)), {"weights": 4}),
    "slice before 10": (("Slice", X), {"starts": [1], "ends": [-1], "axes": [1], "opset": 9}),
    "gather": (("Gather", normal(5, 3), whole(0, -1, 2, 2)), {"weights": 1}),
    "gather a row": (("Gather", normal(2, 5, 3), np.array(-2)), {"weights": 1, "axis": 1}),
    "gather by an input": (("Gather", normal(5, 3), np.array([[0, 4], [2, 2]])), {}),
    "expand": (("Expand", normal(3, 1), whole(2, 1, 4)), {"weights": 1}),
    "tile": (("Tile", normal(2, 3), whole(2, 3)), {"weights": 1}),
    "pad": (("Pad", X, whole(1, 0, 0, 2), np.float32(1.5)), {"weights": 2}),
    "pad of two dimensions": (("Pad", X, whole(1, 2, 0, 1), None, whole(1, 0)), {"weights": 3}),
    "pad of integers": (("Pad", np.arange(3), whole(1, 2)), {"weights": 1}),
    "pad of truth values": (("Pad", X > 0, whole(1, 0, 0, 2)), {"weights": 1}),
    "pad reflect": (("Pad", X, whole(1, 0, 0, 2)), {"weights": 1, "mode": "reflect"}),
    "pad edge": (("Pad", X, whole(1, 2), None, whole(1)), {"weights": 3, "mode": "edge"}),
    "depth_to_space": (("DepthToSpace", normal(1, 8, 2, 3)), {"blocksize": 2}),
    "depth_to_space crd": (("DepthToSpace", normal(1, 8, 2, 3)), {"blocksize": 2, "mode": "CRD"}),
    "space_to_depth": (("SpaceToDepth", normal(1, 2, 4, 6)), {"blocksize": 2}),
    "resize": (("Resize", normal(1, 2, 2, 3), None, np.float32([1, 1, 2, 3])),
               {"weights": 2, "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}),
    "resize by halves of pixels": (("Resize", normal(1, 2, 2, 3), None, np.float32([1, 1, 2, 3])), {"weights": 2}),
    "reduce_sum": (("ReduceSum", normal(2, 3, 4), whole(0, -1)), {"weights": 1}),
    "reduce_mean": (("ReduceMean", normal(2, 3, 4), whole(1)), {"weights": 1, "keepdims": 0}),
    "reduce_all": (("ReduceMax", normal(2, 3, 4)), {}),
    "reduce_min": (("ReduceMin", X), {"axes": [0], "opset": 13}),
    "reduce_prod": (("ReduceProd", X), {"keepdims": 0}),
    "reduce_mean of integers": (("ReduceMean", np.array([[7, 0], [-8, 3]]), whole(1)), {"weights": 1}),
    "reduce_sum of integers": (("ReduceSum", np.full((2, 3), 2**30, np.int32), whole(1)), {"weights": 1}),
    "reduce_sum_square of integers": (("ReduceSumSquare", np.arange(6)), {}),
    "reduce_l1 of a number": (("ReduceL1", np.array(-2, np.float32)), {}),
    "reduce_log_sum of a number": (("ReduceLogSum", np.array(2, np.float32)), {}),
    "matmul of integers": (("MatMul", np.full((2, 3), 2**16, np.int32), np.full((3, 2), 2**15, np.int32)), {}),
    "gemm of integers": (("Gemm", np.ones((2, 3), np.int32), np.ones((3, 2), np.int32)), {}),
    "power of integers": (("Pow", np.arange(1, 4), np.float32([20, 2.5, -1])), {}),
    "square of integers": (("Pow", np.arange(-2, 3, dtype=np.int32), np.array(2)), {"weights": 1}),
    "power of a number": (("Pow", np.array(3), np.float32([20, 0.5])), {}),
    "reduce_l1": (("ReduceL1", X, whole(1)), {"weights": 1}),
    "reduce_l2": (("ReduceL2", X, whole(1)), {"weights": 1}),
    "reduce_log_sum": (("ReduceLogSum", POSITIVE, whole(1)), {"weights": 1}),
    "reduce_log_sum_exp": (("ReduceLogSumExp", X, whole(1)), {"weights": 1}),
    "reduce_sum_square": (("ReduceSumSquare", X, whole(1)), {"weights": 1}),
    "argmax": (("ArgMax", X), {"axis": 1, "keepdims": 0}),
    "argmin": (("ArgMin", X), {}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_operators(name: str) -> None:
    arguments, options = CASES[name]
    one(*arguments, **options)


RECURRENT = [
    ("RNN", 1, "forward", {}), ("RNN", 1, "reverse", {"activations": ["Tanh"]}), ("GRU", 3, "forward", {}),
    ("GRU", 3, "bidirectional", {"linear_before_reset": 1}), ("LSTM", 4, "forward", {}), ("LSTM", 4, "bidirectional", {}),
]


@pytest.mark.parametrize(("kind", "gates", "direction", "more"), RECURRENT)
def test_recurrent(kind: str, gates: int, direction: str, more: dict[str, Any]) -> None:
    """The reference computes forward only, so that other directions are put together from it."""
    d = 2 if direction == "bidirectional" else 1
    t, b, i, h = 4, 2, 3, 5
    arrays = [normal(t, b, i), normal(d, gates * h, i, seed=1), normal(d, gates * h, h, seed=2), normal(d, 2 * gates * h, seed=3),
              None, normal(d, b, h, seed=4), *([normal(d, b, h, seed=5)] if kind == "LSTM" else [])]
    names = [f"x{k}" if a is not None else "" for k, a in enumerate(arrays)]
    count = 3 if kind == "LSTM" else 2
    outputs = [f"y{k}" for k in range(count)]

    def proto(which: list[int], direction: str) -> tuple[Any, dict[str, np.ndarray]]:
        held = {n: a if k == 0 else a[which] for k, (n, a) in enumerate(zip(names, arrays, strict=True)) if a is not None}
        given = {"x0": held.pop("x0")}
        node = helper.make_node(kind, names, outputs, hidden_size=h, direction=direction, **more)
        return model([node], given, outputs, held), given

    made, given = proto(list(range(d)), direction)
    net = gc.from_onnx(made)
    got = gc.compile(net.outputs, target="interpret")(net.values, **given)
    for k in range(d):
        alone, _ = proto([k], "forward")
        backward = direction == "reverse" or k == 1
        wanted = ReferenceEvaluator(alone).run(None, {"x0": given["x0"][::-1] if backward else given["x0"]})
        wanted[0] = wanted[0][::-1] if backward else wanted[0]
        np.testing.assert_allclose(got["y0"][:, k], wanted[0][:, 0], rtol=1e-5, atol=1e-6)
        for name, value in zip(outputs[1:], wanted[1:], strict=True):
            np.testing.assert_allclose(got[name][k], value[0], rtol=1e-5, atol=1e-6)


def test_rnn_with_relu() -> None:
    x, w, r = normal(4, 2, 3), normal(1, 5, 3, seed=1), normal(1, 5, 5, seed=2)
    node = helper.make_node("RNN", ["x", "w", "r"], ["y"], hidden_size=5, activations=["Relu"])
    net = gc.from_onnx(model([node], {"x": x}, ["y"], {"w": w, "r": r}))
    h = np.zeros((2, 5), "float32")
    for step, got in zip(x, gc.compile(net.outputs["y"], target="interpret")(net.values, x=x)[:, 0], strict=True):
        h = np.maximum(step @ w[0].T + h @ r[0].T, 0)
        np.testing.assert_allclose(got, h, rtol=1e-5, atol=1e-6)


# ----------------------------------------------------------------------------------------------------------------------- nets


def node(kind: str, inputs: str, output: str, **attributes: Any) -> Any:
    return helper.make_node(kind, inputs.split(), output.split(), name=output, **attributes)


def perceptron() -> Any:
    nodes = [node("Gemm", "x fc1.weight fc1.bias", "/fc1/Gemm_output_0", transB=1), node("Relu", "/fc1/Gemm_output_0", "/Relu_output_0"),
             node("Gemm", "/Relu_output_0 fc2.weight fc2.bias", "logits", transB=1), node("Softmax", "logits", "shares", axis=1)]
    weights = {"fc1.weight": normal(8, 4), "fc1.bias": normal(8, seed=1), "fc2.weight": normal(3, 8, seed=2), "fc2.bias": normal(3, seed=3)}
    return model(nodes, {"x": X}, ["logits", "shares"], weights, symbolic={"x": ["batch", 4]})


def test_perceptron() -> None:
    net = check(perceptron(), {"x": normal(5, 4)})
    assert list(net.outputs) == ["logits", "shares"] and list(net.inputs) == ["x"]
    assert [repr(p) for p in gc.parameters(net.outputs["logits"])] == ["fc1.weight(8, 4)", "fc1.bias(8)", "fc2.weight(3, 8)", "fc2.bias(3)"]
    assert [str(e) for e in net.outputs["logits"].shape] == ["batch", "3"]
    assert "fc1.Gemm_output_0[i,j] = sum(x[i,k]*fc1.weight[j,k], over=k) + fc1.bias[j]" in str(gc.loops(net.outputs["logits"]))


def test_training_goes_on() -> None:
    """The imported weights are trained: the loss falls."""
    net = gc.from_onnx(perceptron())
    loss = gc.nn.cross_entropy(net.outputs["logits"], gc.tensor("label", gc.dim("batch"), dtype="int64"))
    step = gc.compile(loss, updates=gc.optim.sgd(loss, lr=0.5), target="interpret")
    state = {**step.init(seed=0), **{name: array.copy() for name, array in net.values.items()}}
    losses = [float(step(state, x=normal(6, 4), label=np.arange(6) % 3)) for _ in range(5)]
    assert losses[-1] < losses[0]


def lenet() -> tuple[Any, dict[str, np.ndarray]]:
    window = {"kernel_shape": [2, 2], "strides": [2, 2]}
    nodes = [node("Conv", "image c1.weight c1.bias", "a", pads=[2, 2, 2, 2]), node("Relu", "a", "b"), node("MaxPool", "b", "c", **window),
             node("Conv", "c c2.weight c2.bias", "d"), node("Relu", "d", "e"), node("MaxPool", "e", "f", **window),
             node("Shape", "f", "g"), node("Constant", "", "h", value=numpy_helper.from_array(np.array(0))),
             node("Gather", "g h", "i", axis=0), node("Constant", "", "j", value=numpy_helper.from_array(whole(0))),
             node("Unsqueeze", "i j", "k"),
             node("Constant", "", "l", value=numpy_helper.from_array(whole(-1))), node("Concat", "k l", "m", axis=0),
             node("Reshape", "f m", "n"), node("Gemm", "n fc.weight fc.bias", "o", transB=1), node("LogSoftmax", "o", "scores", axis=-1)]
    weights = {"c1.weight": normal(3, 1, 5, 5), "c1.bias": normal(3, seed=1), "c2.weight": normal(4, 3, 3, 3, seed=2),
               "c2.bias": normal(4, seed=3), "fc.weight": normal(5, 36, seed=4), "fc.bias": normal(5, seed=5)}
    inputs = {"image": 0.1 * normal(2, 1, 16, 16)}
    return model(nodes, inputs, ["scores"], weights, symbolic={"image": ["N", 1, 16, 16]}), inputs


def test_lenet() -> None:
    """With the extents that PyTorch's exporter computes for a view with a batch of any size."""
    proto, inputs = lenet()
    net = check(proto, inputs, 1e-4)
    assert [str(e) for e in net.outputs["scores"].shape] == ["N", "5"]


def test_residual_block() -> None:
    nodes = [node("Conv", "x w1", "a", pads=[1, 1, 1, 1], strides=[2, 2]), node("BatchNormalization", "a s1 b1 m1 v1", "b"),
             node("Relu", "b", "c"), node("Conv", "c w2", "d", pads=[1, 1, 1, 1]), node("BatchNormalization", "d s2 b2 m2 v2", "e"),
             node("Conv", "x w3", "f", strides=[2, 2]), node("Add", "e f", "g"), node("Relu", "g", "h"),
             node("GlobalAveragePool", "h", "i"), node("Flatten", "i", "y")]
    weights = {"w1": normal(4, 2, 3, 3), "w2": normal(4, 4, 3, 3, seed=1), "w3": normal(4, 2, 1, 1, seed=2)}
    weights |= {f"{n}{k}": np.abs(normal(4, seed=ord(n) + k)) for n in "sbmv" for k in (1, 2)}
    net = check(model(nodes, {"x": normal(2, 2, 6, 6)}, ["y"], weights, symbolic={"x": ["N", 2, 6, 6]}), {"x": normal(2, 2, 6, 6)}, 1e-4)
    assert "m1" not in [p.name for p in gc.parameters(net.outputs["y"])] and "m1" in net.values


def test_attention_block() -> None:
    """Heads by Reshape and Transpose, a mask by Where, an embedding by Gather."""
    nodes = [node("Gather", "table token", "e"), node("MatMul", "e wq", "q"), node("Reshape", "q split", "q4"),
             node("Transpose", "q4", "qh", perm=[0, 2, 1, 3]), node("Transpose", "q4", "kh", perm=[0, 2, 3, 1]),
             node("MatMul", "qh kh", "s"),
             node("Div", "s root", "scaled"), node("Where", "mask scaled low", "masked"), node("Softmax", "masked", "p", axis=-1),
             node("MatMul", "p qh", "o"), node("Transpose", "o", "ot", perm=[0, 2, 1, 3]), node("Reshape", "ot join", "j"),
             node("Add", "j e", "r"), node("LayerNormalization", "r scale shift", "y", axis=-1)]
    weights = {"table": normal(7, 6), "wq": normal(6, 6, seed=1), "split": whole(0, 0, 2, 3), "join": whole(0, 0, 6),
               "root": np.float32(3**0.5), "mask": np.tril(np.ones((4, 4), bool)), "low": np.float32(-1e9),
               "scale": normal(6, seed=2), "shift": normal(6, seed=3)}
    inputs = {"token": np.array([[1, 5, 0, 2], [6, 6, 3, 4], [0, 1, 2, 3]])}
    check(model(nodes, inputs, ["y"], weights, symbolic={"token": ["N", 4]}), inputs, 1e-4)


def test_lstm_net() -> None:
    """Batch first, as PyTorch exports it, with the last state for a dense layer."""
    nodes = [node("Transpose", "x", "t", perm=[1, 0, 2]),
             helper.make_node("LSTM", ["t", "W", "R", "B", "", "h0", "c0"], ["s", "hn", "cn"], hidden_size=5),
             node("Squeeze", "hn first", "h"), node("Gemm", "h fc.weight", "y", transB=1)]
    weights = {"W": normal(1, 20, 3), "R": normal(1, 20, 5, seed=1), "B": normal(1, 40, seed=2), "first": whole(0),
               "fc.weight": normal(2, 5, seed=3)}
    inputs = {"x": normal(2, 4, 3), "h0": normal(1, 2, 5, seed=5), "c0": normal(1, 2, 5, seed=6)}
    check(model(nodes, inputs, ["y"], weights, symbolic={"x": ["N", "T", 3], "h0": [1, "N", 5], "c0": [1, "N", 5]}), inputs, 1e-4)


def test_negative_positions_have_other_readers() -> None:
    """One constant counts from the end of two tensors, and is added as it is."""
    nodes = [node("Gather", "x k", "a"), node("Gather", "w k", "b"), node("Add", "k k", "c")]
    inputs = {"x": normal(5, 2), "w": normal(3, 2)}
    check(model(nodes, inputs, ["a", "b", "c"], {"k": whole(-1, 0)}), inputs)


def test_sizes_can_be_fixed() -> None:
    """A reshape of two unknown extents is affine if the inner one is known."""
    symbolic = {"x": ["B", "T", 4]}
    proto = model([node("Reshape", "x shape", "y")], {"x": normal(2, 3, 4)}, ["y"], {"shape": whole(-1, 4)}, symbolic=symbolic)
    with pytest.raises(gc.ArgumentError, match="Reshape y"):
        gc.from_onnx(proto)
    check(proto, {"x": normal(2, 3, 4)}, sizes={"T": 3})


def test_constants_keep_their_dimensions() -> None:
    """A constant of one element is a number only beside a tensor that has its dimension."""
    nodes = [node("Mul", "x one", "a"), node("Exp", "one", "b"), node("Add", "one one", "c"), node("Add", "one two", "d"),
             node("Where", "yes two v", "e"), node("Clip", "v two", "f"), node("Expand", "two none", "g")]
    constants = {"one": np.array([3], np.float32), "two": np.array(2, np.float32), "yes": np.array(True), "none": np.zeros(0, np.int64)}
    held = [helper.make_node("Constant", [], [name], value=numpy_helper.from_array(a)) for name, a in constants.items()]
    inputs = {"x": np.array(2, np.float32), "v": normal(3)}
    check(model([*held, *nodes], inputs, list("abcdefg"), {}), inputs)


def test_large_constants_are_left_to_the_program() -> None:
    """10¹² zeros that nobody reads, and five that somebody does."""
    nodes = [node("ConstantOfShape", "huge", "z"), node("ConstantOfShape", "five", "f"), node("Add", "x f", "y")]
    net = gc.from_onnx(model(nodes, {"x": normal(5)}, ["y"], {"huge": whole(10**6, 10**6), "five": whole(5)}))
    np.testing.assert_array_equal(gc.compile(net.outputs["y"], target="interpret")(net.values, x=normal(5)), normal(5))


def test_sizes_that_differ_stay_different() -> None:
    """a.b and a_b are one word in the notation; an extent without a name is not the size that is called so."""
    symbolic = {"x": ["a.b", "a_b"], "z": [None, "z_0"]}
    inputs = {"x": normal(2, 3), "z": normal(4, 5)}
    net = check(model([node("Exp", "x", "y"), node("Exp", "z", "w")], inputs, ["y", "w"], {}, symbolic=symbolic), inputs)
    assert len({str(e) for t in net.inputs.values() for e in t.shape}) == 4


def test_a_tensor_called_out() -> None:
    """It is an argument of the call; a weight and a result have that name, too."""
    check(model([node("Relu", "out", "y")], {"out": X}, ["y"], {}), {"out": X})
    net = check(model([node("Add", "x out", "y")], {"x": X}, ["y"], {"out": normal(4)}), {"x": X})
    assert list(net.values) == ["_out"]
    assert check(model([node("Relu", "x", "out")], {"x": X}, ["out"], {}), {"x": X}).outputs["out"].name == "out"


def test_nodes_that_contradict_their_operands() -> None:
    """The package onnx finds them; nodes that need the results are not named."""
    nodes = [node("Transpose", "x", "t", perm=[0, 3]), node("Exp", "t", "e"), node("Concat", "w v", "y", axis=0)]
    value = helper.make_tensor_value_info("y", FLOAT, None)
    weights = [numpy_helper.from_array(normal(2, n), name) for n, name in ((3, "w"), (2, "v"))]
    graph = helper.make_graph(nodes, "net", [helper.make_tensor_value_info("x", FLOAT, ["N", 4])], [value], weights)
    graph.output[0].type.tensor_type.shape.SetInParent()
    with pytest.raises(gc.ArgumentError, match=r"is no valid ONNX model:\n  - Transpose t: .*\n  - Concat y: .*\n\n"):
        gc.from_onnx(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]))


def test_types_that_contradict() -> None:
    weight = [numpy_helper.from_array(whole(1, 2), "w")]
    value = helper.make_tensor_value_info("y", FLOAT, ["N"])
    given = [helper.make_tensor_value_info("x", FLOAT, ["N"])]
    graph = helper.make_graph([node("Concat", "x w", "y", axis=0)], "net", given, [value], weight)
    with pytest.raises(gc.ArgumentError, match=r"is no valid ONNX model:\n  - Concat"):
        gc.from_onnx(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]))


def test_constants_that_pytorch_computes() -> None:
    """Widths of a padding are turned round, and -1 in an `expand` is found by comparing."""
    widths = numpy_helper.from_array(np.array([[0, 0], [0, 2], [1, 0]]))
    nodes = [node("Constant", "", "w", value=widths), node("Transpose", "w", "t", perm=[1, 0]), node("Reshape", "t flat", "p"),
             node("Pad", "x p", "a"), node("Shape", "x", "s"), node("Gather", "s zero", "n"), node("Concat", "n open three", "k", axis=0),
             node("Equal", "k open", "e"), node("Where", "e ones k", "v"), node("Expand", "x v", "y")]
    weights = {"flat": whole(-1), "zero": whole(0), "open": whole(-1), "three": whole(3), "ones": whole(1, 1, 1)}
    inputs = {"x": normal(2, 4, 3)}
    net = check(model(nodes, inputs, ["a", "y"], weights, symbolic={"x": ["N", 4, 3]}), inputs)
    assert [str(e) for e in net.outputs["y"].shape] == ["N", "4", "3"]


def test_a_size_that_may_have_one_value() -> None:
    """Whether N is 4 is known only in the call."""
    nodes = [node("Shape", "x", "s"), node("Equal", "s four", "e"), node("Cast", "e", "c", to=FLOAT), node("Add", "x c", "y")]
    proto = model(nodes, {"x": normal(4)}, ["y"], {"four": whole(4)}, symbolic={"x": ["N"]})
    with pytest.raises(gc.ArgumentError, match="Equal e: whether N is 4"):
        gc.from_onnx(proto)
    check(proto, {"x": normal(4)}, sizes={"N": 4})


def test_zeros_for_any_batch() -> None:
    """The state before an LSTM, as PyTorch's older exporter makes it."""
    value = numpy_helper.from_array(np.zeros(1, "float32"))
    nodes = [node("Shape", "x", "s"), node("ConstantOfShape", "s", "z", value=value), node("Add", "x z", "y")]
    check(model(nodes, {"x": X}, ["y"], {}, symbolic={"x": ["N", 4]}), {"x": X})


def test_files_and_bytes(tmp_path) -> None:
    proto = perceptron()
    onnx.save(proto, tmp_path / "net.onnx")
    texts = {str(gc.loops(*gc.from_onnx(m).outputs.values())) for m in (proto, tmp_path / "net.onnx", str(tmp_path / "net.onnx"),
                                                                       proto.SerializeToString())}
    assert len(texts) == 1


def test_files_of_the_first_versions() -> None:
    """Initializers are inputs as well."""
    proto = model([node("Transpose", "w", "t"), node("MatMul", "x t", "y")], {"x": X}, ["y"], {"w": normal(2, 4)}, opset=7)
    proto.ir_version = 3
    proto.graph.input.append(helper.make_tensor_value_info("w", FLOAT, [2, 4]))
    net = gc.from_onnx(proto)
    assert list(net.inputs) == ["x"] and list(net.values) == ["w"]
    np.testing.assert_allclose(gc.compile(net.outputs["y"], target="interpret")(net.values, x=X), X @ normal(2, 4).T, rtol=1e-5)


def test_names() -> None:
    """Names that the notation cannot have are changed, and stay different."""
    nodes = [helper.make_node("Add", ["in put", "in-put"], ["/a/1"]), helper.make_node("Neg", ["/a/1"], ["class"])]
    net = check(model(nodes, {"in put": X, "in-put": X + 1}, ["class"], {}), {"in put": X, "in-put": X + 1})
    assert [t.name for t in net.inputs.values()] == ["in_put", "in_put_2"] and net.outputs["class"].name == "_class"


def test_imported_nets_are_json() -> None:
    net = gc.from_onnx(perceptron())
    assert gc.loops(*gc.from_json(gc.to_json(net.outputs)).values()) == gc.loops(*net.outputs.values())
