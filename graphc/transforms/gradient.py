"""Gradients of the user's tensors, as the user's tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from graphc.compile import derived
from graphc.errors import DifferentiationError, DtypeError, NotationError
from graphc.frontend.collect import collect, current, export
from graphc.frontend.expression import IndexVariable
from graphc.frontend.location import here
from graphc.frontend.tensor import Tensor
from graphc.frontend.unindexed import shown
from graphc.ir.dtypes import is_float
from graphc.ir.expr import Index, undistributing
from graphc.ir.graph import Graph
from graphc.ir.show import expression
from graphc.passes.prune import prune
from graphc.requests import listed
from graphc.structure import flatten

__all__ = ["grad", "with_seed"]


@undistributing
def grad(output: Tensor, wrt: Any, seed: Tensor | None = None, strict: bool = False) -> Any:
    """The derivative of `output` with respect to tensors, as tensors that are defined by loops.

    Args:
        output: a scalar, or any float tensor if `seed` is given.
        wrt: a tensor, or lists, tuples and dicts of them, inputs or defined ones.
        seed: a tensor of the shape of `output`; the result is the derivative of ``Σ seed·output``.
        strict: whether a tensor that `output` does not depend on is an error instead of getting zeros.

    Returns:
        A tensor ``X.grad`` of the shape of X for each, in the structure of `wrt`.

    Raises:
        DifferentiationError: `output` is no scalar and has no seed, or (strict) does not depend on a tensor.
        DtypeError: a tensor has no float dtype.

    >>> import graphc as gc
    >>> i = gc.index("i")
    >>> x, L = gc.tensor("x", gc.dim("N")), gc.tensor("L")
    >>> L[()] += x[i]**3
    >>> print(gc.loops(gc.grad(L, x)))
    for i:  x.grad[i] += 3*x[i]**2
    """
    tensors, rebuild = flatten(wrt)
    text = f"grad({shown(output)}, {listed(wrt)}{'' if seed is None else f', seed={shown(seed)}'})"
    for tensor in (output, *tensors, *([seed] if seed is not None else [])):
        if not isinstance(tensor, Tensor):
            raise NotationError(f"gc.grad takes tensors, not {shown(tensor)}.", at=((text, shown(tensor), here()),),
                                fix="pass the tensors themselves, without subscripts: gc.grad(L, [W, b]).")
    tensors = current([output], tensors)
    program = collect([output, *tensors, *([seed] if seed is not None else [])], "grad", rules=True)
    graph = program.graph
    names = [program.name_of(t) for t in tensors]
    out = program.name_of(output)
    _check_types(graph, (out, *names, *([program.name_of(seed)] if seed is not None else [])), text)
    if seed is None and graph.tensor(out).shape:
        raise DifferentiationError(f"{output.name} is not a scalar; its gradient needs a seed.", at=((text, output.name, here()),),
                                   fix=f"sum it to a scalar, or pass seed= a tensor of the shape of {output.name}.")
    if seed is not None:
        shapes = [graph.tensor(program.name_of(t)).shape for t in (seed, output)]
        if shapes[0] != shapes[1]:
            given, wanted = (f"({', '.join(map(expression, shape))})" for shape in shapes)
            raise DifferentiationError(f"The seed {seed.name} has shape {given}, but {output.name} has shape {wanted}.",
                                       at=((text, f"seed={seed.name}", here()),), fix=f"declare it with the extents of {output.name}.")
    if strict:
        _check_reached(graph, out, names, text)
    result, adjoints = derived(graph, out, tuple(names), program.name_of(seed) if seed is not None else None)
    return rebuild(export(result, program.handles, [adjoints[n] for n in names]))


def _check_types(graph: Graph, names: Sequence[str], text: str) -> None:
    for name in names:
        dtype = graph.tensor(name).dtype
        if not is_float(dtype):
            raise DtypeError(f"{name} has dtype {dtype}; integer tensors are never differentiated.", at=((text, name, here()),),
                             fix="differentiate with respect to float tensors only.")


def _check_reached(graph: Graph, out: str, names: Sequence[str], text: str) -> None:
    reached = {t.name for t in prune(replace(graph, outputs=(out,))).tensors}
    for name in names:
        if name not in reached:
            raise DifferentiationError(f"{out} does not depend on {name}.", at=((text, name, here()),),
                                       fix="remove it from wrt, or drop strict=True to get zeros.")


def with_seed(output: Tensor) -> tuple[Tensor, Tensor | None]:
    """A scalar whose derivative is the output's: ``Σ seed·output`` and the seed, or the output itself."""
    shape = output.shape
    if not shape:
        return output, None
    seed, total = Tensor(f"{output.name}.seed", shape, output.dtype), Tensor(output.name, ())
    indices = tuple(IndexVariable(Index(f"i{d}")) for d in range(len(shape)))
    total[()] += output[indices] * seed[indices]
    return total, seed
