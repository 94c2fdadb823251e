"""Less memory for recurrences: `gc.checkpoint`."""

from __future__ import annotations

from numbers import Integral

from graphc.errors import NotationError
from graphc.frontend.expression import shown
from graphc.frontend.tensor import Tensor
from graphc.requests import check_tensors, refusal

__all__ = ["checkpoint"]


def checkpoint(tensor: Tensor, every: int) -> Tensor:
    """Keep only every k-th step of a recurrence in memory; its gradient computes the steps between them once more.

    Values and gradients stay the same. Of T steps of a tensor, and of what is computed with it step by step, there are T/k + k at
    a time, for one more forward pass; k = √T needs the least. All tensors of its recurrence, and others that go along with it, are
    treated in the same way. The target "interpret" keeps everything.

    Args:
        tensor: h, a tensor that is computed from its own earlier (or later) elements.
        every: k, the number of steps, at least 1.

    Returns:
        h itself.

    Raises:
        NotationError: h is no tensor that statements define, or k no positive int.

    `graphc.compile` raises a `CompileError` where h is no recurrence, or where a statement needs all of its steps at a time.

    >>> import numpy as np, graphc as gc
    >>> t = gc.index("t")
    >>> x, h, L = gc.tensor("x", gc.dim("T")), *gc.tensors("h L")
    >>> h[t] = gc.sin(gc.where(t > 0, h[t-1], 0) + x[t])
    >>> L[()] += h[t]**2
    >>> gc.checkpoint(h, every=10)
    h
    >>> f = gc.compile(gc.grad(L, x), memory_limit="1 kB")
    >>> f(x=np.ones(100, "float32")).shape
    (100,)
    """
    text = f"checkpoint({shown(tensor)}, every={shown(every)})"
    check_tensors([tensor], "checkpoint", text)
    if not tensor.statements:
        raise refusal(NotationError, f"{tensor.name} is an input; only a recurrence has steps that can be computed again.", text, tensor,
                      f"define {tensor.name} by statements first, one of which reads {tensor.name}.")
    if isinstance(every, bool) or not isinstance(every, Integral) or every < 1:
        raise refusal(NotationError, f"every={shown(every)} is no number of steps.", text, f"every={shown(every)}",
                      "give an int of at least 1; the square root of the number of steps needs the least memory.")
    tensor.every = int(every)
    return tensor
