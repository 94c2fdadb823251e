"""Layers that leave something out at random; the same key leaves out the same."""

from __future__ import annotations

from typing import Any

import graphc as gc
from graphc.nn.axes import axes, check_integers, keys, refuse
from graphc.requests import check_number

__all__ = ["dropout", "stochastic_depth"]


def _check(layer: str, p: Any, key: Any) -> None:
    check_number(f"nn.{layer}", "p", p, most=1)
    for part in key if isinstance(key, tuple) else (key,):
        if isinstance(part, bool):
            raise refuse(layer, f"key={part!r} is no integer", f"key={part!r}",
                         "give an integer or an integer tensor; nothing is done in place, so there is no flag for it.")
        if isinstance(part, gc.Tensor):
            check_integers(layer, "key", part)


def dropout(x: gc.Tensor, p: float = 0.5, key: Any = 0, *, name: str = "dropout") -> gc.Tensor:
    """Every element is 0 with probability p, else divided by ``1 - p`` (Srivastava et al., JMLR 2014).

    Args:
        x: of any shape.
        p: the probability; 1 leaves out everything.
        key: an integer, or a scalar integer tensor that is another number in each step; a tuple of it and integers tells apart what
            draws from one key.
        name: of the result.

    >>> import graphc as gc
    >>> x, key = gc.tensor("x", gc.dim("N"), 8), gc.tensor("key", (), dtype="int64")
    >>> print(gc.loops(gc.nn.dropout(x, 0.5, key)))
    for i,j:  dropout[i,j] = where(uniform(key[()], i, j) >= 0.5, 2.0*x[i,j], 0)
    """
    _check("dropout", p, key)
    i, y = axes("dropout", x), gc.tensor(name)
    y[i] = gc.where(gc.uniform(*keys(key), *i) >= p, x[i] * (1 / (1 - p) if p < 1 else 1), 0)
    return y


def stochastic_depth(x: gc.Tensor, p: float, key: Any, *, name: str = "stochastic_depth") -> gc.Tensor:
    """Every example is 0 with probability p, else divided by ``1 - p``: for the branch of a residual block (Huang et al., ECCV 2016)."""
    _check("stochastic_depth", p, key)
    (n, *i), y = axes("stochastic_depth", x, "nijklmop", 1), gc.tensor(name)
    y[n, *i] = gc.where(gc.uniform(*keys(key), n) >= p, x[n, *i] * (1 / (1 - p) if p < 1 else 1), 0)
    return y
