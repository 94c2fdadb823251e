"""Gradients of the user's tensors, as the user's tensors; and their numeric check."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.compile import compile_program, derived
from graphc.errors import DifferentiationError, DtypeError, GradientError, NotationError
from graphc.frontend.collect import collect, export
from graphc.frontend.location import here
from graphc.frontend.tensor import Tensor
from graphc.ir.dtypes import is_float
from graphc.ir.graph import Graph

__all__ = ["check_grad", "grad"]


def grad(output: Tensor, wrt: Any, seed: Tensor | None = None, strict: bool = False) -> Any:
    """The derivative of `output` with respect to tensors, as tensors that are defined by loops.

    Args:
        output: a scalar, or any float tensor if `seed` is given.
        wrt: a tensor or a list of tensors, inputs or defined ones.
        seed: a tensor of the shape of `output`; the result is the derivative of ``Σ seed·output``.
        strict: whether a tensor that `output` does not depend on is an error instead of getting zeros.

    Returns:
        A tensor ``X.grad`` of the shape of X, or a list of them.

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
    tensors = list(wrt) if isinstance(wrt, Sequence) else [wrt]
    for tensor in (output, *tensors, *([seed] if seed is not None else [])):
        if not isinstance(tensor, Tensor):
            raise NotationError(f"gc.grad takes tensors, not {type(tensor).__name__}.", at=((repr(tensor), "", here()),),
                                fix="pass the tensors themselves, without subscripts: gc.grad(L, [W, b]).")
    program = collect([output, *tensors, *([seed] if seed is not None else [])], "grad")
    graph = program.graph
    names = [program.name_of(t) for t in tensors]
    out = program.name_of(output)
    _check_types(graph, out, names)
    if seed is None and graph.tensor(out).shape:
        raise DifferentiationError(f"{output.name} is not a scalar; its gradient needs a seed.", at=((repr(output), output.name, here()),),
                                   fix=f"sum it to a scalar, or pass seed= a tensor of the shape of {output.name}.")
    if seed is not None and graph.tensor(program.name_of(seed)).shape != graph.tensor(out).shape:
        raise DifferentiationError(f"The seed {seed.name} does not have the shape of {output.name}.", at=((repr(seed), "", here()),),
                                   fix="declare it with the same extents.")
    if strict:
        _check_reached(graph, out, names)
    result, adjoints = derived(graph, out, tuple(names), program.name_of(seed) if seed is not None else None)
    made = export(result, program.handles, [adjoints[n] for n in names])
    return made if isinstance(wrt, Sequence) else made[0]


def _check_types(graph: Graph, out: str, names: list[str]) -> None:
    for name in (out, *names):
        dtype = graph.tensor(name).dtype
        if not is_float(dtype):
            raise DtypeError(f"{name} has dtype {dtype}; integer tensors are never differentiated.", at=((name, name, here()),),
                             fix="differentiate with respect to float tensors only.")


def _check_reached(graph: Graph, out: str, names: list[str]) -> None:
    from graphc.passes.prune import prune
    from dataclasses import replace

    reached = {t.name for t in prune(replace(graph, outputs=(out,))).tensors}
    for name in names:
        if name not in reached:
            raise DifferentiationError(f"{out} does not depend on {name}.", at=((name, name, here()),),
                                       fix="remove it from wrt, or drop strict=True to get zeros.")


def check_grad(output: Tensor, wrt: Any, *, step: float = 1e-4, tolerance: float = 1e-5, **arrays: Any) -> float:
    """Compare the derived gradient with central differences, element by element, in float64.

    Args:
        output: a scalar tensor.
        wrt: a tensor or a list of tensors, inputs of the program.
        step: of the differences, relative to max(1, |x|).
        tolerance: largest accepted difference, relative to the largest gradient element of the tensor (at least 1).
        arrays: one per input, by name; float arrays of any float type.

    Returns:
        The largest relative difference found.

    Raises:
        GradientError: an element differs by more; the message names it with both values.
    """
    tensors = list(wrt) if isinstance(wrt, Sequence) else [wrt]
    gradients = grad(output, tensors)
    function = compile_program([output, *gradients], target="interpret", precision="float64")
    given = {name: np.asarray(a, dtype="float64") if np.asarray(a).dtype.kind == "f" else np.asarray(a) for name, a in arrays.items()}
    _, *derived_values = function(**given)
    forward = compile_program(output, target="interpret", precision="float64")
    worst = 0.0
    for tensor, analytic in zip(tensors, derived_values, strict=True):
        base = given[tensor.name]
        scale = max(1.0, float(np.abs(analytic).max(initial=0.0)))
        for where in np.ndindex(*base.shape):
            width = step * max(1.0, abs(float(base[where])))
            values = []
            for sign in (1, -1):
                moved = base.copy()
                moved[where] += sign * width
                values.append(float(forward(**{n: a for n, a in {**given, tensor.name: moved}.items() if n in forward.inputs})))
            numeric = (values[0] - values[1]) / (2 * width)
            difference = abs(numeric - float(analytic[where])) / scale
            if not difference <= tolerance:
                place = f"{tensor.name}[{','.join(map(str, where))}]"
                raise GradientError(
                    f"The gradient of {output.name} with respect to {place} is {float(analytic[where])!r}, but central differences give {numeric!r} "
                    f"(relative difference {difference:.2g}).",
                    fix="if the point lies on a kink, move it; otherwise report the program.",
                )
            worst = max(worst, difference)
    return worst
