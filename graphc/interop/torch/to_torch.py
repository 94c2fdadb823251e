"""`gc.to_torch`: a program as a function on PyTorch's tensors. PyTorch is imported when it is called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import graphc as gc
from graphc.requests import check_tensors, listed, refusal
from graphc.structure import flatten

if TYPE_CHECKING:
    from graphc.interop.torch.function import TorchFunction

__all__ = ["to_torch"]


def to_torch(outputs: Any, inputs: Sequence[gc.Tensor] | None = None, name: str | None = None) -> TorchFunction:
    """A function on PyTorch tensors, registered as a custom operator whose gradient is the derived one.

    It works with autograd (to any order), ``torch.compile``, ``torch.autograd.gradcheck``, autocast and ``torch.library.opcheck``. Tensors
    on the CPU are read and results are made without a copy; tensors on a GPU are computed there (`target="cuda"`). The gradient is
    derived when an argument first requires one, and compiled when it is first run; it reads values that the forward program keeps for it.

    Args:
        outputs: a tensor, or lists, tuples and dicts of tensors; results come back in the same structure.
        inputs: the order of positional arguments; the remaining ones, such as parameters, are given by name, or in a dictionary that comes
            first and may hold more.
        name: of the operator, by default that of the first output. The operator is ``torch.ops.graphc.<name>_<hash>``; the hash
            belongs to the program, because PyTorch's caches on disk know operators by name.

    Raises:
        TargetError: PyTorch is not installed.
        NotationError: there is no tensor, or something else than tensors.
        ArgumentError: the name is none, or there are no inputs.
        GraphcError: as `graphc.compile`.

    >>> import graphc as gc, torch
    >>> n, m, k = gc.indices("n m k")
    >>> N, M, K = gc.dims("N M K")
    >>> X, Y, D = gc.tensor("X", N, K), gc.tensor("Y", M, K), gc.tensor("D")
    >>> D[n, m] += gc.abs(X[n, k] - Y[m, k])
    >>> distances = gc.to_torch(D, inputs=[X, Y])
    >>> x = torch.tensor([[0., 1.]], requires_grad=True)
    >>> distances(x, torch.tensor([[2., 2.]])).sum().backward()
    >>> x.grad
    tensor([[-1., -1.]])
    """
    text = f"to_torch({listed(outputs)}, …)"
    tensors, structure = flatten(outputs)
    check_tensors(tensors, "to_torch", text)
    if not tensors:
        raise refusal(gc.NotationError, "gc.to_torch got no tensor.", text, listed(outputs), "pass the results of the program.")
    chosen = name if name is not None else tensors[0].name.replace(".", "_")
    if not isinstance(chosen, str) or not chosen.isidentifier():
        raise refusal(gc.ArgumentError, f"{name!r} is no name for an operator of PyTorch.", f"to_torch(…, name={name!r})", repr(name),
                      'write letters, digits and _: name="distances".')
    try:
        from graphc.interop.torch.function import TorchFunction
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise refusal(gc.TargetError, "PyTorch is not installed.", text, "to_torch", "pip install torch") from None
    program = gc.compile(tensors, inputs=inputs)
    if not program.inputs:
        raise refusal(gc.ArgumentError, "The program has no inputs; what it computes does not depend on tensors of PyTorch.", text,
                      "to_torch", "call gc.compile(…)() once and keep the result.")
    return TorchFunction(program, tensors, structure, chosen, (outputs, inputs))
