"""Gradients that the user writes: `gc.custom_grad`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from graphc.errors import DifferentiationError, NotationError
from graphc.frontend.collect import collect, current, shape_and_dtype
from graphc.frontend.expression import shown
from graphc.frontend.tensor import HandWritten, Tensor
from graphc.ir.show import expression
from graphc.passes.extension import below
from graphc.requests import check_floats, check_tensors, listed, pairs, refusal

__all__ = ["custom_grad"]


def custom_grad(tensor: Tensor, gradients: Mapping[Tensor, Callable[[Tensor], Tensor]]) -> Tensor:
    """Give a tensor a gradient that is used instead of the derived one.

    Args:
        tensor: T, a float tensor that is defined by statements.
        gradients: tensor X that T depends on → function of the tensor ``T.grad``, of T's shape, that returns a tensor of X's shape: what
            T contributes to ``X.grad``. It is called once, here, and may read T, X and anything else. The derivatives of T with respect
            to tensors that are not named remain derived.

    Returns:
        T itself.

    Raises:
        NotationError: T is no defined tensor, or a value is no function from a tensor to a tensor.
        DifferentiationError: T does not depend on X or has a hand-written gradient with respect to it already, or the tensor that a
            function returns has another shape than X.
        DtypeError: a tensor has no float dtype.

    >>> import graphc as gc
    >>> i = gc.index("i")
    >>> x, y, L = gc.tensor("x", gc.dim("N")), gc.tensor("y"), gc.tensor("L")
    >>> y[i] = gc.round(x[i])
    >>> gc.custom_grad(y, {x: lambda dy: dy})
    y
    >>> L[()] += y[i]**2
    >>> print(gc.loops(gc.grad(L, x)))
    for i:  y[i] = round(x[i])
    for i:  y.grad[i] += 2*y[i]
    for i:  x.grad[i] += y.grad[i]
    """
    text = f"custom_grad({shown(tensor)}, {listed(gradients)})"
    keys, functions = pairs(gradients, "custom_grad", "{X: lambda dT: …}", text)
    check_tensors([tensor, *keys], "custom_grad", text)
    if not tensor.statements:
        raise refusal(NotationError, f"{tensor.name} is an input; only a tensor that statements define can have a hand-written gradient.",
                      text, tensor, "define a tensor by it first (Y[i] = X[i]).")
    keys = current([tensor], keys)
    program = collect([tensor, *keys], "custom_grad")
    check_floats([tensor, *keys], text)
    adjoint = tensor.rules[0].adjoint if tensor.rules else Tensor(f"{tensor.name}.grad", tensor.shape, tensor.dtype, "adjoint")
    made = []
    for key, function in zip(keys, functions, strict=True):
        if program.name_of(tensor) not in below(program.graph, [program.name_of(key)]) or key is tensor:
            raise refusal(DifferentiationError, f"{tensor.name} does not depend on {key.name}.", text, key, "name tensors that it reads.")
        if any(rule.wrt is key for rule in tensor.rules):
            raise refusal(DifferentiationError, f"{tensor.name} has a hand-written gradient with respect to {key.name} already.", text, key,
                          "call gc.custom_grad once per tensor.")
        made.append(HandWritten(key, adjoint, _called(function, adjoint, key, text)))
    tensor.rules += made
    return tensor


def _called(function: Callable[[Tensor], Tensor], adjoint: Tensor, key: Tensor, text: str) -> Tensor:
    if not callable(function):
        raise refusal(NotationError, f"The gradient with respect to {key.name} is {shown(function)}, not a function.", text, function,
                      f"write a function of a tensor: {{{key.name}: lambda dT: …}}.")
    result = function(adjoint)
    if not isinstance(result, Tensor):
        raise refusal(NotationError, f"The function for {key.name} returned {shown(result)}, not a tensor.", text, key,
                      f"let it define a tensor of the shape of {key.name}, by loops, and return it.")
    collect([result], "custom_grad")
    check_floats([result], text)
    wanted, given = (f"({', '.join(map(expression, shape_and_dtype(t)[0]))})" for t in (key, result))
    if wanted != given:
        raise refusal(DifferentiationError, f"The function for {key.name} returned a tensor of shape {given}, but {key.name} has shape "
                      f"{wanted}.", text, key, f"return a tensor of the shape of {key.name}.")
    return result
