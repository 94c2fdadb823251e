"""Derivations as they are printed, and whether what they say is true."""

from __future__ import annotations

import itertools
import re

import pytest

import graphc as gc
from graphc.interpret import size_value
from graphc.ir.expr import Index, Size
from graphc.ir.show import statement
from tests.notation import graph_of


def told(*tensors):
    """The explanation without line numbers."""
    return re.sub(r"   \(test_explain.py, line \d+\)", "", str(gc.explain(*tensors)))


def layer():
    n, d, m = gc.dims("N D M")
    b, i, j = gc.indices("b i j")
    x, a, c, t = gc.tensor("X", n, d), gc.tensor("A", d, m), gc.tensor("c", m), gc.tensor("T", n, m)
    u, y, loss = gc.tensors("U Y L")
    u[b, i] += x[b, j] * a[j, i]
    y[b, i] = gc.sigmoid(u[b, i] + c[i])
    loss[()] += (y[b, i] - t[b, i]) ** 2 / n
    return loss, [a, c]


def strided_convolution():
    p, r = gc.indices("p r")
    x, w, y, loss = gc.tensor("X", gc.dim("N")), gc.tensor("W", gc.dim("R")), gc.tensor("Y"), gc.tensor("L")
    y[p] += x[2 * p + r] * w[r]
    loss[()] += gc.sin(y[p])
    return loss, [x, w]


def padded_convolution():
    n, f, c = gc.indices("n f c")
    p, q, r, s = gc.index("p", 8), gc.index("q", 8), gc.index("r", 3), gc.index("s", 3)
    x, w, y, loss = gc.tensor("X", gc.dim("N"), 2, 8, 8), gc.tensor("W", 4, 2, 3, 3), gc.tensor("Y"), gc.tensor("L")
    y[n, f, p, q] += gc.pad(x, 0)[n, c, p + r - 1, q + s - 1] * w[f, c, r, s]
    loss[()] += y[n, f, p, q] ** 2
    return loss, [x, w]


def max_pooling(stride=2):
    n, p = gc.indices("n p")
    u = gc.index("u", 3)
    x, y, loss = gc.tensor("X", gc.dim("N"), 13), gc.tensor("Y"), gc.tensor("L")
    y[n, p] = gc.max(x[n, stride * p + u], over=u)
    loss[()] += y[n, p] ** 2
    return loss, [x]


def softmax_cross_entropy():
    b, i, j = gc.indices("b i j")
    z, t = gc.tensor("Z", gc.dim("N"), gc.dim("K")), gc.tensor("t", gc.dim("N"), dtype="int64")
    y, loss = gc.tensor("Y"), gc.tensor("L")
    y[b, i] = gc.exp(z[b, i]) / gc.sum(gc.exp(z[b, j]), over=j)
    loss[()] += -gc.log(y[b, t[b]]) / gc.dim("N")
    return loss, [z]


def recurrence():
    m = gc.dim("H")
    t, i, j = gc.indices("t i j")
    w, x, h0 = gc.tensor("W", m, m), gc.tensor("x", gc.dim("T"), m), gc.tensor("h0", m)
    h, loss = gc.tensor("h"), gc.tensor("L")
    h[-1, i] = h0[i]
    h[t, i] = gc.tanh(gc.sum(w[i, j] * h[t - 1, j], over=j) + x[t, i])
    loss[()] += h[t, i] ** 2
    return loss, [w, h0]


def product():
    b, i = gc.indices("b i")
    x, y, loss = gc.tensor("X", gc.dim("N"), gc.dim("M")), gc.tensor("Y"), gc.tensor("L")
    y[b] = gc.prod(x[b, i], over=i)
    loss[()] += y[b] ** 2
    return loss, [x]


PROGRAMS = [layer, strided_convolution, padded_convolution, max_pooling, softmax_cross_entropy, recurrence, product]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_gradient(program, golden):
    loss, wrt = program()
    golden(told(*gc.grad(loss, wrt)))


def test_second_derivative(golden):
    loss, (x,) = product()
    total, b, i = gc.tensor("G"), *gc.indices("b i")
    total[()] += gc.grad(loss, x)[b, i] ** 2
    golden(told(gc.grad(total, x)))


def test_forward_mode(golden):
    loss, (_, c) = layer()
    change = gc.tensor("c_change", gc.dim("M"))
    golden(told(gc.jvp(loss, {c: change}), gc.hvp(loss, {c: change})[c]))


def test_batch(golden):
    loss, wrt = layer()
    many = gc.vmap(gc.grad(loss, wrt[1]), {wrt[1]: 7})
    golden(told(many))


def test_softmax_of_the_user(golden):
    """What the compiler makes of lines that the user wrote."""
    b, i, j = gc.indices("b i j")
    z, y, s = gc.tensor("Z", gc.dim("N"), gc.dim("K")), gc.tensor("Y"), gc.tensor("S")
    y[b, i] = gc.exp(z[b, i]) / gc.sum(gc.exp(z[b, j]), over=j)
    s[b, i] = gc.log(1 + gc.exp(y[b, i]))
    golden(told(s))


def test_contraction_order(golden):
    n = gc.dim("N")
    i, j, k, m = gc.indices("i j k m")
    a, b, c, y = gc.tensor("A", n, n), gc.tensor("B", n, n), gc.tensor("C", n, n), gc.tensor("Y")
    y[i, m] += a[i, j] * b[j, k] * c[k, m]
    golden(told(y))


def test_equal_temporaries_are_merged():
    i, j = gc.indices("i j")
    x, y, z = gc.tensor("X", gc.dim("N"), 5), gc.tensor("Y"), gc.tensor("Z")
    y[i] = gc.max(x[i, j], over=j) ** 2
    z[i] = y[i] + gc.max(x[i, j], over=j) ** 3
    assert "    rewrite      merge: Y.max is Z.max" in told(z).splitlines()


