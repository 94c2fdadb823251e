"""`Program.find_nan`: the first NaN or infinity, where it comes from, and what is left alone."""

from __future__ import annotations

import re

import numpy as np
import pytest

import graphc as gc

TARGETS = ["interpret", "cpu"]
N, D, M = gc.dims("N D M")
b, i, j, t = gc.indices("b i j t")


def array(*values, dtype="float32"):
    return np.array(values, dtype)


def told(found):
    """The text without the path of this file."""
    return re.sub(r"(?m)^  at .*test_nonfinite.py, line \d+$", "  at <here>", str(found))


def classifier():
    x, a, c = gc.tensor("X", N, D), gc.tensor("A", D, M), gc.tensor("T", N, M)
    u, y, loss = gc.tensors("U Y L")
    u[b, i] += x[b, j] * a[j, i]
    y[b, i] = gc.log(u[b, i])
    loss[()] += (y[b, i] - c[b, i]) ** 2
    return loss, x, a


def arguments():
    return {"X": array([1, 2], [3, 4], [5, -6]), "A": array([1, 0.5], [0.25, 1]), "T": np.zeros((3, 2), "float32")}


@pytest.mark.parametrize("target", TARGETS)
def test_forward(target):
    loss, _, a = classifier()
    f = gc.compile([loss, gc.grad(loss, a)], target=target)
    found = f.find_nan(**arguments())
    assert (found.tensor, found.index, found.direction, found.part) == ("Y", (2, 1), "forward", "log(U[b,i])")
    assert found and np.isnan(found.value)
    assert found.indices == {"b": 2, "i": 1} and found.operands == {"U[2,1]": -3.5}
    assert found.results == ("L", "A.grad")
    assert found.location.file == __file__ and found.location.source == "y[b, i] = gc.log(u[b, i])"
    given = arguments() | {"X": array([1, 2], [3, 4], [5, 6])}
    assert f.find_nan(**given) is None


def test_text(golden):
    loss, _, a = classifier()
    golden(told(gc.compile([loss, gc.grad(loss, a)], target="interpret").find_nan(**arguments())))


def test_backward():
    x, y, loss = gc.tensor("x", N), gc.tensor("y"), gc.tensor("L")
    y[i] = x[i] ** 1.5 / (x[i] + 1)
    y[i] += 0 * x[i] + gc.sqrt(x[i])
    loss[()] += y[i]
    found = gc.compile([loss, gc.grad(loss, x)], target="interpret").find_nan(x=array(1, 4, 0))
    assert (found.tensor, found.index, found.direction) == ("x.grad", (2,), "backward")
    assert found.indices == {"i": 2} and found.operands["x[2]"] == 0
    assert found.results == ("x.grad",)
    assert found.location.source == "y[i] += 0 * x[i] + gc.sqrt(x[i])"


def test_an_argument():
    loss, _, _ = classifier()
    given = arguments()
    given["X"][1, 1] = np.nan
    found = gc.compile(loss, target="interpret").find_nan(**given)
    assert (found.tensor, found.index, found.indices) == ("U", (1, 0), {"b": 1, "i": 0, "j": 1})
    assert list(found.operands) == ["X[1,1]", "A[1,0]"]
    assert found.remark == "X[1,1] is given like that"


def test_infinities_of_a_mask_are_meant():
    x, m, s, p = gc.tensor("x", N, M), gc.tensor("m", N, M, dtype="bool"), gc.tensor("S"), gc.tensor("P")
    s[b, i] = gc.where(m[b, i], x[b, i], -np.inf)
    p[b, i] = gc.exp(s[b, i] - gc.logsumexp(s[b, j], over=j))
    f = gc.compile(p, target="interpret")
    x, m = np.ones((3, 4), "float32"), np.tri(3, 4, dtype=bool)
    assert f.find_nan(x=x, m=m) is None
    m[1] = False
    found = f.find_nan(x=x, m=m)
    assert (found.tensor, found.index) == ("P", (1, 0)) and np.isnan(found.value)
    assert set(found.operands.values()) == {-np.inf}


def test_infinities_of_an_argument_count_when_they_are_in_a_result():
    x, y, z = gc.tensor("x", N), gc.tensor("y"), gc.tensor("z")
    y[i] = 2 * x[i]
    z[i] = gc.exp(-y[i])
    given = array(1, np.inf)
    assert gc.compile(z, target="interpret").find_nan(x=given) is None
    found = gc.compile([z, y], target="interpret").find_nan(x=given)
    assert (found.tensor, found.index, found.results, found.remark) == ("y", (1,), ("y",), "x[1] is given like that")


def test_an_infinity_that_does_no_harm_is_told_but_not_blamed():
    """Beside a NaN, only what leads to it is looked at."""
    x, y, z, w = gc.tensor("x", N), gc.tensor("y"), gc.tensor("z"), gc.tensor("w")
    y[i] = gc.log(x[i])
    z[i] = gc.exp(y[i])
    w[i] = gc.sqrt(x[i] - 1)
    found = gc.compile(z, target="interpret").find_nan(x=array(1, 0))
    assert (found.tensor, found.value, found.results) == ("y", -np.inf, ())
    assert "all finite" in str(found) and str(found).startswith("-Inf in y[1]")
    assert gc.compile([z, w], target="interpret").find_nan(x=array(1, 0)).tensor == "w"


