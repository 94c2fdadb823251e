"""Work of a statement."""

from __future__ import annotations

import sympy as sp

from graphc.ir.expr import Call
from graphc.ir.functions import FUNCTIONS
from graphc.ir.random import RANDOM
from graphc.ir.statement import Statement
from graphc.ir.tree import postorder

__all__ = ["cost"]


def cost(statement: Statement) -> sp.Expr:
    """Scalar operations of the whole nest, a box assumed."""
    operations = 0
    for node in postorder(statement.value):
        if isinstance(node, sp.Add | sp.Mul):
            operations += len(node.args) - 1
        elif isinstance(node, Call):
            row = FUNCTIONS.get(node.function)
            operations += row.cost if row else 60 * (len(node.arguments) - 1) if node.function in RANDOM else 1
        elif isinstance(node, sp.Pow):
            operations += 4
    return sp.Mul(*(r.extent for r in statement.loops)) * (operations + 1)
