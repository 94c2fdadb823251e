"""What is computed is read."""

import ast

import sympy as sp

import graphc as gc
from graphc.ir.expr import Access, Index
from graphc.ir.nest import Assign, For, Kernel, Local, LoopPlan, Nest, Store
from graphc.schedule.unread import without_unread


def unread(source: str) -> set[str]:
    """``function.name`` of variables of the functions that are assigned and never read."""
    found = set()
    for function in ast.parse(source).body:
        if isinstance(function, ast.FunctionDef) and not function.name.startswith(("start", "program")):
            names = [n for n in ast.walk(function) if isinstance(n, ast.Name)]
            loops = {n.target.id for n in ast.walk(function) if isinstance(n, ast.For) and isinstance(n.target, ast.Name)}
            written = {n.id for n in names if isinstance(n.ctx, ast.Store)}
            found |= {f"{function.name}.{name}" for name in written - loops - {n.id for n in names if isinstance(n.ctx, ast.Load)}}
    return found


def test_part_of_a_divided_loop():
    """Nothing loads the place of a maximum where nothing is added, whatever that place."""
    N, K = gc.dims("N K")
    x, z, t, loss = gc.tensor("x", N), gc.tensor("z", K), gc.tensor("t"), gc.tensor("loss")
    i, j, k = gc.index("i", 3), gc.index("j", 3), gc.index("k", K)
    t[i, i] += gc.max(gc.clamp(x)[i - 1], over=k)
    loss[()] += t[i, j]
    loss[()] += z[k]
    source = gc.compile([loss, *gc.grad(loss, [x])]).source
    loads = [block.count("c0 = t_max_arg[") == block.count("choose(c0 == k") for block in source.split("@njit")]
    assert "c0 = t_max_arg[i]" in source and all(loads)
    assert not unread(source)


def nest(*body):
    return Nest(Kernel("map", "", ("y",), body, None), LoopPlan("", "map", (), "", ""), (), "y", sp.Integer(1), ())


def remaining(*body):
    (step,) = without_unread([nest(*body)])
    return step.kernel.body


def test_what_the_next_iteration_reads_stays():
    i, a, b, c = Index("i"), Local("a"), Local("b"), Local("c")
    carried = For(i, (sp.Integer(0),), (sp.Integer(9),), (Store("y", (i,), a), Assign(c, a, "float32"), Assign(a, b, "float32"),
                                                           Assign(b, sp.Integer(2), "float32")))
    start = Assign(a, sp.Integer(0), "float32"), Assign(b, sp.Integer(1), "float32")
    left = remaining(*start, carried)
    assert left[:2] == start and left[2].body == (carried.body[0], *carried.body[2:])


def test_loops_that_compute_nothing_are_left_out():
    i, a = Index("i"), Local("a")
    only = For(i, (sp.Integer(0),), (sp.Integer(9),), (Assign(a, i, "int64"),))
    store = Store("y", (), sp.Integer(1))
    assert remaining(only, store) == (store,)
    assert without_unread([nest(only), nest(store)]) == (nest(store),)


def test_what_tests_a_subscript_stays():
    i, a, b = Index("i"), Local("a"), Local("b")
    first, second = Assign(a, Access("x", i), "float32"), Assign(b, 2 * a, "float32")
    store, checked = Store("y", (i,), Access("x", i)), Assign(b, Access("x", Access("k", i)), "float32")

    def loop(*body):
        return For(i, (sp.Integer(0),), (sp.Integer(9),), body)

    assert remaining(loop(first, second, store)) == (loop(store),)
    assert remaining(loop(checked, store)) == (loop(checked, store),)
