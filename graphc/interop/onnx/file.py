"""ONNX files: read, checked, and what their types and shapes tell of each value."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from typing import Any

import graphc as gc
from graphc.interop.onnx.node import Kind
from graphc.interop.onnx.types import NAMES
from graphc.requests import refusal

__all__ = ["inferred", "opened", "shown", "unreadable"]

SMALL = 1024
"""Constants of so many elements can be axes, extents and limits."""


def opened(model: Any) -> Any:
    """A file, bytes or a `ModelProto` as a `ModelProto` without functions.

    Raises:
        ArgumentError: the package onnx is not installed, there is no such file, or it is no valid model.
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:
        raise unreadable(model, "gc.from_onnx needs the package onnx.", "pip install 'graphc[onnx]'.") from None
    try:
        if isinstance(model, onnx.ModelProto):
            proto = model
        elif isinstance(model, bytes):
            proto = onnx.load_model_from_string(model)
        elif isinstance(model, str | os.PathLike):
            proto = onnx.load(os.fspath(model))
        else:
            raise unreadable(model, f"gc.from_onnx takes a path, not {shown(model)}.",
                             "give the path of a file, its bytes, or an onnx.ModelProto.")
        onnx.checker.check_model(os.fspath(model) if isinstance(model, str | os.PathLike) else proto)
        if proto.functions:
            import onnx.inliner

            proto = onnx.inliner.inline_local_functions(proto)
    except OSError as error:
        raise unreadable(model, f"{shown(model)} cannot be read: {error.strerror or error}.", "check the path.") from error
    except DecodeError as error:
        raise unreadable(model, f"{shown(model)} is no ONNX file.", "check what is in it.") from error
    except (onnx.checker.ValidationError, RuntimeError, ValueError) as error:
        raise _invalid(model, " " + " ".join(str(error).split())[:200]) from error
    return proto


def inferred(proto: Any, sizes: Mapping[str, int], model: Any) -> dict[str, Kind]:
    """Type and shape of the value of every name, as far as the package onnx infers them.

    Raises:
        ArgumentError: the operands of a node do not fit together.
    """
    import onnx

    small = [i for i in proto.graph.initializer if math.prod(i.dims) <= SMALL]
    large = [onnx.helper.make_tensor_value_info(i.name, i.data_type, i.dims) for i in proto.graph.initializer if math.prod(i.dims) > SMALL]
    graph = onnx.GraphProto(name="net", node=proto.graph.node, initializer=small)
    known = {i.name for i in proto.graph.initializer}
    graph.input.extend([*(v for v in proto.graph.input if v.name not in known), *large])
    graph.output.extend(onnx.ValueInfoProto(name=v.name) for v in proto.graph.output)
    for dimension in (d for value in graph.input for d in value.type.tensor_type.shape.dim):
        if dimension.dim_param in sizes:
            dimension.dim_value = int(sizes[dimension.dim_param])
    version = max(proto.ir_version, 4)  # before, initializers were inputs
    typed = onnx.helper.make_model(graph, opset_imports=proto.opset_import, ir_version=version)
    try:
        found = onnx.shape_inference.infer_shapes(typed, check_type=True, strict_mode=True).graph
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        lines = [re.sub(r"\[\w+Error\] ?|Inference error\(s\): ", "", line) for line in str(error).splitlines()]
        named = [re.sub(r"^\(op_type:(\w+)(?:, node name: (.*?))?\): ", _label, line) for line in lines if line]
        causes = [line for line in named if not line.endswith("but instead is null")]  # others lack the results of these
        raise _invalid(model, "".join(f"\n  - {line}" for line in causes or named)) from error
    return {value.name: _kind(value.type.tensor_type) for value in [*found.output, *found.value_info]}


def _kind(tensor: Any) -> Kind:
    shape = tuple(d.dim_value if d.HasField("dim_value") and d.dim_value >= 0 else None for d in tensor.shape.dim)
    return Kind(NAMES.get(tensor.elem_type), shape if tensor.HasField("shape") else None)


def shown(model: Any) -> str:
    """The model as an error message writes it."""
    return f'"{os.fspath(model)}"' if isinstance(model, str | os.PathLike) else f"<{type(model).__name__}>"


def unreadable(model: Any, what: str, fix: str) -> gc.ArgumentError:
    return refusal(gc.ArgumentError, what, f"from_onnx({shown(model)})", shown(model), fix)


def _invalid(model: Any, what: str) -> gc.ArgumentError:
    return unreadable(model, f"{shown(model)} is no valid ONNX model:{what}", "export it again.")


def _label(found: re.Match[str]) -> str:
    return " ".join(filter(None, found.groups())) + ": "
