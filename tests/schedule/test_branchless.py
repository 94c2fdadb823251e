"""Both branches of a choice are computed where they cost little and read nothing that is not there."""

from __future__ import annotations

import numpy as np
import sympy as sp

import graphc as gc
from graphc.ir.expr import Access, Call, Choice, Compare, Index, Where
from graphc.ir.nest import For, Kernel, LoopPlan, Nest, Store
from graphc.ir.tensor import Tensor
from graphc.schedule.branchless import branchless

I, N = Index("i"), sp.Integer(4)
X = Access("x", I)
MASK = Compare(">", Access("z", I), sp.Integer(0))


def after(value):
    plan = LoopPlan("", "map", ("i",), "", "")
    loop = For(I, (sp.Integer(0),), (N,), (Store("y", (I,), value),))
    nest = Nest(Kernel("map", "", ("y", "x"), (loop,), None), plan, ("x",), "y", N)
    tensors = {name: Tensor(name, (N,), "float32") for name in "xyz"}
    return branchless(nest, tensors).kernel.body[0].body[0].value


def test_cheap_values_in_range():
    assert after(Where(MASK, 2 * X, 0)) == Choice(MASK, 2 * X, 0)
    assert isinstance(after(Where(MASK, 2 * X, 0) + 1).args[1], Choice)
    nested = after(Where(MASK, Where(Compare("<", X, sp.Integer(1)), X, 1), 0))
    assert isinstance(nested, Choice)
    assert isinstance(nested.value, Choice)


def test_functions_quotients_and_what_may_not_be_there_stay_behind_their_condition():
    long = sp.Add(*(Access("z", I) * X**k for k in range(1, 13)))
    for value in (Call("exp", X), 1 / X, Access("x", I + 1), long):
        assert not isinstance(after(Where(MASK, value, 0)), Choice)


def test_tensors_in_one_dimension_whose_last_extents_are_1():
    """Found by random programs: the one subscript is in range of the first extent."""
    i, j, x, y = gc.index("i"), gc.index("j"), gc.tensor("x", 2, 1), gc.tensor("y")
    y[i, j] = gc.where(x[i, j] < 0, 3, gc.where(x[i, j] > 1, 2, x[i, j]))
    np.testing.assert_array_equal(gc.compile(y)(x=np.float32([[-1], [0.5]])), [[3], [0.5]])
