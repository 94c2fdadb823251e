"""The results of a call in arrays of the caller's: ``out=``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from graphc.calls.signature import Signature
from graphc.errors import ArgumentError
from graphc.interpret import size_value
from graphc.ir.graph import Graph

__all__ = ["results_in"]


def results_in(
    graph: Graph, signature: Signature, place: Any, out: Any, sizes: Mapping[sp.Basic, int]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arrays for the results by name, and the caller's objects that they belong to.

    Args:
        place: where the arrays of the call lie, as `graphc.calls.arrays.Host`.
        out: nested as the results are.
        sizes: of the call.

    Raises:
        ArgumentError: another structure, shape or type than that of the results, or arrays that cannot be written or share memory.
    """
    names = signature.outputs
    layout = signature.structure(range(len(names)))
    arrays = _alike(layout, out)
    if arrays is None:
        form = {dict: f"a dict with the keys {', '.join(map(repr, layout))}"} if isinstance(layout, dict) else {}
        wanted = form.get(type(layout),
                          "one array" if isinstance(layout, int) else f"a list of {len(layout)} array{'s' * (len(layout) != 1)}")
        raise ArgumentError(f"out= does not have the structure of the results, which is {wanted}.", fix=f"pass {wanted}.")
    targets: dict[str, Any] = {}
    for name, value in zip(names, arrays, strict=True):
        tensor, array = graph.tensor(name), place.array(f"out= for {name}", value)
        shape = tuple(size_value(e, sizes) for e in tensor.shape)
        if array is None or array.shape != shape or array.dtype != tensor.dtype or place.fault(array):
            found = f"a {type(value).__name__}"
            if array is not None:
                found = f"{place.fault(array) or 'writable'} with shape {array.shape} and dtype {array.dtype}"
            raise ArgumentError(f"out= for {name} must be a writable array of shape {shape} and dtype {tensor.dtype}; it is {found}.",
                                fix=f"use {place.empty(shape, tensor.dtype)}.")
        if name in targets or any(place.overlap(array, other, exactly=True) for other in targets.values()):
            raise ArgumentError(f"The arrays in out= share memory: {', '.join([*targets, name])}.",
                                fix="give each result an array of its own.")
        targets[name] = array
    return targets, dict(zip(names, arrays, strict=True))


def _alike(layout: Any, given: Any) -> list[Any] | None:
    """The parts of something that is nested as `layout` is; None if it is not."""
    if isinstance(layout, dict):
        if not isinstance(given, Mapping) or set(given) != set(layout):
            return None
        pairs = [(part, given[key]) for key, part in layout.items()]
    elif isinstance(layout, list | tuple):
        if not isinstance(given, list | tuple) or len(given) != len(layout):
            return None
        pairs = list(zip(layout, given, strict=True))
    else:
        return None if isinstance(given, Mapping | list | tuple) else [given]
    inner = [_alike(*pair) for pair in pairs]
    return None if any(parts is None for parts in inner) else [part for parts in inner if parts is not None for part in parts]
