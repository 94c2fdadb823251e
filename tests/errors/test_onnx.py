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
        helper.make_node("Reshape", ["x", "i"], ["a"], name="unknown_shape"), helper.make_node("Cast", ["x"], ["i"], to=TensorProto.INT64),
        helper.make_node("Exp", ["a"], ["b"]), helper.make_node("ConvTranspose", ["x", "w"], ["c"], name="over_one_dimension"),
        helper.make_node("Add", ["b", "c"], ["d"]), helper.make_node("Conv", ["x", "w"], ["y"], name="of_a_matrix"),
    ]
    with rejects(gc.ArgumentError):
        gc.from_onnx(model([nodes[1], nodes[0], *nodes[2:]], w=np.ones((1, 1, 2), "float32")))


def test_onnx_with_a_malformed_node(rejects):
    with rejects(gc.ArgumentError):
        gc.from_onnx(model([helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3]), helper.make_node("Dropout", ["t", "p", "on"], ["y"])],
                           p=np.float32(0.5), on=np.array(True)))


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


def test_onnx_without_the_package(rejects, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with rejects(gc.ArgumentError):
        gc.from_onnx("net.onnx")
