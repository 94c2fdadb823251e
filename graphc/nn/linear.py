"""Affine maps, tables of vectors, and the largest of several affine maps."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import graphc as gc
from graphc.nn.axes import axes, check_integers, check_shape, dimension, refuse

__all__ = ["embedding", "flatten", "linear", "maxout"]


def linear(x: gc.Tensor, weight: gc.Tensor, bias: gc.Tensor | None = None, *, name: str = "linear") -> gc.Tensor:
    """``y[…, i] = Σ_j x[…, j]·weight[i, j] + bias[i]``.

    >>> import graphc as gc
    >>> x, weight, bias = gc.tensor("x", gc.dim("N"), 3), gc.tensor("weight", 4, 3), gc.tensor("bias", 4)
    >>> print(gc.loops(gc.nn.linear(x, weight, bias)))
    for n,i:  linear[n,i] = sum(x[n,j]*weight[i,j], over=j) + bias[i]
    """
    (*lead, _), (i, j), y = axes("linear", x, "nmlkabcd", 1), gc.indices("i j"), gc.tensor(name)
    check_shape("linear", "weight", weight, ("out", x.shape[-1]), x)
    if bias is not None and weight.ndim is not None:
        check_shape("linear", "bias", bias, weight.shape[:1], weight)
    product = gc.sum(x[*lead, j] * weight[i, j], over=j)
    y[*lead, i] = product + bias[i] if bias is not None else product
    return y


def embedding(x: gc.Tensor, weight: gc.Tensor, padding_idx: int | None = None, *, name: str = "embedding") -> gc.Tensor:
    """``y[…, d] = weight[x[…], d]``: the row of the table for each integer.

    Args:
        x: integers, of any shape.
        weight: the table, of shape count×width.
        padding_idx: the row of what only fills up, which gets no gradient; negative ones count from the end.
        name: of the result.

    Raises:
        ArgumentError: an argument has another shape or dtype, or there is no row `padding_idx`.

    >>> import graphc as gc
    >>> token, weight = gc.tensor("token", gc.dim("N"), dtype="int64"), gc.tensor("weight", 10, 4)
    >>> print(gc.loops(gc.nn.embedding(token, weight)))
    for n,d:  embedding[n,d] = weight[token[n],d]
    """
    n, d, y = axes("embedding", x, "nmlkabct"), gc.index("d"), gc.tensor(name)
    check_integers("embedding", "x", x)
    check_shape("embedding", "weight", weight, ("count", "width"), x)
    row = weight[x[n], d]
    y[*n, d] = row if padding_idx is None else gc.where(x[n] == _row(weight, padding_idx), gc.stop_gradient(row), row)
    return y


def _row(weight: gc.Tensor, padding_idx: Any) -> Any:
    """The number of the row of a table, counted from 0."""
    number, count = isinstance(padding_idx, Integral) and not isinstance(padding_idx, bool), weight.shape[0]
    if not number or (isinstance(count, int) and not -count <= int(padding_idx) < count):
        raise refuse("embedding", f"padding_idx={padding_idx!r} is no row of {weight!r}", f"padding_idx={padding_idx!r}",
                     "give the number of a row, or leave it out.")
    return int(padding_idx) + (count if padding_idx < 0 else 0)


def maxout(x: gc.Tensor, weight: gc.Tensor, bias: gc.Tensor | None = None, *, name: str = "maxout") -> gc.Tensor:
    """``y[…, i] = max_k(Σ_j x[…, j]·weight[k, i, j] + bias[k, i])`` (Goodfellow et al., ICML 2013)."""
    (*lead, _), (i, j, k), y, pieces = axes("maxout", x, "nmlabcde", 1), gc.indices("i j k"), gc.tensor(name), gc.tensor(f"{name}.pieces")
    check_shape("maxout", "weight", weight, ("pieces", "out", x.shape[-1]), x)
    if bias is not None and weight.ndim is not None:
        check_shape("maxout", "bias", bias, weight.shape[:2], weight)
    product = gc.sum(x[*lead, j] * weight[k, i, j], over=j)
    pieces[*lead, k, i] = product + bias[k, i] if bias is not None else product
    y[*lead, i] = gc.max(pieces[*lead, k, i], over=k)
    return y


def flatten(x: gc.Tensor, start_dim: int = 1, end_dim: int = -1, *, name: str = "flatten") -> gc.Tensor:
    """The dimensions from `start_dim` to `end_dim` as one, in row-major order; all but the first of them are integers.

    >>> import graphc as gc
    >>> print(gc.loops(gc.nn.flatten(gc.tensor("x", gc.dim("N"), 3, 4))))
    for n,c,h:  flatten[n,4*c+h] = x[n,c,h]
    """
    i, y = axes("flatten", x, "nchwdefg", 1), gc.tensor(name)
    first, last = dimension("flatten", x, start_dim, "start_dim"), dimension("flatten", x, end_dim, "end_dim")
    if first > last:
        raise refuse("flatten", f"start_dim={start_dim} lies behind end_dim={end_dim} in {x!r}", f"start_dim={start_dim}",
                     "give a first dimension that is not behind the last one.")
    if not all(isinstance(e, int) for e in x.shape[first + 1 : last + 1]):
        raise refuse("flatten", f"{x!r} has dimensions of unknown size behind dimension {first}", x.name,
                     "declare them as integers; only the first that is flattened may be a size.")
    at, position = list(i), i[first]
    for d in range(first + 1, last + 1):
        at[d] = 0 if isinstance(x.shape[d], int) and x.shape[d] == 1 else i[d]
        position = position * x.shape[d] + at[d]
    y[*i[:first], position, *i[last + 1 :]] = x[*at]
    return y
