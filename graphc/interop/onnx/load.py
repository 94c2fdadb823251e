"""`gc.from_onnx`: a file becomes tensors, or one error that lists all that is missing."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import graphc as gc
from graphc.interop.onnx.file import inferred, opened, shown
from graphc.interop.onnx.fold import folded
from graphc.interop.onnx.node import Constant, Kind, Node, Scope, Unsupported, free_name, legible
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
        ArgumentError: the package onnx is not installed, there is no such file, it is no model, its nodes contradict each other, `sizes`
            names no size of its inputs, or it needs operators, attributes or types that cannot be imported, all of which are listed.
        ShapeError: a size is no number of elements.

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
    proto = opened(model)
    graph, sizes, missing = proto.graph, _sizes(proto.graph, sizes), list[str]()
    scope = Scope(_opset(proto), inferred(proto, sizes, model))
    inputs, make = _declared(graph, scope, sizes, missing), _node(scope)
    used = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    for raw in graph.node:
        node = make(raw, missing)
        faults = [f"{node.label}: {what}" for what in _faults(node, raw.domain, used)]
        missing += faults
        if not faults:
            _import(node, missing)
        for name in node.outputs:
            scope.values.setdefault(name, None)
    outputs = {value.name: _result(scope, value.name, missing) for value in graph.output}
    if missing:
        raise _refusal(model, missing)
    return OnnxModel({name: y for name, y in outputs.items() if y is not None}, inputs, dict(scope.arrays))


def _sizes(graph: Any, sizes: Any) -> dict[str, int]:
    """The numbers for symbolic extents, checked."""
    named = sorted({d.dim_param for value in graph.input for d in value.type.tensor_type.shape.dim if d.dim_param})
    fix = "give sizes of its inputs: " + (", ".join(named) or "there are none") + "."
    if sizes is None:
        return {}
    if not isinstance(sizes, Mapping):
        raise refusal(gc.ArgumentError, f"sizes={sizes!r} is no dict.", f"from_onnx(…, sizes={sizes!r})", repr(sizes), fix)
    for name, size in sizes.items():
        text = f"from_onnx(…, sizes={dict(sizes)})"
        if name not in named:
            raise refusal(gc.ArgumentError, f"The file has no size {name}.", text, repr(name), fix)
        if not isinstance(size, int | np.integer) or isinstance(size, bool) or not 0 <= size < 2**63:
            raise refusal(gc.ShapeError, f"{size!r} is no number of elements for the size {name}.", text, repr(size),
                          "give a non-negative integer.")
    return {name: int(size) for name, size in sizes.items()}


def _refusal(model: Any, missing: list[str]) -> gc.ArgumentError:
    text = shown(model)
    listed = "".join(f"\n  - {line}" for line in dict.fromkeys(missing))
    return refusal(gc.ArgumentError, f"{text} needs what gc.from_onnx does not have:{listed}", f"from_onnx({text})", text,
                   "export the net with other operators (docs/onnx.md has the list), or write these layers in the notation.")


# -------------------------------------------------------------------------------------------------------------------- the file


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

    def made(node: Any, missing: list[str]) -> Node:
        label, attributes = f"{node.op_type} {node.name or next(iter(node.output), '')}", {}
        for attribute in node.attribute:
            try:
                attributes[attribute.name] = value(attribute)
            except (TypeError, ValueError) as error:
                missing.append(f"{label}: the attribute {attribute.name} cannot be read ({error})")
        return Node(node.op_type, list(node.input), list(node.output), attributes, scope, label)

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
                values = only[name] if isinstance(only[name], tuple) else (only[name],)
                yield f"the attribute {name}={value!r} (only {', '.join(repr(v) for v in values if v != '')})"
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
    return value in wanted if isinstance(wanted, tuple) else bool(value == wanted)


# ------------------------------------------------------------------------------------------------------------------ the import


def _declared(graph: Any, scope: Scope, sizes: Mapping[str, int], missing: list[str]) -> dict[str, gc.Tensor]:
    """Inputs and initializers."""
    from onnx import numpy_helper

    for initializer in graph.initializer:
        try:
            array = numpy_helper.to_array(initializer)
            if array.dtype == object:
                raise Unsupported("texts")
            scope.values[initializer.name] = Constant(array, weight=True)
        except (TypeError, Unsupported, ValueError) as error:
            scope.values[initializer.name] = None
            missing.append(f"initializer {initializer.name}: {error}")
    inputs: dict[str, gc.Tensor] = {}
    extent = _extents(sizes)
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
        shape = [extent(d, f"{legible(value.name)}_{k}") for k, d in enumerate(kind.shape.dim)]
        inputs[value.name] = scope.values[value.name] = gc.tensor(scope.name(value.name, given=True), tuple(shape), dtype=dtype)
    if graph.sparse_initializer:
        missing.append("sparse initializers")
    return inputs


def _extents(sizes: Mapping[str, int]) -> Callable[[Any, str], Any]:
    """Extents of the file as numbers and sizes; names that differ stay different."""
    made: dict[str, Any] = {}
    taken: set[str] = set()

    def extent(dimension: Any, default: str) -> Any:
        name = dimension.dim_param
        if dimension.HasField("dim_value"):
            return dimension.dim_value
        if name in sizes:
            return sizes[name]
        if not name or name not in made:
            made[name] = gc.dim(free_name(legible(name or default).replace(".", "_"), taken))
        return made[name]

    return extent


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
        named = {name: result for name, result in zip(node.outputs, results, strict=False) if name}
        for name, result in named.items():
            _check_kind(result, scope.kinds.get(name))
        scope.values.update(named)
    except _WaitingError:
        pass
    except Unsupported as error:
        missing.append(f"{node.label}: {error}")
    except gc.GraphcError as error:
        missing.append(f"{node.label}: {error.what}")
    except (ArithmeticError, IndexError, ValueError) as error:
        missing.append(f"{node.label}: its inputs and attributes do not fit together ({type(error).__name__}: {error})")


def _check_kind(result: Constant | gc.Tensor, kind: Kind | None) -> None:
    """Type and shape are those that the package onnx infers."""
    found = result.array if isinstance(result, Constant) else result
    dtype = "int64" if found.dtype == object else str(found.dtype)
    if kind and kind.dtype not in (None, dtype):
        raise Unsupported(f"a result of type {kind.dtype} (it would be {dtype})")
    shape = tuple(found.shape)
    if kind and kind.shape is not None and not (
        len(shape) == len(kind.shape)
        and all(w is None or not isinstance(e, int) or e == w for e, w in zip(shape, kind.shape, strict=True))
    ):
        raise Unsupported(f"a result of shape {kind.shape} (it would be {shape})")


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
