"""`gc.from_onnx`: a file becomes tensors, or one error that lists all that is missing."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

import graphc as gc
from graphc.interop.onnx.fold import folded
from graphc.interop.onnx.node import Constant, Node, Scope, Unsupported, legible
from graphc.interop.onnx.table import OPERATORS
from graphc.interop.onnx.types import name_of_type
from graphc.requests import refusal

__all__ = ["OnnxModel", "from_onnx"]

KNOWN = ("Constant", "Range")
"""Operators of constants alone."""


@dataclass(frozen=True)
class OnnxModel:
    """A net of an ONNX file.

    Attributes:
        outputs: its results, by their names in the file.
        inputs: what it is a function of, by their names in the file.
        values: arrays for its parameters and constants, by the names of their tensors; the first argument of the compiled net.
    """

    outputs: dict[str, gc.Tensor]
    inputs: dict[str, gc.Tensor]
    values: dict[str, NDArray[Any]]


def from_onnx(model: Any, sizes: Mapping[str, int] | None = None) -> OnnxModel:
    """The net of an ONNX file as loops.

    Args:
        model: the path of a file, its bytes, or an `onnx.ModelProto`.
        sizes: numbers for symbolic extents, by their names in the file; others stay sizes, bound by the arrays of each call.

    Returns:
        Results, inputs and the values of the file. Weights are parameters with the names of the file (characters that a name of the
        notation cannot have are replaced: ``/conv1/Conv_output_0`` becomes ``conv1.Conv_output_0``); statistics of batch normalisation and
        constants are inputs.

    Raises:
        ArgumentError: the package onnx is not installed, there is no such file, it is no model, or it needs operators, attributes or types
            that cannot be imported, all of which are listed.

    >>> import graphc as gc, numpy as np, onnx
    >>> node = onnx.helper.make_node("Gemm", ["x", "fc.weight", "fc.bias"], ["y"], transB=1)
    >>> x, y = (onnx.helper.make_tensor_value_info(n, 1, ["N", e]) for n, e in (("x", 3), ("y", 2)))
    >>> weights = [onnx.numpy_helper.from_array(np.ones(s, "float32"), n) for n, s in (("fc.weight", (2, 3)), ("fc.bias", 2))]
    >>> net = gc.from_onnx(onnx.helper.make_model(onnx.helper.make_graph([node], "net", [x], [y], weights)))
    >>> print(gc.loops(net.outputs["y"]))
    for i,j:  y[i,j] = sum(x[i,k]*fc.weight[j,k], over=k) + fc.bias[j]
    >>> gc.compile(net.outputs["y"], target="interpret")(net.values, x=np.ones((1, 3), "float32"))
    array([[4., 4.]], dtype=float32)
    """
    proto = _model(model)
    graph, scope = proto.graph, Scope(_opset(proto))
    sizes, missing = dict(sizes or {}), list[str]()
    inputs, make = _declared(graph, scope, sizes, missing), _node(scope)
    used = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    for raw in graph.node:
        node = make(raw)
        faults = [f"{node.label}: {what}" for what in _faults(node, raw.domain, used)]
        missing += faults
        if not faults:
            _import(node, missing)
        for name in node.outputs:
            scope.values.setdefault(name, None)
    outputs = {value.name: _result(scope, value.name, missing) for value in graph.output}
    if missing:
        raise _refusal(model, missing)
    unknown = [name for name in sizes if not any(name in (d.dim_param for d in i.type.tensor_type.shape.dim) for i in graph.input)]
    if unknown:
        raise refusal(gc.ArgumentError, f"The file has no size {unknown[0]}.", f"from_onnx(…, sizes={sizes})", repr(unknown[0]),
                      "give sizes of its inputs: " + (", ".join(sorted(_sizes(graph))) or "there are none") + ".")
    return OnnxModel({name: y for name, y in outputs.items() if y is not None}, inputs, dict(scope.arrays))


def _sizes(graph: Any) -> set[str]:
    return {d.dim_param for value in graph.input for d in value.type.tensor_type.shape.dim if d.dim_param}


def _shown(model: Any) -> str:
    return f'"{os.fspath(model)}"' if isinstance(model, str | os.PathLike) else f"<{type(model).__name__}>"


def _refusal(model: Any, missing: list[str]) -> gc.ArgumentError:
    shown = _shown(model)
    listed = "".join(f"\n  - {line}" for line in dict.fromkeys(missing))
    return refusal(gc.ArgumentError, f"{shown} needs what gc.from_onnx does not have:{listed}", f"from_onnx({shown})", shown,
                   "export the net with other operators (docs/onnx.md has the list), or write these layers in the notation.")


# -------------------------------------------------------------------------------------------------------------------- the file


def _model(model: Any) -> Any:
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:
        raise _unreadable(model, "gc.from_onnx needs the package onnx.", "pip install 'graphc[onnx]'.") from None
    try:
        if isinstance(model, onnx.ModelProto):
            proto = model
        elif isinstance(model, bytes):
            proto = onnx.load_model_from_string(model)
        elif isinstance(model, str | os.PathLike):
            proto = onnx.load(os.fspath(model))
        else:
            raise _unreadable(model, f"gc.from_onnx takes a path, not {_shown(model)}.",
                              "give the path of a file, its bytes, or an onnx.ModelProto.")
        onnx.checker.check_model(os.fspath(model) if isinstance(model, str | os.PathLike) else proto)
        if proto.functions:
            import onnx.inliner

            proto = onnx.inliner.inline_local_functions(proto)
    except OSError as error:
        raise _unreadable(model, f"{_shown(model)} cannot be read: {error.strerror or error}.", "check the path.") from error
    except DecodeError as error:
        raise _unreadable(model, f"{_shown(model)} is no ONNX file.", "check what is in it.") from error
    except (onnx.checker.ValidationError, RuntimeError, ValueError) as error:
        what = " ".join(str(error).split())[:200]
        raise _unreadable(model, f"{_shown(model)} is no valid ONNX model: {what}", "export it again.") from error
    return proto


def _unreadable(model: Any, what: str, fix: str) -> gc.ArgumentError:
    return refusal(gc.ArgumentError, what, f"from_onnx({_shown(model)})", _shown(model), fix)


def _opset(proto: Any) -> int:
    return next((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), 1)


def _node(scope: Scope) -> Any:
    from onnx import AttributeProto, helper, numpy_helper

    def value(attribute: Any) -> Any:
        found = helper.get_attribute_value(attribute)
        if attribute.type == AttributeProto.TENSOR:
            return numpy_helper.to_array(found)
        if isinstance(found, bytes):
            return found.decode()
        if attribute.type in (AttributeProto.INTS, AttributeProto.FLOATS, AttributeProto.STRINGS):
            return [v.decode() if isinstance(v, bytes) else v for v in found]
        return found

    def made(node: Any) -> Node:
        label = f"{node.op_type} {node.name or next(iter(node.output), '')}"
        return Node(node.op_type, list(node.input), list(node.output), {a.name: value(a) for a in node.attribute}, scope, label)

    return made


def _faults(node: Node, domain: str, used: Container[str]) -> Iterator[str]:
    """What no row of the table has: the operator, attributes, their values, results that are used."""
    if domain not in ("", "ai.onnx"):
        yield f"the domain {domain}"
    elif node.kind in OPERATORS:
        operator = OPERATORS[node.kind]
        only = dict(operator.only)
        for name, value in node.attributes.items():
            if name in only and not _allowed(value, only[name]):
                yield f"the attribute {name}={value!r} (only {only[name]!r})"
            elif name not in only and name not in operator.attributes:
                yield f"the attribute {name}"
        for k, name in enumerate(node.outputs):
            if k >= operator.results and name in used:
                yield f"the result {k} ({name})"
    elif node.kind not in KNOWN:
        yield f"the operator {node.kind}"


def _allowed(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, list) and isinstance(value, list):  # activations, once per direction
        return len(value) % len(wanted) == 0 and value == wanted * (len(value) // len(wanted))
    return bool(value == wanted)


# ------------------------------------------------------------------------------------------------------------------ the import


def _declared(graph: Any, scope: Scope, sizes: Mapping[str, int], missing: list[str]) -> dict[str, gc.Tensor]:
    """Inputs and initializers."""
    from onnx import numpy_helper

    for initializer in graph.initializer:
        try:
            scope.values[initializer.name] = Constant(numpy_helper.to_array(initializer), weight=True)
        except (TypeError, ValueError) as error:
            scope.values[initializer.name] = None
            missing.append(f"initializer {initializer.name}: {error}")
    inputs: dict[str, gc.Tensor] = {}
    for value in graph.input:
        if value.name in scope.values:
            continue
        kind = value.type.tensor_type
        try:
            dtype = name_of_type(kind.elem_type)
        except Unsupported as error:
            missing.append(f"input {value.name}: {error}")
            scope.values[value.name] = None
            continue
        shape = [_extent(d, sizes, f"{legible(value.name)}_{k}") for k, d in enumerate(kind.shape.dim)]
        inputs[value.name] = scope.values[value.name] = gc.tensor(scope.name(value.name), tuple(shape), dtype=dtype)
    if graph.sparse_initializer:
        missing.append("sparse initializers")
    return inputs


def _extent(dimension: Any, sizes: Mapping[str, int], default: str) -> Any:
    if dimension.HasField("dim_value"):
        return dimension.dim_value
    if dimension.dim_param in sizes:
        return sizes[dimension.dim_param]
    return gc.dim(legible(dimension.dim_param or default).replace(".", "_"))


def _import(node: Node, missing: list[str]) -> None:
    """The results of a node; what cannot be imported is noted, and so are not the nodes that need it."""
    scope = node.scope
    try:
        if any(name and scope.values.get(name) is None for name in node.inputs):
            raise _WaitingError
        known = folded(node)
        if known is None and node.kind not in OPERATORS:
            raise Unsupported("values that are computed")
        found = known if known is not None else OPERATORS[node.kind].build(node)
        results = found if isinstance(found, tuple) else (found,)
        scope.values.update((name, result) for name, result in zip(node.outputs, results, strict=False) if name)
    except _WaitingError:
        pass
    except Unsupported as error:
        missing.append(f"{node.label}: {error}")
    except gc.GraphcError as error:
        missing.append(f"{node.label}: {error.what}")
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        missing.append(f"{node.label}: its inputs and attributes do not fit together ({type(error).__name__}: {error})")


class _WaitingError(Exception):
    """An operand could not be imported."""


def _result(scope: Scope, name: str, missing: list[str]) -> gc.Tensor | None:
    if scope.values.get(name) is None:
        return None
    try:
        return scope.tensor(name, trained=True)
    except Unsupported as error:
        missing.append(f"output {name}: {error}")
        return None
