"""Integer expressions in generated text, against their values."""

import itertools
from random import Random

import numpy as np
import pytest
import sympy as sp

import graphc as gc
from graphc.emit.expression import Writer
from graphc.interpret import size_value
from graphc.ir.expr import FloorDiv, Index, Modulo, Size

I, J, N = Index("i"), Index("j"), Size("N")


@pytest.mark.parametrize("seed", range(200))
def test_integers(seed):
    """Found by random programs: ``-(i % 2)`` was written ``-i % 2``, and ``-((1 - x) // 2)`` as ``(-1) * (1 - x) // 2``."""
    random = Random(seed)

    def form(depth):
        total = sum((random.randint(-2, 2) * a for a in (I, J, N)), sp.Integer(random.randint(-3, 3)))
        if depth and random.random() < 0.8:
            total = random.choice([0, 1]) * total + random.choice([-2, -1, 1, 3]) * random.choice([FloorDiv, Modulo])(
                form(depth - 1), random.randint(2, 4)
            )
        return total * random.choice([1, 1, N])

    node = form(2)
    text = Writer(lambda t: "float32", lambda t: t, lambda t: t, lambda t, a, d: t).integer(sp.sympify(node))
    for point in itertools.islice(itertools.product(range(-2, 3), range(-2, 3), range(3)), 40):
        assert eval(text, {}, dict(zip("ijN", point, strict=True))) == size_value(node, {I: point[0], J: point[1], N: point[2]}), text


def test_powers_of_indices_do_not_overflow():
    """Where a float is needed they are floats: 70000**4 does not fit into 64 bits."""
    N, i = gc.dim("N"), gc.index("i")
    x, y = gc.tensor("x", N), gc.tensor("y")
    y[i] = x[i] * i**4 + 0.5 * (i**3 + N) * i + N**4
    got = gc.compile(y)(x=np.ones(70_000, np.float32))
    n = np.arange(70_000, dtype=np.float64)
    np.testing.assert_allclose(got, n**4 + 0.5 * (n**3 + 70_000) * n + 70_000.0**4, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_powers_of_three_halves(dtype):
    """x * sqrt(x), with the special values of a power."""
    x, y, z, i = gc.tensor("x", gc.dim("N"), dtype=dtype), *gc.tensors("y z"), gc.index("i")
    y[i] = (x[i] - 1) ** 1.5
    z[i] = x[i] ** -1.5
    program = gc.compile([y, z])
    assert "power" not in program.source
    given = np.array([0, -0.0, 1e-30, 0.3, 1, 2, 7.1, 1e20, 1e25, np.inf, -np.inf, np.nan, -1], dtype)
    for got, exact in zip(program(x=given), gc.compile([y, z], target="interpret")(x=given), strict=True):
        np.testing.assert_allclose(got, exact, rtol=4 * np.finfo(dtype).eps)
