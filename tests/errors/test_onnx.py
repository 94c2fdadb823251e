"""Files that cannot be imported."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc as gc

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402


def model(nodes: list[Any], shape: Any = ("N", 4), dtype: int = TensorProto.FLOAT, **weights: np.ndarray) -> Any:
    given, result = helper.make_tensor_value_info("x", dtype, shape), helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])
    held = [numpy_helper.from_array(a, n) for n, a in weights.items()]
    graph = helper.make_graph(nodes, "net", [given], [result], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("com.example", 1)])


def test_onnx_lists_all_that_is_missing(rejects):
    """Operators, domains, attributes, their values, results."""
    nodes = [
        helper.make_node("NonMaxSuppression", ["x", "x"], ["a"], name="nms"), helper.make_node("Relu", ["x"], ["b"], domain="com.example"),
        helper.make_node("LSTM", ["x", "w", "r"], ["c"], hidden_size=3, clip=0.5, layout=1, name="lstm"),
        helper.make_node("MaxPool", ["x"], ["d", "where"], kernel_shape=[2]), helper.make_node("Softmax", ["where"], ["y"]),
        helper.make_node("Bernoulli", ["x"], ["e"]),
    ]
    with rejects(gc.ArgumentError):
        gc.from_onnx(model(nodes, w=np.ones((1, 12, 4), "float32"), r=np.ones((1, 12, 3), "float32")))


def test_onnx_lists_nodes_that_do_not_fit(rejects):
    """What is found only when the nodes are built; what depends on them is not named."""
    nodes = [
        helper.make_node("ReduceMax", ["x", "first"], ["max"], keepdims=0), helper.make_node("Cast", ["max"], ["i"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["x", "i"], ["a"], name="unknown_shape"), helper.make_node("Exp", ["a"], ["b"]),
        helper.make_node("Unsqueeze", ["x", "first"], ["u"]),
        helper.make_node("ConvTranspose", ["u", "w"], ["c"], name="over_one_dimension"),
        helper.make_node("Add", ["b", "c"], ["d"]),
        helper.make_node("MaxPool", ["u"], ["y"], kernel_shape=[3], strides=[2], ceil_mode=1, name="windows"),
    ]
    with rejects(gc.ArgumentError):
        gc.from_onnx(model(nodes, shape=(1, 4), w=np.ones((1, 1, 2), "float32"), first=np.array([0])))


def test_onnx_with_constants_that_do_not_fit(rejects):
    nodes = [helper.make_node("Constant", [], ["c"], value_ints=[1, 2]), helper.make_node("Constant", [], ["nine"], value_int=9),
             helper.make_node("Constant", [], ["zero"], value_int=0), helper.make_node("Constant", [], ["many"], value_int=10**12),
             helper.make_node("Constant", [], ["one"], value_int=1), helper.make_node("Gather", ["c", "nine"], ["ninth"], name="ninth"),
             helper.make_node("Div", ["nine", "zero"], ["ratio"], name="ratio"),
             helper.make_node("Range", ["zero", "many", "one"], ["all"], name="all"),
             helper.make_node("Dropout", ["x", "p", "on"], ["y"], name="dropout")]
    with rejects(gc.ArgumentError):
        gc.from_onnx(model(nodes, p=np.float32(0.5), on=np.array(True)))


def test_onnx_with_unknown_words(rejects):
    """Values of attributes that ONNX does not have, or that are no text."""
    nodes = [helper.make_node("Gelu", ["x"], ["a"], approximate="some", name="gelu"),
             helper.make_node("MaxPool", ["image"], ["b"], auto_pad="FOO", kernel_shape=[2, 2], name="pool"),
             helper.make_node("DepthToSpace", ["image"], ["c"], blocksize=2, mode="ROW", name="blocks"),
             helper.make_node("Pad", ["x", "rows"], ["y"], mode="some", name="pad")]
    nodes[3].attribute[0].s = b"\xff"
    with rejects(gc.ArgumentError):
        gc.from_onnx(model(nodes, image=np.ones((1, 4, 4, 4), "float32"), rows=np.array([0, 0, 0, 1])))


def test_onnx_with_extents_that_do_not_fit(rejects):
    """What the package onnx does not find."""
    nodes = [helper.make_node("Conv", ["image", "w"], ["a"], kernel_shape=[3, 3], name="conv"),
             helper.make_node("DepthToSpace", ["image"], ["b"], blocksize=2, name="depth"),
             helper.make_node("SpaceToDepth", ["image"], ["c"], blocksize=2, name="space"),
             helper.make_node("ReduceMax", ["x", "twice"], ["d"], name="twice"),
             helper.make_node("Expand", ["x", "wide"], ["e"], name="expand"),
             helper.make_node("Concat", ["x", "z"], ["f"], axis=1, name="concat"),
             helper.make_node("Gather", ["w", "wide"], ["g"], name="gather"), helper.make_node("Relu", ["many"], ["h"], name="many"),
             helper.make_node("MatMul", ["more", "more"], ["k"], name="more"),
             helper.make_node("RNN", ["image3", "rw", "rr"], ["y"], hidden_size=4, name="rnn")]
    shapes = {"image": (1, 7, 5, 5), "w": (2, 7, 2, 2), "image3": (4, 2, 3), "rw": (1, 5, 3), "rr": (1, 5, 5), "many": (1,) * 9,
              "more": (1,) * 11}
    proto = model(nodes, twice=np.array([1, 1]), wide=np.array([3, 4]), **{n: np.ones(s, "float32") for n, s in shapes.items()})
    proto.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ("M", 4)))
    with rejects(gc.ArgumentError):
        gc.from_onnx(proto)


def test_onnx_with_a_resize_that_moves(rejects):
    """Floor of half pixels, and rounding without half pixels, take neighbours."""
    scales = {"scales": np.float32([1, 3])}
    nodes = [helper.make_node("Resize", ["x", "", "scales"], ["a"], nearest_mode="floor"),
             helper.make_node("Resize", ["x", "", "scales"], ["y"], coordinate_transformation_mode="asymmetric")]
    with rejects(gc.ArgumentError):
        gc.from_onnx(model(nodes, **scales))


def test_onnx_of_another_type(rejects):
    with rejects(gc.ArgumentError):
        gc.from_onnx(model([helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)], dtype=TensorProto.FLOAT16))


def test_onnx_without_a_file(rejects):
    with rejects(gc.ArgumentError):
        gc.from_onnx("no/such/net.onnx")


def test_onnx_of_something_else(rejects):
    with rejects(gc.ArgumentError):
        gc.from_onnx(b"PK\x03\x04 an archive")


def test_onnx_of_a_number(rejects):
    with rejects(gc.ArgumentError):
        gc.from_onnx(3)


def test_onnx_with_a_size_that_it_does_not_have(rejects):
    with rejects(gc.ArgumentError):
        gc.from_onnx(model([helper.make_node("Relu", ["x"], ["y"])]), sizes={"batch": 3})


def test_onnx_with_a_size_that_is_none(rejects):
    with rejects(gc.ShapeError):
        gc.from_onnx(model([helper.make_node("Relu", ["x"], ["y"])]), sizes={"N": -3})


def test_onnx_with_sizes_that_are_no_dict(rejects):
    with rejects(gc.ArgumentError):
        gc.from_onnx(model([helper.make_node("Relu", ["x"], ["y"])]), sizes=3)


def test_onnx_without_the_package(rejects, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with rejects(gc.ArgumentError):
        gc.from_onnx("net.onnx")
