"""What a program looks like as text: its loops, and the same as formulas."""

from __future__ import annotations

from typing import Any

from graphc.frontend.collect import collect
from graphc.ir.expr import undistributing
from graphc.ir.latex import statement_latex
from graphc.ir.show import statement
from graphc.requests import shown_tensors

__all__ = ["Formulas", "Text", "latex", "loops"]


class Text(str):
    """A text that a notebook shows as it is printed."""

    def __repr__(self) -> str:
        return str(self)


class Formulas(Text):
    """LaTeX that a notebook typesets."""

    def _repr_latex_(self) -> str:
        return f"$${self}$$"


@undistributing
def loops(*tensors: Any) -> Text:
    """All statements that define the tensors, in an order in which they can be read from top to bottom.

    Args:
        tensors: tensors, or lists, tuples and dicts of them.

    Raises:
        NotationError: there is no tensor.
        GraphcError: the definitions do not make a program.

    >>> import graphc as gc
    >>> b, i, j = gc.indices("b i j")
    >>> X, A, U = gc.tensor("X", 8, 4), gc.tensor("A", 4, 3), gc.tensor("U")
    >>> U[b, i] += X[b, j] * A[j, i]
    >>> print(gc.loops(U))
    for b,i,j:  U[b,i] += X[b,j]*A[j,i]
    """
    graph = collect(shown_tensors(tensors, "loops"), "loops").graph
    definitions = graph.definitions()
    return Text("\n".join(statement(s) for name in graph.order() for s in definitions[name]))


@undistributing
def latex(*tensors: Any) -> Formulas:
    r"""The statements that define the tensors as equations, in the order of `loops`: sums over indices, a bar for an adjoint.

    Args:
        tensors: tensors, or lists, tuples and dicts of them.

    Raises:
        NotationError: there is no tensor.
        GraphcError: the definitions do not make a program.

    >>> import graphc as gc
    >>> b, i, j = gc.indices("b i j")
    >>> X, A, U = gc.tensor("X", 8, 4), gc.tensor("A", 4, 3), gc.tensor("U")
    >>> U[b, i] += X[b, j] * A[j, i]
    >>> print(gc.latex(U))
    \begin{aligned}
    U_{b,i} &= \sum_{j} X_{b,j} A_{j,i}
    \end{aligned}
    """
    graph = collect(shown_tensors(tensors, "latex"), "latex").graph
    definitions = graph.definitions()
    lines = [statement_latex(s, len(definitions[name]) > 1 and s.op == "+=") for name in graph.order() for s in definitions[name]]
    return Formulas("\n".join([r"\begin{aligned}", " \\\\\n".join(lines), r"\end{aligned}"]))