@pytest.mark.parametrize("target", TARGETS)
def test_a_sum_of_finite_terms(target):
    x, y = gc.tensor("x", N), gc.tensor("y")
    y[()] += x[i] * 2
    found = gc.compile(y, target=target).find_nan(x=array(1, 1e38, 1.5e38, 0.5))
    assert (found.tensor, found.index, found.value, found.part, found.indices) == ("y", (), np.inf, "", {"i": 2})
    assert found.remark == "every term is finite, but not all of them together; the largest is 3e+38, which is shown"


@pytest.mark.parametrize("target", TARGETS)
def test_recurrence(target):
    """The step in which it starts, also backward in time."""
    w, h, loss = gc.tensor("w", gc.dim("T")), gc.tensor("h"), gc.tensor("L")
    h[-1] = 1
    h[t] = h[t - 1] * w[t]
    loss[()] += h[t]
    found = gc.compile(loss, target=target).find_nan(w=array(1, 1e30, 1e30, 1, 1))
    assert (found.tensor, found.index) == ("h", (2,))
    g, last = gc.tensor("g"), gc.tensor("last")
    g[t] = gc.where(t < 4, g[t + 1], 1e30) * w[t]
    last[()] = g[0]
    found = gc.compile(last, target=target).find_nan(w=array(1, 1, 1, 1e30, 1))
    assert (found.tensor, found.index, found.indices) == ("g", (3,), {"t": 3})
    assert found.operands["w[3]"] == np.float32(1e30)


@pytest.mark.parametrize("target", TARGETS)
def test_scatter(target):
    tok, e, y, loss = gc.tensor("tok", N, dtype="int64"), gc.tensor("E", 5, 2), gc.tensor("y"), gc.tensor("L")
    y[b, i] = gc.log(e[tok[b], i])
    loss[()] += y[b, i]
    table = np.ones((5, 2), "float32")
    table[3, 1] = 0
    f = gc.compile([loss, gc.grad(loss, e)], target=target)
    found = f.find_nan(E=table, tok=np.array([0, 3, 3]))
    assert (found.tensor, found.index, found.indices) == ("y", (1, 1), {"b": 1, "i": 1})
    assert found.operands == {"E[3,1]": 0, "tok[1]": 3}
    found = gc.compile(gc.grad(loss, e), target=target).find_nan(E=table, tok=np.array([0, 3, 3]))
    assert (found.tensor, found.index, found.indices, found.direction) == ("E.grad", (3, 1), {"b": 1, "i": 1}, "backward")


def test_only_chosen_branches_are_looked_at():
    x, y = gc.tensor("x", N), gc.tensor("y")
    y[i] = gc.where(x[i] > 0, gc.log(x[i]), 1 / x[i])
    found = gc.compile(y, target="interpret").find_nan(x=array(1, -1, 0))
    assert (found.index, found.part, found.operands) == ((2,), "1/x[i]", {"x[2]": 0})


def test_overflow_inside_of_a_statement():
    """The kernel computes in float32, so exp(100) is infinite although the interpreter's float64 could hold it."""
    x, y = gc.tensor("x", N), gc.tensor("y")
    y[i] = gc.exp(x[i]) * gc.exp(x[i])
    found = gc.compile(y).find_nan(x=array(1, 50, 60))
    assert (found.index, found.value) == ((1,), np.inf)


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_changes(target):
    w, x, loss, new = gc.parameter("w", N, init="ones"), gc.tensor("x", N), gc.tensor("L"), gc.tensor("w_new")
    loss[()] += gc.log(w[i] * x[i])
    new[i] = w[i] - 0.1 * gc.grad(loss, w)[i]
    step = gc.compile(loss, updates={w: new}, target=target)
    state = step.init(N=2)
    found = step.find_nan(state, x=array(1, 0))
    assert found.index == () and found.indices == {"i": 1}
    assert (state["w"] == 1).all()
    assert step.find_nan(state, x=array(1, 1)) is None
    step(state, x=array(1, 1))
    assert (state["w"] != 1).all()


def test_arguments_are_checked_as_in_a_call():
    loss, _, _ = classifier()
    f = gc.compile(loss, target="interpret")
    with pytest.raises(gc.ArgumentError, match="missing"):
        f.find_nan(X=arguments()["X"])


def test_large_arrays_are_not_copied_element_by_element():
    x, y, z = gc.tensor("x", N), gc.tensor("y"), gc.tensor("z")
    y[i] = gc.sqrt(x[i])
    z[()] += y[i]
    values = np.ones(3_000_000, "float32")
    values[-7] = -1
    found = gc.compile(z).find_nan(x=values)
    assert (found.tensor, found.index) == ("y", (3_000_000 - 7,))
