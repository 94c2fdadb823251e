"""A part that occurs several times in one iteration is computed once; reads in branches stay in their branches."""

from __future__ import annotations

import numpy as np
import sympy as sp

import graphc as gc
from graphc.ir.expr import Access, Call, Compare, Index, Where
from graphc.ir.nest import Assign, For, Kernel, Local, LoopPlan, Nest, Store
from graphc.ir.tensor import Tensor
from graphc.schedule.share import shared

I, N = Index("i"), sp.Integer(4)
X = Access("x", I)
ROOT = Call("exp", X)


def nest(*body):
    plan = LoopPlan("", "map", ("i",), "", "")
    loop = For(I, (sp.Integer(0),), (N,), body)
    return Nest(Kernel("map", "", ("y", "x"), (loop,), None), plan, ("x",), "y", N)


def after(*body):
    tensors = {name: Tensor(name, (N,), "float32") for name in "xyz"}
    return shared(nest(*body), tensors).kernel.body[0].body


def test_a_function_is_computed_once():
    first, second = after(Store("y", (I,), ROOT * (1 - ROOT)))
    assert first == Assign(Local("s0"), ROOT, "float32")
    assert second.value == Local("s0") * (1 - Local("s0"))


def test_two_statements_share_unless_one_changes_what_the_other_reads():
    assert len(after(Store("y", (I,), ROOT), Store("z", (I,), ROOT))) == 3
    assert len(after(Store("x", (I,), ROOT), Store("z", (I,), ROOT))) == 2


def test_what_is_read_in_branches_only_is_shared_where_it_is_in_range():
    mask = Compare(">", Access("z", I), sp.Integer(0))
    inside, beyond = ROOT, Call("exp", Access("x", I + 1))
    assert len(after(Store("y", (I,), Where(mask, inside * (1 - inside), 0)))) == 2
    assert len(after(Store("y", (I,), Where(mask, beyond * (1 - beyond), 0)))) == 1
    guarded = Where(Compare("<", I + 1, N), Access("x", I + 1), 0)
    assert len(after(Store("y", (I,), Where(mask, Call("exp", guarded) * (1 - Call("exp", guarded)), 0)))) == 2


def test_cheap_parts_and_integers_are_left_alone():
    assert len(after(Store("y", (I,), (X + 1) * (X + 1 - 2 * (X + 1))))) == 1


def soft_dtw(rows=5, columns=4):
    x, y, cost, loss = gc.tensor("x", rows), gc.tensor("y", columns), *gc.tensors("cost loss")
    i, j = gc.index("i", rows), gc.index("j", columns)
    far = gc.pad(cost, 1e8)
    near = [-far[i - 1, j - 1], -far[i - 1, j], -far[i, j - 1]]
    least = gc.maximum(gc.maximum(near[0], near[1]), near[2])
    soft = -least - gc.log(sum(gc.exp(v - least) for v in near))
    cost[i, j] = (x[i] - y[j]) ** 2 + gc.where((i == 0) & (j == 0), 0, soft)
    loss[()] += cost[rows - 1, columns - 1]
    return [loss, *gc.grad(loss, [x, y])]


def test_soft_dynamic_time_warping_written_out():
    random = np.random.default_rng(0)
    arrays = {"x": random.standard_normal(5).astype("f"), "y": random.standard_normal(4).astype("f")}
    program = gc.compile(soft_dtw())
    assert max(map(len, (line for line in program.source.splitlines() if not line.lstrip().startswith(("#", "for"))))) < 8000
    for got, want in zip(program(**arrays), gc.compile(soft_dtw(), target="interpret")(**arrays), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_what_no_iteration_changes_is_computed_in_front_of_the_loop():
    steady = Call("exp", Access("z", sp.Integer(0)))
    lets = shared(nest(Store("y", (I,), X * steady)), {name: Tensor(name, (N,), "float32") for name in "xyz"}).kernel.body
    assert lets[0] == Assign(Local("s0"), steady, "float32")
    assert lets[1].body == (Store("y", (I,), X * Local("s0")),)
    beyond = Call("exp", Access("z", sp.Integer(7)))
    for part, target in ((steady, "z"), (beyond, "y")):  # the loop changes it; it is not in range
        body = nest(Store(target, (I,), X * part))
        assert shared(body, {name: Tensor(name, (N,), "float32") for name in "xyz"}) is body


def test_what_no_iteration_changes_is_found_in_kernels_of_several_statements():
    """LLVM's vectoriser takes time exponential in the size of what it meets here otherwise: this never compiled."""
    x, y, z, t, loss = gc.tensor("x", 2), gc.tensor("y", 3), gc.tensor("z", 3), *gc.tensors("t loss")
    i, j = gc.index("i", 3), gc.index("j", 3)
    t[i] = gc.atan2(gc.tanh(x[1]) ** 3, 1.4 + gc.min(x[0] + 0.01 * y[j], over=j) ** 2)
    loss[()] += z[i] * gc.sin(t[i])
    gradients = gc.grad(loss, [x, y, z])
    source = gc.compile([loss, *gradients]).source
    rows = source[source.index("def rows_0") :]
    assert rows.index("tanh(x[1])") < rows.index("for i in range")
