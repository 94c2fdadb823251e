"""Transforms of programs into programs: forward mode, products with the Hessian, and what is built on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.compile import pushed
from graphc.frontend.collect import collect, current, export
from graphc.frontend.tensor import Tensor
from graphc.frontend.unindexed import shown
from graphc.gradient import grad
from graphc.requests import check_changes, check_scalar, check_tensors, listed, pairs, structure

__all__ = ["hvp", "jvp"]


def jvp(outputs: Any, tangents: Mapping[Tensor, Tensor]) -> Any:
    """How tensors change when others do: forward-mode differentiation (Jacobian times vector).

    Args:
        outputs: a float tensor, or a list, tuple or dict of them.
        tangents: tensor → its change, a tensor of the same shape. A defined tensor changes by that in addition to what the other
            changes make of it; an output that depends on none of the tensors does not change.

    Returns:
        The changes ``Y.dot`` of the outputs, in the structure of `outputs` (a list for a tuple).

    Raises:
        DifferentiationError: a change has another shape than its tensor.
        DtypeError: a tensor has no float dtype.

    >>> import graphc as gc
    >>> i = gc.index("i")
    >>> x, v, y = gc.tensor("x", gc.dim("N")), gc.tensor("v", gc.dim("N")), gc.tensor("y")
    >>> y[i] = gc.sin(x[i])
    >>> print(gc.loops(gc.jvp(y, {x: v})))
    for i:  y.dot[i] = v[i]*cos(x[i])
    """
    text = f"jvp({listed(outputs)}, {listed(tangents)})"
    tensors, rebuild = structure(outputs, "jvp", text)
    keys, changes = pairs(tangents, "jvp", "{X: V}", text)
    check_tensors([*tensors, *keys, *changes], "jvp", text)
    keys = current(tensors, keys)
    check_changes(tensors, keys, changes, "jvp", text)
    program = collect([*tensors, *keys, *changes], "jvp")
    names = [program.name_of(t) for t in tensors]
    graph, dots = pushed(program.graph, tuple(names), {program.name_of(k): program.name_of(v) for k, v in zip(keys, changes, strict=True)})
    return rebuild(export(graph, program.handles, [dots[n] for n in names], "jvp"))


def hvp(output: Tensor, vectors: Mapping[Tensor, Tensor]) -> dict[Tensor, Tensor]:
    """The Hessian times vectors: how the gradient changes (forward mode over reverse mode).

    Args:
        output: a scalar tensor.
        vectors: tensor → a tensor of the same shape.

    Returns:
        tensor → ``Σ ∂²output/∂tensor∂other · vector of other`` over all tensors of `vectors`, a tensor of the same shape.

    Raises:
        DifferentiationError: `output` is no scalar, or a vector has another shape than its tensor.
        DtypeError: a tensor has no float dtype.

    >>> import graphc as gc
    >>> i = gc.index("i")
    >>> x, v, L = gc.tensor("x", gc.dim("N")), gc.tensor("v", gc.dim("N")), gc.tensor("L")
    >>> L[()] += x[i]**3
    >>> print(gc.loops(gc.hvp(L, {x: v})[x]))
    for i:  x.grad.dot[i] += 6*v[i]*x[i]
    """
    text = f"hvp({shown(output)}, {listed(vectors)})"
    keys, changes = pairs(vectors, "hvp", "{X: V}", text)
    check_tensors([output, *keys, *changes], "hvp", text)
    check_scalar(output, "hvp", text)
    varied = current([output], keys)
    check_changes([output], varied, changes, "hvp", text)
    return dict(zip(keys, jvp(grad(output, varied), dict(zip(varied, changes, strict=True))), strict=True))
