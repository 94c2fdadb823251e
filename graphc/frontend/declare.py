"""Declarations: sizes, indices, tensors, parameters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import sympy as sp

from graphc.errors import NotationError
from graphc.frontend.expression import Expr, IndexVariable, is_number, wrap
from graphc.frontend.location import here
from graphc.frontend.tensor import Tensor
from graphc.ir.affine import is_affine
from graphc.ir.expr import Access, Index, Size, contains

__all__ = ["dim", "dims", "index", "indices", "parameter", "tensor", "tensors"]


def _names(names: str | Sequence[str]) -> list[str]:
    found = re.split(r"[\s,]+", names.strip()) if isinstance(names, str) else list(names)
    for name in found:
        if not name.isidentifier():
            raise NotationError(f"{name!r} is not a name.", at=((repr(names), "", here()),), fix='write names separated by blanks: "b i j".')
    return found


def dim(name: str) -> Expr:
    """A symbolic size, bound by the arrays of each call. Equal names are the same size.

    Raises:
        NotationError: `name` is not an identifier.
    """
    return Expr(Size(_names(name)[0]))


def dims(names: str | Sequence[str]) -> Any:
    """Symbolic sizes: one name gives the size, several a tuple.

    >>> N, D = dims("N D")
    >>> N - 1
    N - 1
    """
    found = tuple(dim(name) for name in _names(names))
    return found[0] if len(found) == 1 else found


def index(name: str, *limits: Any) -> IndexVariable:
    """A loop index; ``index("p", n)`` ranges over 0 … n-1, ``index("p", lo, hi)`` over lo … hi-1, ``index("p")`` is inferred.

    Raises:
        NotationError: a limit is not affine in sizes, or there are more than two.
    """
    symbol = Index(_names(name)[0])
    if not limits:
        return IndexVariable(symbol, {}, {}, frozenset())
    nodes = [wrap(limit).node for limit in limits]
    if len(limits) > 2 or any(not is_affine(node) or contains(node, (Index, Access)) for node in nodes):
        shown = ", ".join(map(str, limits))
        raise NotationError(f"The range of the index {name} is not given by integers and sizes: {shown}.", at=((shown, "", here()),),
                            fix=f'use gc.index("{name}", n) or gc.index("{name}", lo, hi).')
    lower, upper = (sp.Integer(0), nodes[0]) if len(nodes) == 1 else nodes
    return IndexVariable(symbol, {}, {symbol: (lower, upper)}, frozenset())


def indices(names: str | Sequence[str]) -> Any:
    """Loop indices whose ranges are inferred: one name gives the index, several a tuple."""
    found = tuple(index(name) for name in _names(names))
    return found[0] if len(found) == 1 else found


def tensor(name: str, *shape: Any, dtype: Any = None) -> Tensor:
    """A tensor: with a shape it is an input (unless statements define it), without one it is to be defined.

    Args:
        name: how it is called in pictures, texts and as an argument.
        shape: extents, ints or sizes; ``()`` alone makes a scalar, read as ``t[()]``.
        dtype: NumPy type or its name; inputs are float32 by default, defined tensors take the type of their values.

    Raises:
        ShapeError: an extent is neither a non-negative integer nor a size.
        DtypeError: the dtype is not supported.
    """
    if len(shape) == 1 and isinstance(shape[0], tuple | list):
        shape = tuple(shape[0])
        return Tensor(name, shape, dtype)
    return Tensor(name, shape if shape else None, dtype)


def tensors(names: str | Sequence[str], *shape: Any, dtype: Any = None) -> Any:
    """Tensors of one shape (or to be defined): one name gives the tensor, several a tuple."""
    found = tuple(tensor(name, *shape, dtype=dtype) for name in (re.split(r"[\s,]+", names.strip()) if isinstance(names, str) else names))
    return found[0] if len(found) == 1 else found


def parameter(name: str, *shape: Any, init: Any = "glorot_uniform", dtype: Any = None) -> Tensor:
    """A tensor with an initialiser: an input that `Program.init` creates and `updates` change.

    Args:
        name: how it is called in the state dictionary.
        shape: extents; the first is the number of outputs where the initialiser needs one.
        init: "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "uniform", "normal", "zeros", "ones", a number,
            or a function of (shape, numpy.random.Generator).
        dtype: float32 by default.
    """
    if len(shape) == 1 and isinstance(shape[0], tuple | list):
        shape = tuple(shape[0])
    if not (callable(init) or is_number(init) or init in INITIALISERS):
        raise NotationError(f"{init!r} is not an initialiser of the parameter {name}.", at=((repr(init), "", here()),),
                            fix="use one of " + ", ".join(INITIALISERS) + ", a number, or a function of (shape, generator).")
    return Tensor(name, shape, dtype, kind="parameter", init=init)


INITIALISERS = ("glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "uniform", "normal", "zeros", "ones")
