"""The same program for many inputs at once: `gc.vmap`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import sympy as sp

from graphc.errors import NotationError, ShapeError
from graphc.frontend.collect import Program, collect, dependents, export, shape_and_dtype
from graphc.frontend.expression import Expr, IndexVariable
from graphc.frontend.tensor import Tensor
from graphc.frontend.unindexed import shown
from graphc.ir.affine import is_affine
from graphc.ir.expr import Index, Size, undistributed
from graphc.ir.graph import fresh_name
from graphc.ir.show import expression
from graphc.ir.tree import contains, sizes_of
from graphc.passes.batch import batch
from graphc.requests import check_tensors, listed, pairs, refusal
from graphc.structure import flatten

__all__ = ["vmap"]


def vmap(outputs: Any, inputs: Mapping[Tensor, Any]) -> Any:
    """The program run for many values of some inputs, as a program with one more loop.

    Args:
        outputs: a tensor, or lists, tuples and dicts of them.
        inputs: input tensor → what its new first dimension is: a size, an int, an index (whose range it takes; one without a range
            makes a size of its name in capitals), or a tensor that is read instead. All name one and the same dimension.

    Returns:
        The outputs with the new dimension in front, in the structure of `outputs`. The program has inputs of the
        same names, with the new dimension in front. A transform of the result that names the original input means the new one.

    Raises:
        NotationError: a key is no input of the outputs, or a value says no extent.
        ShapeError: the extents differ, or a tensor does not fit.

    >>> import graphc as gc
    >>> i, j, B = gc.index("i"), gc.index("j"), gc.dim("B")
    >>> x, A, y = gc.tensor("x", 4), gc.tensor("A", 3, 4), gc.tensor("y")
    >>> y[i] += A[i, j] * x[j]
    >>> gc.vmap(y, {x: B})
    y(B, 3)
    >>> print(gc.loops(gc.vmap(y, {x: B})))
    for b,i,j:  y[b,i] += A[i,j]*x[b,j]
    """
    text = f"vmap({listed(outputs)}, {listed(inputs)})"
    tensors, rebuild = flatten(outputs)
    keys, values = pairs(inputs, "vmap", "{X: B}", text)
    check_tensors([*tensors, *keys], "vmap", text)
    program = collect(tensors, "vmap", rules=True)
    name, extent = _dimension(program, keys, values, text)
    chosen = {program.name_of(k): (k, v) for k, v in zip(keys, values, strict=True) if program.name_of(k)}
    graph = replace(program.graph, outputs=tuple(dict.fromkeys(map(program.name_of, tensors))))
    made, forms = undistributed(lambda: batch(graph, chosen, [(name, extent)]))
    moved = dependents(program.handles.values(), map(program.handles.__getitem__, chosen))
    kept = {n: t for n, t in program.handles.items() if made.tensor(n) == graph.tensor(n) and t not in moved}
    read = {n: v for n, (_, v) in chosen.items() if isinstance(v, Tensor)}
    wanted = [*(forms[program.name_of(t)] for t in tensors), *chosen]
    found = export(made, kept | read, wanted, "vmap", {new: old for old, new in forms.items()})
    for n, tensor in zip(chosen, found[len(tensors) :], strict=True):
        if n not in read:
            tensor.batched_from = chosen[n][0]
    return rebuild(found[: len(tensors)])


def _dimension(program: Program, keys: Sequence[Tensor], values: Sequence[Any], text: str) -> tuple[str, sp.Expr]:
    """The name of the new loop and its extent."""
    found: list[tuple[str, sp.Expr]] = []
    for key, value in zip(keys, values, strict=True):
        if key.statements:
            raise refusal(NotationError, f"{key.name} is defined by statements; gc.vmap gives a dimension to inputs.", text, key,
                          f"name the inputs that {key.name} is computed from.")
        found.append(_read_instead(key, value, text) if isinstance(value, Tensor) else _named(program, key, value, text))
        if sp.expand(found[0][1] - found[-1][1]) != 0:
            extents = " and ".join(expression(extent) for _, extent in (found[0], found[-1]))
            raise refusal(ShapeError, f"{keys[0].name} and {key.name} would get different new dimensions, {extents}.", text,
                          f"{key.name}: {shown(value)}", "call gc.vmap once per new dimension.")
    return next((f for f in found if f[0]), ("b", found[0][1]))


def _named(program: Program, key: Tensor, value: Any, text: str) -> tuple[str, sp.Expr]:
    lower: sp.Expr = sp.Integer(0)
    name, extent = "", None
    if isinstance(value, IndexVariable):
        name = value.name
        if value.node in value.ranges:
            lower, extent = value.ranges[value.node]
        else:
            taken = {str(s) for t in program.graph.tensors for e in t.shape for s in sizes_of(e)}
            extent = Size(fresh_name(name.upper(), taken))
    elif isinstance(value, Expr) and is_affine(value.node) and not contains(value.node, Index):
        extent = value.node
    elif isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= 0:
        extent = sp.Integer(int(value))
    if extent is None or lower != 0:
        what = "is no extent" if extent is None else "does not begin at 0"
        raise refusal(NotationError, f"{shown(value)} {what} for the new dimension of {key.name}.", text, f"{key.name}: {shown(value)}",
                      f'give a size, an int, or an index: gc.vmap(…, {{{key.name}: gc.index("b", 8)}}).')
    return name, extent


def _read_instead(key: Tensor, value: Tensor, text: str) -> tuple[str, sp.Expr]:
    (wanted, dtype), (given, given_dtype) = shape_and_dtype(key), shape_and_dtype(value)
    if given[1:] != wanted or not given or dtype != given_dtype:
        has, needs = (f"({', '.join(map(expression, shape))})" for shape in (given, (sp.Symbol("…"), *wanted)))
        raise refusal(ShapeError, f"{value.name} has shape {has} and dtype {given_dtype}; in the place of {key.name} it needs {needs} and "
                      f"{dtype}.", text, f"{key.name}: {value.name}", f"declare it with the extents of {key.name} behind the new one.")
    return "", given[0]
