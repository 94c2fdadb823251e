"""Transforms of programs into programs: forward mode, products with the Hessian, and what is built on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sympy as sp

from graphc.compile import pushed, swept
from graphc.frontend.collect import collect, current, export
from graphc.frontend.tensor import Tensor
from graphc.frontend.unindexed import shown
from graphc.requests import check_changes, check_floats, check_scalar, check_tensors, listed, pairs
from graphc.structure import flatten
from graphc.transforms.gradient import grad

__all__ = ["hessian", "hvp", "jacobian", "jvp"]


def jvp(outputs: Any, tangents: Mapping[Tensor, Tensor]) -> Any:
    """How tensors change when others do: forward-mode differentiation (Jacobian times vector).

    Args:
        outputs: a float tensor, or lists, tuples and dicts of them.
        tangents: tensor → its change, a tensor of the same shape. A defined tensor changes by that in addition to what the other
            changes make of it; an output that depends on none of the tensors does not change.

    Returns:
        The changes ``Y.dot`` of the outputs, in the structure of `outputs`.

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
    tensors, rebuild = flatten(outputs)
    keys, changes = pairs(tangents, "jvp", "{X: V}", text)
    check_tensors([*tensors, *keys, *changes], "jvp", text)
    keys = current(tensors, keys)
    check_changes(tensors, keys, changes, "jvp", text)
    program = collect([*tensors, *keys, *changes], "jvp", rules=True)
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


def jacobian(outputs: Any, wrt: Any) -> Any:
    """All derivatives of the elements of tensors with respect to the elements of others.

    Args:
        outputs: a float tensor, or lists, tuples and dicts of them.
        wrt: a tensor, or lists, tuples and dicts of them, inputs or defined ones.

    Returns:
        Per output and tensor X a tensor ``Y.jacobian`` of shape Y.shape + X.shape: the structure of `outputs` with the structure of
        `wrt` in the place of each. Forward mode where X has at most as many elements as Y, reverse mode elsewhere.

    Raises:
        DtypeError: a tensor has no float dtype.

    >>> import graphc as gc
    >>> p, r = gc.index("p"), gc.index("r")
    >>> x, w, y = gc.tensor("x", 8), gc.tensor("w", 3), gc.tensor("y")
    >>> y[p] += x[p + r] * w[r]
    >>> print(gc.loops(gc.jacobian(y, x)))
    for p,r:  y.jacobian[p,p+r] += w[r]
    """
    text = f"jacobian({listed(outputs)}, {listed(wrt)})"
    tensors, rebuild = flatten(outputs)
    chosen, within = flatten(wrt)
    check_tensors([*tensors, *chosen], "jacobian", text)
    varied = current(tensors, chosen)
    check_floats([*tensors, *varied], text)
    return rebuild([within([_jacobian(tensor, x, f"{tensor.name}.jacobian") for x in varied]) for tensor in tensors])


def hessian(output: Tensor, wrt: Any) -> Any:
    """All second derivatives of a scalar: the Jacobian of its gradient (forward mode over reverse mode).

    Args:
        output: a scalar tensor.
        wrt: a tensor X, or lists, tuples and dicts of them, inputs or defined ones.

    Returns:
        A tensor ``L.hessian`` of shape X.shape + X.shape; of several, the structure of `wrt` for the first derivative with the structure
        of `wrt` in the place of each for the second.

    Raises:
        DifferentiationError: `output` is no scalar.
        DtypeError: a tensor has no float dtype.

    >>> import graphc as gc
    >>> i = gc.index("i")
    >>> x, L = gc.tensor("x", gc.dim("N")), gc.tensor("L")
    >>> L[()] += x[i]**3
    >>> print(gc.loops(gc.hessian(L, x)))
    for i:  L.hessian[i,i] += 6*x[i]
    """
    text = f"hessian({shown(output)}, {listed(wrt)})"
    chosen, rebuild = flatten(wrt)
    check_tensors([output, *chosen], "hessian", text)
    check_scalar(output, "hessian", text)
    varied = current([output], chosen)
    check_floats([output, *varied], text)
    return rebuild([rebuild([_jacobian(d, x, f"{output.name}.hessian") for x in varied]) for d in grad(output, varied)])


def _jacobian(output: Tensor, wrt: Tensor, name: str) -> Tensor:
    program = collect([output, wrt], "jacobian", rules=True)
    of, by = program.name_of(output), program.name_of(wrt)
    graph, made = swept(program.graph, of, by, _forward(program.graph.tensor(of).shape, program.graph.tensor(by).shape))
    return export(graph, program.handles, [made], "jacobian", {made: name})[0]


def _forward(output: Sequence[sp.Expr], wrt: Sequence[sp.Expr]) -> bool:
    """Whether there are at most as many seeds in forward mode as in reverse mode, symbolic extents counting as large and equal."""
    numbers = []
    for shape in (wrt, output):
        fixed = [e for e in shape if e.is_Integer]
        numbers.append((len(shape) - len(fixed), sp.prod(fixed)))
    return bool(numbers[0] <= numbers[1])
