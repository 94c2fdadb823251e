"""Texts that are no programs, and programs that cannot be written as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

import graphc as gc

N = gc.dim("N")
i = gc.index("i")
x, y = gc.tensor("x", N), gc.tensor("y")
y[i] = gc.sin(x[i]) + gc.pad(x, 0)[i - 1]
TEXT = gc.to_json(y)


def changed(*path: Any, to: Any) -> str:
    """The text with another value at a place."""
    data = json.loads(TEXT)
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return json.dumps(data)


STATEMENT = ("tensors", "y", "statements", 0)


def program(**tensors: Any) -> str:
    return json.dumps({"format": "graphc program", "version": 1, "tensors": tensors, "outputs": next(iter(tensors))})


def defined(*statements: Any, shape: Any = (3,), **more: Any) -> dict[str, Any]:
    keys = ("at", "op", "value", "loops")
    return {"shape": list(shape), "dtype": "float32", "statements": [dict(zip(keys, s, strict=True)) for s in statements], **more}


TEXTS: dict[str, tuple[type[gc.GraphcError], str]] = {
    "another_version": (gc.ArgumentError, changed("version", to=2)),
    "another_format": (gc.ArgumentError, changed("format", to="onnx")),
    "no_text_but_python": (gc.ArgumentError, "print(1)"),
    "a_cut_text": (gc.ArgumentError, TEXT[:100]),
    "a_list": (gc.ArgumentError, "[]"),
    "nan": (gc.ArgumentError, TEXT.replace("-1", "NaN")),
    "a_key_twice": (gc.ArgumentError, TEXT.replace('"dtype"', '"shape"', 1)),
    "an_unknown_key": (gc.ArgumentError, changed("tensors", "y", "code", to="import os")),
    "a_missing_key": (gc.ArgumentError, TEXT.replace('"dtype": "float32"', '"name": "x"', 1)),
    "a_wrong_type": (gc.ArgumentError, changed(*STATEMENT, "loops", to="i")),
    "an_unknown_function": (gc.ArgumentError, TEXT.replace('"sin"', '"system"')),
    "a_function_with_too_many_arguments": (gc.ArgumentError, TEXT.replace('"sin", ', '"sin", 1, ')),
    "an_unknown_form": (gc.ArgumentError, TEXT.replace('"call"', '"eval"')),
    "an_unknown_boundary": (gc.ArgumentError, TEXT.replace('"pad"', '"mirror"')),
    "an_undeclared_tensor": (gc.ArgumentError, TEXT.replace('"read", "x"', '"read", "z"')),
    "too_many_subscripts": (gc.ArgumentError, TEXT.replace('"read", "x", ', '"read", "x", 0, ')),
    "a_part_of_itself": (gc.ArgumentError, changed(*STATEMENT, "parts", to=[["call", "sin", ["part", 0]]])),
    "too_deep_a_value": (gc.ArgumentError, changed(*STATEMENT, "value", to=json.loads('["call", "sin", ' * 150 + "1" + "]" * 150))),
    "lists_without_end": (gc.ArgumentError, "[" * 200_000),
    "an_index_without_a_loop": (gc.ArgumentError, changed(*STATEMENT, "loops", to=[["j", 0, 2]])),
    "an_infinite_subscript": (gc.ArgumentError, TEXT.replace("-1", "1e9")),
    "a_huge_power": (gc.ArgumentError, changed(*STATEMENT, "value", to=["**", 10, 10**9])),
    "an_unknown_output": (gc.ArgumentError, changed("outputs", to=["list", "y", "z"])),
    "no_output": (gc.ArgumentError, changed("outputs", to=["list"])),
    "an_unknown_dtype": (gc.DtypeError, TEXT.replace("float32", "complex64")),
    "a_negative_extent": (gc.ShapeError, program(x={"shape": [-1], "dtype": "float32"})),
    "an_unknown_initialiser": (gc.NotationError, program(W={"shape": [3], "dtype": "float32", "kind": "parameter", "init": "os.system"})),
    "a_parameter_without_an_initialiser": (gc.ArgumentError, program(W={"shape": [3], "dtype": "float32", "kind": "parameter"})),
    "a_huge_initialiser": (gc.DtypeError, program(W={"shape": [3], "dtype": "float64", "kind": "parameter", "init": 10**400})),
    "a_mean_as_an_operation": (gc.ArgumentError, changed(*STATEMENT, "op", to="mean")),
    "a_sum_as_an_operation": (gc.ArgumentError, changed(*STATEMENT, "op", to="sum")),
    "a_reduction_without_a_loop": (gc.ArgumentError, changed(*STATEMENT, "op", to="argmax")),
    "two_reductions": (gc.ArgumentError, program(y=defined(*[[["i"], "max", 1, [["i", 0, 3], ["j", 0, 2]]]] * 2))),
    "functions_that_double": (gc.NotationError, json.dumps({
        **json.loads(changed(*STATEMENT, "value", to=["call", "f30", ["read", "x", "i"]])),
        "functions": [{"name": f"f{k}", "arguments": 1, "value": ["+", ["call", f"f{k - 1}", ["argument", 0]], ["call", "exp", [
            "call", f"f{k - 1}", ["argument", 0]]]] if k else ["argument", 0]} for k in range(31)]})),
    "two_inputs_of_one_name": (gc.NotationError, program(
        y=defined([[], "=", ["+", ["read", "a", 0], ["read", "b", 0]], []], shape=()), a={"shape": [1], "dtype": "float32", "name": "x"},
        b={"shape": [1], "dtype": "float32", "name": "x"})),
    "a_read_outside": (gc.RangeError, program(
        y=defined([["i"], "=", ["read", "x", ["+", "i", 1]], [["i", 0, 3]]]), x={"shape": [3], "dtype": "float32"})),
    "two_values_for_an_element": (gc.NotationError, program(y=defined([["i"], "=", 1, [["i", 0, 3]]], [[0], "=", 2, []]))),
    "a_tensor_defined_by_itself": (gc.NotationError, program(y=defined([["i"], "=", ["+", ["read", "y", "i"], 1], [["i", 0, 3]]]))),
    "two_tensors_defined_by_each_other": (gc.NotationError, program(
        a=defined([["i"], "=", ["call", "sin", ["read", "b", "i"]], [["i", 0, 3]]]),
        b=defined([["i"], "=", ["call", "cos", ["read", "a", "i"]], [["i", 0, 3]]]))),
    "an_adjoint_as_a_value": (gc.ArgumentError, program(
        y=defined([["i"], "=", ["read", "d", "i"], [["i", 0, 3]]]), d={"shape": [3], "dtype": "float32", "kind": "adjoint"})),
    "an_index_outside_of_its_reduction": (gc.NotationError, program(
        y=defined([[], "+=", ["*", ["reduce", "sum", ["read", "x", "i"], ["i"]], "i"], [["i", 0, 3]]], shape=()),
        x={"shape": [3], "dtype": "float32"})),
}


@pytest.mark.parametrize("name", TEXTS)
def test_json(name, rejects):
    kind, text = TEXTS[name]
    with rejects(kind, call=True):
        gc.from_json(text)


def test_json_of_bytes(rejects):
    with rejects(gc.ArgumentError, call=True):
        gc.from_json(TEXT.encode())


def test_json_reduction_that_is_none(rejects):
    row = {"name": "last", "identity": 0, "combine": ["argument", 1]}
    with rejects(gc.NotationError):
        gc.from_json(json.dumps({**json.loads(TEXT), "reductions": [row]}))


def test_to_json_of_an_element(rejects):
    with rejects(gc.NotationError):
        gc.to_json([y, x[i]])


def test_to_json_of_nothing(rejects):
    with rejects(gc.NotationError):
        gc.to_json([])


def test_to_json_with_a_strange_key(rejects):
    with rejects(gc.NotationError):
        gc.to_json({1.5: y})


def test_to_json_of_a_python_initialiser(rejects):
    weight, z = gc.parameter("W", 3, init=lambda shape, random: random.normal(size=shape)), gc.tensor("z")
    z[()] += weight[i]
    with rejects(gc.NotationError):
        gc.to_json(z)
