"""What views take: tensors, or lists, tuples and dicts of them, as `graphc.compile` does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import graphc as gc

i = gc.index("i")
X, Y, L = gc.tensor("X", 3), *gc.tensors("Y L")
Y[i] = gc.sin(X[i])
L[()] += Y[i] ** 2
GRADIENT = gc.grad(L, X)

VIEWS = [gc.loops, gc.latex, gc.explain, gc.summary, lambda *tensors: gc.draw(*tensors).dot]


@pytest.mark.parametrize("view", VIEWS, ids=["loops", "latex", "explain", "summary", "draw"])
@pytest.mark.parametrize("arguments", [([L, GRADIENT],), ((L, GRADIENT),), ({"loss": L, "rest": [GRADIENT]},), (L, [GRADIENT])],
                         ids=["list", "tuple", "dict", "mixed"])
def test_views_take_structures(view: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    assert str(view(*arguments)) == str(view(L, GRADIENT))