def test_what_needs_no_derivation():
    i = gc.index("i")
    x, y = gc.tensor("x", 3), gc.tensor("y")
    y[i] = 2 * x[i]
    assert told(y) == "for i:  y[i] = 2*x[i]"
    assert told(x) == "x is an input of the program"
    assert told([y, x]) == "x is an input of the program\n\nfor i:  y[i] = 2*x[i]"


def test_a_tensor_that_is_not_reached():
    i = gc.index("i")
    x, y, loss = gc.tensor("x", 3), gc.tensor("y", 3), gc.tensor("L")
    loss[()] += x[i]
    assert told(gc.grad(loss, y)) == "for i:  y.grad[i] = 0\n    given        L does not depend on y"


def test_names_are_those_of_the_program_that_is_explained():
    """The adjoints of two losses share their names; the second ones are numbered, also inside of derivations."""
    i = gc.index("i")
    x, first, second = gc.tensor("x", gc.dim("N")), gc.tensor("L"), gc.tensor("K")
    y = gc.tensor("y")
    y[i] = gc.tanh(x[i])
    first[()] += y[i] ** 2
    second[()] += y[i] ** 3
    text = told(gc.grad(first, x), gc.grad(second, x))
    assert "    chain rule   x.grad[i] += y.grad[i] · ∂y[i]/∂x[i]" in text.splitlines()
    assert "    chain rule   x.grad_2[i] += y.grad_2[i] · ∂y[i]/∂x[i]" in text.splitlines()


def test_scatters_say_why_they_stay():
    b, d = gc.indices("b d")
    tok, e = gc.tensor("tok", gc.dim("N"), dtype="int64"), gc.tensor("E", 100, gc.dim("D"))
    y, loss = gc.tensor("Y"), gc.tensor("L")
    y[b, d] = gc.sin(e[tok[b], d])
    loss[()] += y[b, d] ** 2
    assert "    scatter      tok[b] is data, so there is no equation to solve: it stays a scatter" in told(gc.grad(loss, e)).splitlines()
    loss, (x,) = max_pooling(stride=3)
    assert "    left side    3*p + u hits each element once: the loops stay" in told(gc.grad(loss, x)).splitlines()


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_latex_balances(program):
    loss, wrt = program()
    explanation = gc.explain(loss, *gc.grad(loss, wrt))
    text = str(explanation.latex())
    for opened, closed in (("{", "}"), (r"\\left\b", r"\\right\b"), (r"begin{aligned}", r"end{aligned}"), (r"begin{cases}", r"end{cases}")):
        assert len(re.findall(opened, text)) == len(re.findall(closed, text))
    assert text.count(r"\frac{\partial") >= len(wrt)
    assert explanation._repr_latex_() == f"$${text}$$"
    assert repr(explanation) == str(explanation)


def test_latex(golden):
    loss, (a, _) = layer()
    golden(re.sub(r"line \d+", "line <line>", str(gc.explain(gc.grad(loss, a)).latex())))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_lines_are_those_of_loops(program):
    loss, wrt = program()
    gradients = gc.grad(loss, wrt)
    printed = str(gc.loops(*gradients)).splitlines()
    lines = [entry.line for entry in gc.explain(*gradients).entries]
    assert lines == [line for line in printed if line in lines]
    assert {line for line in printed if ".grad" in line.split("=")[0]} <= set(lines)


RANGES = [(layer, dict(N=3, D=2, M=4)), (strided_convolution, dict(N=9, R=4)), (padded_convolution, dict(N=2)),
          (max_pooling, dict(N=2)), (product, dict(N=2, M=3))]


@pytest.mark.parametrize(("program", "sizes"), RANGES, ids=lambda p: getattr(p, "__name__", ""))
def test_ranges_are_the_points_of_the_loops(program, sizes):
    """The printed bounds, executed as Python loops, visit the points of the statement, each once."""
    loss, wrt = program()
    gradients = gc.grad(loss, wrt)
    lines = {statement(s): s for s in graph_of(*gradients).statements}
    values = {Size(name): value for name, value in sizes.items()}
    checked = 0
    for entry in gc.explain(*gradients).entries:
        rows = [s.text for k, s in enumerate(entry.steps) if (s.label or entry.steps[k - 1].label) in ("range", "sum over")]
        if not rows or not entry.line.split("[")[0].endswith(".grad"):
            continue
        item = lines[entry.line]
        bounds = [(low, *rest.split(" < ")) for low, rest in (part.split(" <= ") for part in outer_parts(", ".join(rows)))]
        box = itertools.product(*(range(size_value(r.lower, values), size_value(r.upper, values)) for r in item.loops))
        wanted = [dict(zip((r.index for r in item.loops), point)) for point in box]
        wanted = [p for p in wanted if all(size_value(d, values | p) >= 0 for d in item.domain)]
        found = [{Index(name): p[name] for _, name, _ in bounds} for p in points(bounds, sizes)]
        assert sorted(map(sorted_items, found)) == sorted(map(sorted_items, wanted))
        checked += 1
    assert checked >= len(wrt)


def sorted_items(point):
    return sorted((str(index), value) for index, value in point.items())


def outer_parts(text):
    """The text cut at commas outside of parentheses."""
    depth, parts = 0, [""]
    for sign in text:
        depth += (sign == "(") - (sign == ")")
        if sign == "," and not depth:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts]


def points(bounds, environment):
    """What nested loops with these bounds visit."""
    if not bounds:
        yield dict(environment)
        return
    (low, name, high), *rest = bounds
    for value in range(eval(low, {}, dict(environment)), eval(high, {}, dict(environment))):
        yield from points(rest, {**environment, name: value})
