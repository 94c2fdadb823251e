"""Random numbers in expressions: ``gc.uniform(key[()], i, j)``."""

from __future__ import annotations

from typing import Any

import sympy as sp

from graphc.errors import DtypeError, NotationError
from graphc.frontend.expression import Expr, combine, shown, wrap
from graphc.frontend.location import here
from graphc.ir.dtypes import is_integer
from graphc.ir.expr import Access, Call, FloorDiv, Index, Modulo, Size
from graphc.ir.random import RANDOM
from graphc.ir.tree import contains, rewrite

__all__ = ["is_whole", "normal", "settled", "uniform"]


def uniform(key: Any, *indices: Any) -> Expr:
    """A random number in [0, 1) that depends on key and indices only: the same on every target, and wherever it is computed.

    Args:
        key: an integer, or an element of an integer tensor: ``key[()]`` with ``key = gc.tensor("key", (), dtype="int64")``.
        indices: at least one integer expression in loop indices, sizes and elements of integer tensors; a number tells apart what
            draws from one key: ``gc.uniform(key[()], 0, i)``, ``gc.uniform(key[()], 1, i)``. The loop that moves fastest last.

    Returns:
        An expression of 24 random bits, in a statement for a float64 tensor of 53; its derivative is 0.

    Raises:
        NotationError: key or an index is no integer expression, or there is no index.
        DtypeError: key or an index is read from a tensor of another type.
    """
    return _random("uniform", key, indices)


def normal(key: Any, *indices: Any) -> Expr:
    """A normally distributed random number with mean 0 and variance 1; like `uniform` otherwise.

    It is of the bits that `uniform` has for the same key and indices, so give it another key, or an index more.
    """
    return _random("normal", key, indices)


def _random(name: str, key: Any, indices: tuple[Any, ...]) -> Expr:
    text = f"{name}({', '.join(map(shown, (key, *indices)))})"
    if not indices:
        raise NotationError(f"gc.{name} does not say for which indices.", at=((text, text, here()),),
                            fix=f"write gc.{name}({shown(key)}, i, j) with the indices of the element; for one number, gc.{name}(…, 0).")
    for role, value in (("key", key), *(("index", index) for index in indices)):
        _check_integer(name, role, value, text)
    form = f"{name}({', '.join(['{}'] * (1 + len(indices)))})"
    return combine(lambda *nodes: Call(name, *nodes), key, *indices, form=form, gives=frozenset({RANDOM[name]}))


def _check_integer(name: str, role: str, value: Any, text: str) -> None:
    """Refuse what is no integer, as far as the types of tensors are known yet."""
    part = wrap(value, lambda: text)
    at = ((text, shown(value), here()),)
    reads = {node: owner for node, owner in part.reads.items() if node in _reads(part.node)}
    for node, owner in reads.items():
        dtype = owner.declared_dtype
        if isinstance(node, Access) and dtype is not None and not is_integer(dtype):
            raise DtypeError(f"{owner.name} has dtype {dtype} and gives no {role} of gc.{name}.", at=at,
                             fix=f'declare it as integers: gc.tensor("{owner.name}", …, dtype="int64").')
    if isinstance(value, bool) or not is_whole(part.node):
        raise NotationError(f"{shown(value)} is no {role} of gc.{name}: it is not an integer expression.", at=at,
                            fix='use integers, indices, sizes and elements of integer tensors, such as key[()] of '
                                'key = gc.tensor("key", (), dtype="int64").')


def _reads(node: sp.Basic) -> set[sp.Basic]:
    """The elements whose values enter an expression, not those in their subscripts."""
    return {node} if isinstance(node, Access) else {read for argument in node.args for read in _reads(argument)}


def is_whole(node: sp.Basic) -> bool:
    """Whether an expression is made of integers by sums and products."""
    if isinstance(node, sp.Integer | Index | Size | FloorDiv | Modulo | Access):
        return True
    if isinstance(node, sp.Pow) and not (isinstance(node.exp, sp.Integer) and node.exp > 0):
        return False
    return isinstance(node, sp.Add | sp.Mul | sp.Pow) and all(map(is_whole, node.args))


def settled(value: sp.Expr, dtype: str) -> sp.Expr:
    """The value of a statement for a tensor of this type, with the random numbers of it: 53 bits for float64, else 24."""
    if not contains(value, Call):
        return value
    bits = "64" if dtype == "float64" else "32"

    def rule(part: sp.Basic) -> sp.Basic | None:
        if isinstance(part, Call) and RANDOM.get(part.function) == "weak_float":
            return Call(part.function + bits, *part.arguments)
        return None

    return rewrite(value, rule)
