"""Programs as formulas."""

import pytest

import graphc as gc
from graphc.ir.latex import name_latex


def body(*tensors):
    lines = str(gc.latex(*tensors)).splitlines()
    assert lines[0] == r"\begin{aligned}"
    assert lines[-1] == r"\end{aligned}"
    return [line.removesuffix(r" \\") for line in lines[1:-1]]


def one(define, shape=("N",), **extents):
    """The formula of a tensor y defined by `define(y, x, i, j)`."""
    i, j = gc.indices("i j")
    x, y = gc.tensor("x", *(gc.dim(s) for s in shape)), gc.tensor("y")
    define(y, x, i, j)
    return body(y)[-1]


def test_layer_and_gradient():
    n, d, m = gc.dims("N D M")
    b, i, j = gc.indices("b i j")
    x, a, c, t = gc.tensor("X", n, d), gc.tensor("A", d, m), gc.tensor("c", m), gc.tensor("T", n, m)
    u, y, loss = gc.tensors("U Y L")
    u[b, i] += x[b, j] * a[j, i]
    y[b, i] = gc.sigmoid(u[b, i] + c[i])
    loss[()] += (y[b, i] - t[b, i]) ** 2 / n
    assert body(loss, *gc.grad(loss, [a, c])) == [
        r"U_{b,i} &= \sum_{j} X_{b,j} A_{j,i}",
        r"Y_{b,i} &= \sigma\left(U_{b,i} + c_{i}\right)",
        r"L &= \sum_{b,i} \frac{\left(Y_{b,i} - T_{b,i}\right)^{2}}{N}",
        r"\bar{Y}_{b,i} &= \frac{2 \left(Y_{b,i} - T_{b,i}\right)}{N}",
        r"\bar{U}_{b,i} &= \bar{Y}_{b,i} Y_{b,i} \left(1 - Y_{b,i}\right)",
        r"\bar{A}_{j,i} &= \sum_{b} \bar{U}_{b,i} X_{b,j}",
        r"\bar{c}_{i} &= \sum_{b} \bar{U}_{b,i}",
    ]


def assign(make):
    def define(y, x, i, j):
        y[i] = make(x, i, j)
    return define


@pytest.mark.parametrize(("make", "expected"), [
    (lambda x, i, j: gc.exp(-x[i]), r"\exp\left(-x_{i}\right)"),
    (lambda x, i, j: gc.sqrt(x[i] + 1), r"\sqrt{x_{i} + 1}"),
    (lambda x, i, j: gc.abs(x[i]) / 2, r"\frac{\left|x_{i}\right|}{2}"),
    (lambda x, i, j: gc.where(x[i] > 0, x[i], 0), r"\begin{cases} x_{i} & x_{i} > 0 \\ 0 & \text{otherwise} \end{cases}"),
    (lambda x, i, j: gc.leaky_relu(x[i]), r"\operatorname{leaky\_relu}\left(x_{i}, 0.01\right)"),
    (lambda x, i, j: gc.maximum(x[i], 0.5), r"\max\left(x_{i}, 0.5\right)"),
    (lambda x, i, j: 1e-7 * x[i], r"1 \cdot 10^{-7} x_{i}"),
    (lambda x, i, j: x[i] - 3, "x_{i} - 3"),
    (lambda x, i, j: (x[i] + 1) ** 3, r"\left(x_{i} + 1\right)^{3}"),
])
def test_expressions(make, expected):
    assert one(assign(make)) == rf"y_{{i}} &= {expected}"


def test_nested_reductions():
    def define(y, x, i, j):
        y[i] = gc.max(x[i, j], over=j) + gc.sum(x[i, j] + 1, over=j)
    assert one(define, ("N", "M")) == r"y_{i} &= \max_{j} x_{i,j} + \sum_{j_{2}} \left(x_{i,j_{2}} + 1\right)"


def test_boundaries_and_compound_subscripts():
    def define(y, x, i, j):
        r = gc.index("r", 3)
        p = gc.index("p", gc.dim("N"))
        y[p] += gc.pad(x, 0)[p + r - 1]
    assert one(define) == r"y_{p} &= \sum_{r} \operatorname{pad}_{0}(x)_{p+r-1}"


def test_limits_are_written_where_an_index_does_not_start_at_zero():
    def define(y, x, i, j):
        k = gc.index("k", 1, 5)
        y[()] += k * x[i]
    assert r"\substack" in one(define)
    assert r" \\ 1 \le k < 5}}" in one(define)


def test_contributions_and_scatters_keep_their_sign():
    n = gc.dim("N")
    i = gc.index("i")
    x, tok = gc.tensor("x", n), gc.tensor("tok", n, dtype="int64")
    y, h = gc.tensor("y"), gc.tensor("h", 10)
    y[i] += x[i]
    y[i] += 2 * x[i]
    h[tok[i]] += x[i]
    assert body(y) == [r"y_{i} &\mathrel{+}= x_{i}", r"y_{i} &\mathrel{+}= 2 x_{i}"]
    assert body(h) == [r"h_{\mathrm{tok}_{i}} &\mathrel{+}= x_{i}"]


@pytest.mark.parametrize(("name", "expected"), [
    ("A", "A"), ("sigma", r"\sigma"), ("w1", r"\mathrm{w1}"), ("my_loss", r"\mathrm{my\_loss}"),
    ("A.grad", r"\bar{A}"), ("A.grad.grad", r"\bar{\bar{A}}"),
    ("theta.grad", r"\bar{\theta}"), ("fc1.weight.grad", r"\overline{\mathrm{fc1.weight}}"), ("Y.grad_2", r"\bar{Y}^{(2)}"),
    ("W.grad.sum", r"\mathrm{W.grad.sum}"),
])
def test_names(name, expected):
    assert name_latex(name) == expected


def test_notebooks_typeset_it():
    i = gc.index("i")
    x, y = gc.tensor("x", 3), gc.tensor("y")
    y[i] = x[i]
    shown = gc.latex(y)
    assert shown._repr_latex_() == f"$${shown}$$"
    assert repr(shown) == str(shown)


def test_braces_balance():
    i, j = gc.indices("i j")
    x, y, loss = gc.tensor("x", gc.dim("N"), 5), gc.tensor("y"), gc.tensor("L")
    y[i] = gc.where((x[i, 0] > 0) & (x[i, 1] < 1), gc.logsumexp(x[i, j], over=j), gc.log(x[i, 0]))
    loss[()] += y[i] ** 2
    text = str(gc.latex(loss, gc.grad(loss, x)))
    assert text.count("{") == text.count("}")
    assert text.count(r"\left") == text.count(r"\right")
