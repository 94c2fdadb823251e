# ruff: noqa: E501
"""The text of an expression means the expression."""

import itertools
import math
from random import Random

import pytest
import sympy as sp

import graphc as gc
from graphc.interpret import size_value
from graphc.ir.expr import Access, FloorDiv, Index, Modulo, Size
from graphc.ir.show import conditions, expression
from tests.notation import graph_of, text

I, J, N = Index("i"), Index("j"), Size("N")


def drawn(random, depth):
    """(an expression of the notation, a Python text of the same)."""
    if depth == 0:
        x = gc.tensor("X", 4)
        position = random.randrange(4)
        number = random.choice([2, 3, 0.5, -2, -0.25, 7])
        return random.choice([(x[position], f"X[{position}]"), (x[position], f"X[{position}]"), (number, f"({number})")])
    (a, s), (b, t) = drawn(random, depth - 1), drawn(random, depth - 1)
    sign = random.choice(["+", "-", "*", "/", "neg", "**2", "**-1", "where"])
    if sign == "neg":
        return -a, f"(-{s})"
    if sign in ("**2", "**-1"):
        return a ** int(sign[2:]), f"({s}){sign}"
    if sign == "where":
        return gc.where(gc.tensor("X", 4)[0] > 0, a, b), f"(({s}) if X[0] > 0 else ({t}))"
    return {"+": lambda: a + b, "-": lambda: a - b, "*": lambda: a * b, "/": lambda: a / b}[sign](), f"({s} {sign} {t})"


@pytest.mark.parametrize("seed", range(300))
def test_expressions(seed):
    random = Random(seed)
    try:
        value, python = drawn(random, 3)
    except ZeroDivisionError:
        pytest.skip("a constant expression divides by zero")
    shown = repr(value)
    names = {"X": [random.uniform(-2, 2) for _ in range(4)], "where": lambda c, a, b: a if c else b, "nan": math.nan, "inf": math.inf}
    try:
        want = eval(python, dict(names))
    except (ZeroDivisionError, OverflowError):
        pytest.skip("the expression divides by zero")
    try:
        got = eval(shown, dict(names))
    except ZeroDivisionError:
        pytest.skip("where is not lazy in Python")
    assert got == pytest.approx(want, rel=1e-9), (shown, python)


@pytest.mark.parametrize("seed", range(100))
def test_subscripts(seed):
    random = Random(seed)

    def form():
        return sum((random.randint(-2, 2) * a for a in (I, J, N)), sp.Integer(random.randint(-3, 3)))

    node = form() + random.choice([-1, 1, 2]) * random.choice([FloorDiv, Modulo])(form(), random.randint(2, 4))
    for point in itertools.islice(itertools.product(range(-2, 3), range(-2, 3), range(3)), 30):
        values = dict(zip("ijN", point, strict=True))
        assert eval(expression(node), {}, values) == size_value(node, {I: point[0], J: point[1], N: point[2]}), expression(node)


def test_conditions_are_written_as_ranges():
    assert conditions((I - 1, N - I)) == ["0<=i-1<N"]
    assert conditions((J - I,)) == ["i<=j"]
    assert conditions((I - J, J - I)) == ["i-j==0"]


@pytest.mark.parametrize(
    ("build", "shown"),
    [
        (lambda x: 1 - x, "1 - X[i]"), (lambda x: x * (1 - x), "X[i]*(1 - X[i])"), (lambda x: -x / 2, "-X[i]/2"), (lambda x: x**-1, "1/X[i]"),
        (lambda x: gc.sqrt(x), "sqrt(X[i])"), (lambda x: 2**x, "2**X[i]"), (lambda x: (x + 1) ** 2, "(X[i] + 1)**2"), (lambda x: -(x**2), "-X[i]**2"),
        (lambda x: 0.1 * x, "0.1*X[i]"), (lambda x: x / (2 * x + 1), "X[i]/(2*X[i] + 1)"), (lambda x: (x > 0) & (x < 1), "(X[i] > 0) & (X[i] < 1)"),
    ],
)  # fmt: skip
def test_forms(build, shown):
    assert repr(build(gc.tensor("X", 4)[gc.index("i")])) == shown


def test_factors_keep_the_order_of_the_source():
    i, j = gc.indices("i j")
    b, a, y = gc.tensor("B", 3, 3), gc.tensor("A", 3), gc.tensor("Y")
    y[i] += b[i, j] * a[j] * a[i] + b[j, i]
    assert text(graph_of(y)) == "for i,j:  Y[i] += B[i,j]*A[j]*A[i] + B[j,i]"


def test_subscripts_keep_the_order_of_the_loops():
    f, p, r = gc.index("f", 4), gc.index("p", 7), gc.index("r", 3)
    q = gc.index("q", 7)
    w, m, y, z = gc.tensor("W", 196), gc.tensor("M", 4, 7, 7), gc.tensor("Y"), gc.tensor("Z")
    y[()] += w[49 * f + q + 7 * p] * m[f, p, q]
    z[p] += w[p + 2 * r]
    assert text(graph_of(y)) == "for f,p,q:  Y[()] += W[49*f+7*p+q]*M[f,p,q]"
    assert text(graph_of(z)) == "for p,r:  Z[p] += W[p+2*r]"
    assert repr(q + 7 * p + 49 * f - 1) == "49*f + 7*p + q - 1"


def test_accesses_without_subscripts():
    assert expression(Access("L")) == "L[()]"
