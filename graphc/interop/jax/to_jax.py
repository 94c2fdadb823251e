"""`gc.to_jax`: a program as a function on JAX's arrays. JAX is imported when it is called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import graphc as gc
from graphc.requests import check_tensors, listed, refusal
from graphc.structure import flatten

if TYPE_CHECKING:
    from graphc.interop.jax.function import JaxFunction

__all__ = ["to_jax"]


def to_jax(outputs: Any, inputs: Sequence[gc.Tensor] | None = None) -> JaxFunction:
    """A function on JAX arrays that ``jit``, ``grad``, ``jvp``, ``vmap`` and what they are combined to understand.

    It runs on the CPU, on XLA's own buffers, called through the foreign function interface. Derivatives and batches are programs that
    `gc.jvp`, `gc.grad` and `gc.vmap` derive when JAX first asks for them.

    Args:
        outputs: a tensor, or lists, tuples and dicts of tensors; results come back in the same structure.
        inputs: the order of positional arguments; the remaining ones are given by name, or in a dictionary that comes
            first and may hold more.

    Raises:
        NotationError: there is no tensor, or something else than tensors.
        TargetError: JAX is not installed.
        GraphcError: as `graphc.compile`.

    >>> import graphc as gc, jax, jax.numpy as jnp
    >>> n, m, k = gc.indices("n m k")
    >>> N, M, K = gc.dims("N M K")
    >>> X, Y, D = gc.tensor("X", N, K), gc.tensor("Y", M, K), gc.tensor("D")
    >>> D[n, m] += gc.abs(X[n, k] - Y[m, k])
    >>> distances = gc.to_jax(D, inputs=[X, Y])
    >>> jax.grad(lambda x: distances(x, jnp.array([[2., 2.]])).sum())(jnp.array([[0., 1.]]))
    Array([[-1., -1.]], dtype=float32)
    """
    text = f"to_jax({listed(outputs)}, …)"
    tensors, structure = flatten(outputs)
    check_tensors(tensors, "to_jax", text)
    if not tensors:
        raise refusal(gc.NotationError, "gc.to_jax got no tensor.", text, listed(outputs), "pass the results of the program.")
    try:
        from graphc.interop.jax.function import JaxFunction
    except ModuleNotFoundError as error:
        if error.name != "jax":
            raise
        raise refusal(gc.TargetError, "JAX is not installed.", text, "to_jax", "pip install jax") from None
    return JaxFunction(tensors, structure, inputs, outputs)
