"""Declarations: sizes, indices, tensors, parameters."""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import sympy as sp

from graphc.errors import DtypeError, NotationError
from graphc.frontend.expression import Expr, IndexVariable, is_number, shown, wrap
from graphc.frontend.location import here
from graphc.frontend.tensor import Tensor
from graphc.ir.affine import is_affine
from graphc.ir.dtypes import is_float
from graphc.ir.expr import Access, Index, Size
from graphc.ir.tree import contains

__all__ = ["INITIALISERS", "dim", "dims", "index", "indices", "parameter", "tensor", "tensors"]

INITIALISERS = (
    "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "fan_in_uniform", "orthogonal", "uniform", "normal", "zeros", "ones",
)


def _names(names: str | Sequence[str], verb: str, dotted: bool = False) -> list[str]:
    found = re.split(r"[\s,]+", names.strip(" ,\t\n")) if isinstance(names, str) else names
    text = f"{verb}({shown(names)})"
    for name in found if isinstance(found, list | tuple) else [names]:
        parts = name.split(".") if isinstance(name, str) and dotted else [name]
        if not all(isinstance(part, str) and part.isidentifier() and not keyword.iskeyword(part) for part in parts):
            raise NotationError(f"{shown(name)} is not a name.",
                                at=((text, name if isinstance(name, str) and name else shown(names), here()),),
                                fix='write names of letters, digits and _, separated by blanks: "b i j"; Python\'s keywords are taken.')
    twice = [name for k, name in enumerate(found) if name in found[:k]]
    if twice:
        raise NotationError(f"{twice[0]} is named twice.", at=((text, twice[0], here()),), fix="give each its own name.")
    return list(found)


def _single(name: str, verb: str) -> str:
    found = _names(name, verb)
    if len(found) != 1:
        raise NotationError(f"gc.{verb} makes one object, but {len(found)} names are given.",
                            at=((f"{verb}({shown(name)})", shown(name), here()),),
                            fix=f"use gc.{ {'dim': 'dims', 'index': 'indices'}[verb] }({shown(name)}) for several.")
    return found[0]


def dim(name: str) -> Expr:
    """A symbolic size, bound by the arrays of each call. Equal names are the same size.

    Raises:
        NotationError: `name` is not an identifier.
    """
    return Expr(Size(_single(name, "dim")))


def dims(names: str | Sequence[str]) -> Any:
    """Symbolic sizes: one name gives the size, several a tuple.

    >>> N, D = dims("N D")
    >>> N - 1
    N - 1
    """
    found = tuple(dim(name) for name in _names(names, "dims"))
    return found[0] if len(found) == 1 else found


def index(name: str, *limits: Any) -> IndexVariable:
    """A loop index; ``index("p", n)`` ranges over 0 … n-1, ``index("p", lo, hi)`` over lo … hi-1, ``index("p")`` is inferred.

    Raises:
        NotationError: a limit is not affine in sizes, or there are more than two.
    """
    symbol = Index(_single(name, "index"))
    if not limits:
        return IndexVariable(symbol, {}, {}, frozenset())
    text = f"index({', '.join(map(shown, (name, *limits)))})"
    nodes = [wrap(limit, lambda: text).node for limit in limits]
    wrong = [limit for limit, node in zip(limits, nodes, strict=True) if not is_affine(node) or contains(node, (Index, Access))]
    if len(limits) > 2 or wrong:
        culprit = shown(wrong[0]) if wrong else text
        raise NotationError(f"The range of the index {name} is not given by one or two integers or sizes.", at=((text, culprit, here()),),
                            fix=f'use gc.index("{name}", n) or gc.index("{name}", lo, hi).')
    lower, upper = (sp.Integer(0), nodes[0]) if len(nodes) == 1 else nodes
    if (upper - lower).is_Integer and upper - lower < 0:
        raise NotationError(f"The range of the index {name} ends before it begins.", at=((text, shown(limits[-1]), here()),),
                            fix="give the smallest value and one more than the largest, as in range(lo, hi).")
    return IndexVariable(symbol, {}, {symbol: (lower, upper)}, frozenset())


