"""What a program looks like: its loops and its summary, as text."""

from __future__ import annotations

from graphc.frontend.collect import collect
from graphc.frontend.tensor import Tensor
from graphc.ir.show import statement

__all__ = ["Text", "loops"]


class Text(str):
    """A text that a notebook shows as it is printed."""

    def __repr__(self) -> str:
        return str(self)


def loops(*tensors: Tensor) -> Text:
    """All statements that define the tensors, in an order in which they can be read from top to bottom.

    >>> import graphc as gc
    >>> b, i, j = gc.indices("b i j")
    >>> X, A, U = gc.tensor("X", 8, 4), gc.tensor("A", 4, 3), gc.tensor("U")
    >>> U[b, i] += X[b, j] * A[j, i]
    >>> print(gc.loops(U))
    for b,i,j:  U[b,i] += X[b,j]*A[j,i]
    """
    graph = collect(tensors, "loops").graph
    definitions = graph.definitions()
    return Text("\n".join(statement(s) for name in graph.order() for s in definitions[name]))
