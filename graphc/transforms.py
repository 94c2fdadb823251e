"""Transforms of programs into programs: forward mode, products with the Hessian, and what is built on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphc.compile import pushed
from graphc.errors import DifferentiationError, DtypeError, GraphcError, NotationError
from graphc.frontend.collect import collect, export, shape_and_dtype
from graphc.frontend.location import here
from graphc.frontend.tensor import Tensor
from graphc.frontend.unindexed import shown
from graphc.gradient import grad
from graphc.ir.dtypes import is_float
from graphc.ir.show import expression

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
    text = f"jvp({_listed(outputs)}, {_listed(tangents)})"
    tensors, rebuild = _structure(outputs, "jvp", text)
    keys, changes = _pairs(tangents, "jvp", "{X: V}", text)
    _check_all([*tensors, *keys, *changes], "jvp", text)
    _check_changes(tensors, keys, changes, "jvp", text)
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
    text = f"hvp({shown(output)}, {_listed(vectors)})"
    keys, changes = _pairs(vectors, "hvp", "{X: V}", text)
    _check_all([output, *keys, *changes], "hvp", text)
    _check_scalar(output, "hvp", text)
    _check_changes([output], keys, changes, "hvp", text)
    return dict(zip(keys, jvp(grad(output, keys), vectors), strict=True))


# ---------------------------------------------------------------------------------------------------------------- arguments


def _listed(value: Any) -> str:
    """What was passed, as an error message writes it."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{shown(k)}: {shown(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(shown, value)) + "]"
    return shown(value)


def _refusal(kind: type[GraphcError], what: str, text: str, culprit: Any, fix: str) -> GraphcError:
    return kind(what, at=((text, culprit if isinstance(culprit, str) else shown(culprit), here()),), fix=fix)


def _structure(outputs: Any, verb: str, text: str) -> tuple[list[Any], Callable[[Sequence[Tensor]], Any]]:
    """The tensors of a tensor, list, tuple or dict, and the function that puts as many others into its place."""
    if isinstance(outputs, Mapping):
        keys = list(outputs)
        return list(outputs.values()), lambda made: dict(zip(keys, made, strict=True))
    if isinstance(outputs, list | tuple):
        return list(outputs), list
    return [outputs], lambda made: made[0]


def _pairs(given: Any, verb: str, form: str, text: str) -> tuple[list[Any], list[Any]]:
    if not isinstance(given, Mapping) or not given:
        raise _refusal(NotationError, f"gc.{verb} takes a dict from tensors, not {_listed(given)}.", text, _listed(given),
                       f"write gc.{verb}(…, {form}) with a tensor X of the program.")
    return list(given), list(given.values())


def _check_all(tensors: Sequence[Any], verb: str, text: str) -> None:
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            raise _refusal(NotationError, f"gc.{verb} takes tensors, not {shown(tensor)}.", text, tensor,
                           "pass the tensors themselves, without subscripts.")


def _check_scalar(output: Tensor, verb: str, text: str) -> None:
    if shape_and_dtype(output)[0]:
        raise _refusal(DifferentiationError, f"{output.name} is not a scalar; gc.{verb} is about second derivatives of a scalar.", text,
                       output, "sum it to a scalar first.")


def _check_floats(tensors: Sequence[Tensor], text: str) -> None:
    for tensor in tensors:
        dtype = shape_and_dtype(tensor)[1]
        if not is_float(dtype):
            raise _refusal(DtypeError, f"{tensor.name} has dtype {dtype}; integer tensors are never differentiated.", text, tensor,
                           "differentiate float tensors with respect to float tensors only.")


def _check_changes(tensors: Sequence[Tensor], keys: Sequence[Tensor], changes: Sequence[Tensor], verb: str, text: str) -> None:
    collect([*tensors, *keys, *changes], verb)
    _check_floats([*tensors, *keys, *changes], text)
    for key, change in zip(keys, changes, strict=True):
        wanted, given = (shape_and_dtype(t)[0] for t in (key, change))
        if wanted != given:
            shapes = [f"({', '.join(map(expression, shape))})" for shape in (given, wanted)]
            raise _refusal(DifferentiationError, f"The change {change.name} of {key.name} has shape {shapes[0]}, but {key.name} has shape "
                           f"{shapes[1]}.", text, f"{key.name}: {change.name}", f"declare it with the extents of {key.name}.")