def indices(names: str | Sequence[str]) -> Any:
    """Loop indices whose ranges are inferred: one name gives the index, several a tuple."""
    found = tuple(index(name) for name in _names(names, "indices"))
    return found[0] if len(found) == 1 else found


def tensor(name: str, *shape: Any, dtype: Any = None) -> Tensor:
    """A tensor: with a shape it is an input (unless statements define it), without one it is to be defined.

    Args:
        name: how it is called in pictures, texts and as an argument.
        shape: extents, ints or sizes; ``()`` alone makes a scalar, read as ``t[()]``.
        dtype: NumPy type or its name; inputs are float32 by default, defined tensors take the type of their values.

    Raises:
        NotationError: the name is none.
        ShapeError: an extent is neither a non-negative integer nor a size.
        DtypeError: the dtype is not supported.
    """
    if len(shape) == 1 and isinstance(shape[0], tuple | list):
        shape = tuple(shape[0])
        return Tensor(name, shape, dtype)
    return Tensor(name, shape if shape else None, dtype)


def tensors(names: str | Sequence[str], *shape: Any, dtype: Any = None) -> Any:
    """Tensors of one shape (or to be defined): one name gives the tensor, several a tuple."""
    found = tuple(tensor(name, *shape, dtype=dtype) for name in _names(names, "tensors", dotted=True))
    return found[0] if len(found) == 1 else found


def parameter(name: str, *shape: Any, init: Any = "glorot_uniform", dtype: Any = None) -> Tensor:
    """A tensor with an initialiser: an input that `Program.init` creates and `updates` change.

    Args:
        name: how it is called in the state dictionary.
        shape: extents; the first is the number of outputs where the initialiser needs one.
        init: "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "fan_in_uniform" (within ±1/√inputs, PyTorch's layers),
            "orthogonal", "uniform" (within ±1), "normal", ("uniform", bound), ("normal", deviation), "zeros", "ones", a number, or a
            function of (shape, numpy.random.Generator).
        dtype: float32 by default.

    Raises:
        NotationError, ShapeError, DtypeError: name, shape, dtype or initialiser make no sense.
    """
    if len(shape) == 1 and isinstance(shape[0], tuple | list):
        shape = tuple(shape[0])
    text = f"parameter({shown(name)}, …, init={shown(init)})"
    if not (callable(init) or is_number(init) or _scaled(init) or (isinstance(init, str) and init in INITIALISERS)):
        raise NotationError(f"{shown(init)} is not an initialiser of the parameter {name}.", at=((text, shown(init), here()),),
                            fix="use one of " + ", ".join(INITIALISERS)
                            + ', ("uniform", bound), a number, or a function of (shape, generator).')
    made = Tensor(name, shape, dtype, kind="parameter", init=init)
    kind = made.declared_dtype or "float32"
    if isinstance(init, str | tuple) and init not in ("zeros", "ones") and not is_float(kind):
        raise DtypeError(f"The parameter {name} of dtype {kind} cannot be initialised with random real numbers.",
                         at=((text, shown(init), here()),),
                         fix='use init="zeros", "ones", an integer, or a function of (shape, generator).')
    if (is_number(init) and not _holds(kind, init)) or (isinstance(init, tuple) and init[1] > np.finfo(kind).max / 2):
        raise DtypeError(f"The parameter {name} of dtype {kind} cannot be initialised with {shown(init)}.",
                         at=((text, shown(init), here()),), fix="give a number that this type has, or another dtype=.")
    return made


def _holds(dtype: str, number: Any) -> bool:
    """Whether the type has the number; a float is rounded."""
    with np.errstate(all="ignore"):
        try:
            stored = np.full((), number, dtype)
            return bool(np.isfinite(stored) or not np.isfinite(float(number)) if is_float(dtype) else stored == number)
        except (OverflowError, ValueError):
            return False


def _scaled(init: Any) -> bool:
    """Whether it is a distribution with its width."""
    if not isinstance(init, tuple) or len(init) != 2 or init[0] not in ("uniform", "normal"):
        return False
    return is_number(init[1]) and 0 <= init[1] < math.inf
