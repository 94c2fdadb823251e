"""Arguments that are made up, to run a program of which only sizes are known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from graphc.calls.arrays import new_array, size_values
from graphc.errors import ArgumentError
from graphc.interpret import size_value
from graphc.ir.expr import Access
from graphc.ir.graph import Graph
from graphc.ir.tensor import Tensor
from graphc.ir.tree import accesses, sizes_of
from graphc.program import Program

__all__ = ["trial_arrays"]


def trial_arrays(program: Program, sizes: Mapping[str, int], given: Mapping[str, Any] | None = None, seed: int = 0) -> dict[str, Any]:
    """An array for each argument of a program: parameters as they are initialised, other floats normal, integers where they may point.

    Args:
        program: that is to be called.
        sizes: the value of each symbolic size, by name.
        given: arrays that are taken as they are.
        seed: of the random numbers.

    Raises:
        ArgumentError: a size is missing or unknown, or an array is given that the program does not take.

    >>> import graphc as gc
    >>> n, c = gc.indices("n c")
    >>> x, label, y = gc.tensor("x", gc.dim("N"), 3), gc.tensor("label", gc.dim("N"), dtype="int64"), gc.tensor("y")
    >>> y[n] = x[n, label[n]]
    >>> {name: (array.shape, int(array.max())) for name, array in trial_arrays(gc.compile(y, target="interpret"), {"N": 99}).items()}
    {'x': ((99, 3), 3), 'label': ((99,), 2)}
    """
    given = given or {}
    tensors = [t for t in program.signature.inputs if t.name not in given]
    for name in given:
        if name not in program.inputs:
            raise ArgumentError(f"The program has no argument {name}; it takes {', '.join(program.inputs) or 'none'}.", fix="leave it out.")
    needed = sorted({str(size) for t in tensors for extent in t.shape for size in sizes_of(extent)})
    known = {str(size) for t in program.signature.inputs for extent in t.shape for size in sizes_of(extent)}
    missing, unknown = [name for name in needed if name not in sizes], [name for name in sizes if name not in known]
    if missing or unknown:
        what = f"The size {missing[0]} is not given." if missing else f"The program has no size {unknown[0]}."
        all_of_them = ", ".join(sorted(known)) or "all numbers"
        raise ArgumentError(what, fix=f"its sizes are {all_of_them}; write --size {(missing or ['N'])[0]}=64.")
    values, generator, bounds = size_values(sizes), np.random.default_rng(seed), _bounds(program.graph)
    updated = dict(program.signature.updates)
    made: dict[str, Any] = {}
    for tensor in tensors:
        if tensor.kind == "parameter" or tensor.name in updated:
            made[tensor.name] = new_array(tensor, generator, sizes)
        else:
            made[tensor.name] = _array(tensor, [size_value(e, values) for e in bounds.get(tensor.name, [])], values, generator)
    return {**given, **made}


def _array(tensor: Tensor, bounds: list[int], values: dict[sp.Basic, int], generator: np.random.Generator) -> NDArray[Any]:
    shape, dtype = tuple(size_value(e, values) for e in tensor.shape), np.dtype(tensor.dtype)
    if dtype.kind in "iu":
        return generator.integers(0, max(min(bounds, default=1), 1), shape).astype(dtype)
    if dtype.kind == "b":
        return generator.integers(0, 2, shape).astype(dtype)
    return np.asarray(generator.standard_normal(shape)).astype(dtype)


def _bounds(graph: Graph) -> dict[str, list[sp.Expr]]:
    """The extents of the dimensions in which elements of an integer tensor are subscripts."""
    found: dict[str, list[sp.Expr]] = {}
    for statement in graph.statements:
        places = [(a.tensor, a.subscripts) for a in accesses(statement.value)] + [(statement.target, statement.subscripts)]
        for name, subscripts in places:
            for extent, subscript in zip(graph.tensor(name).shape, subscripts, strict=False):
                if isinstance(subscript, Access):
                    found.setdefault(subscript.tensor, []).append(extent)
    return found
