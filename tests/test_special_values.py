"""NaN, infinities and zeros: NumPy's values in whole programs, on every target."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gc

TARGETS = ["interpret", "cpu"]
N = gc.dim("N")
i = gc.index("i")


def array(*values):
    return np.array(values, "float32")


@pytest.mark.parametrize("target", TARGETS)
def test_powers_of_nan_and_infinity_are_those_of_numpy(target):
    x, y, z = gc.tensor("x", N), gc.tensor("y", N), gc.tensor("z")
    z[i] = gc.power(x[i], y[i])
    base = array(1, 2, np.nan, 2, 0, 0, -1, -1, 0.5, np.inf, -np.inf)
    exponent = array(np.nan, np.nan, 0, np.inf, -1, np.nan, np.inf, 0.5, -np.inf, -1, 3)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(gc.compile(z, target=target)(x=base, y=exponent), base**exponent)


@pytest.mark.parametrize("target", TARGETS)
def test_logarithms_outside_of_their_domain_are_those_of_numpy(target):
    x, y, z = gc.tensor("x", N), gc.tensor("y"), gc.tensor("z")
    y[i] = gc.log(x[i])
    z[i] = gc.log1p(x[i])
    given = array(0, -1, -2, 1, np.inf, -np.inf, np.nan)
    with np.errstate(all="ignore"):
        want = np.log(given), np.log1p(given)
    np.testing.assert_allclose(gc.compile((y, z), target=target)(x=given), want, rtol=1e-6)


@pytest.mark.parametrize("target", TARGETS)
def test_reciprocal_roots(target):
    """Also where the compiler could take an estimate that is NaN at zero and at infinity, and in vectors of any length."""
    x, y, z, total = gc.tensor("x", N), gc.tensor("y"), gc.tensor("z"), gc.tensor("total")
    y[i] = 3 / gc.sqrt(x[i])
    z[i] = gc.rsqrt(x[i])
    total[()] += gc.sqrt(x[i])
    given = np.tile(array(0, -0.0, 1, 4, np.inf, -np.inf, -1, np.nan, 3e38), 5)
    with np.errstate(all="ignore"):
        root = np.sqrt(given)
        want = 3 / root, 1 / root, 0.5 / root
    found = gc.compile((y, z, gc.grad(total, x)), target=target)(x=given)
    np.testing.assert_allclose(found, want, rtol=1e-6)


@pytest.mark.parametrize("target", TARGETS)
def test_the_reciprocal_of_a_condition_that_is_known_to_be_false_is_infinite(target):
    table, i = gc.tensor("table", 2, dtype="uint8"), gc.index("i", 2)
    for function, expected in ((gc.rsqrt, np.inf), (lambda c: -1 / c, -np.inf)):
        y = gc.tensor("y")
        y[i] = gc.where(i >= 2, 1, table[i]) + function(i >= 2)
        np.testing.assert_array_equal(gc.compile(y, target=target)(table=np.array([2, 0], "uint8")), [expected, expected])


@pytest.mark.parametrize("target", TARGETS)
def test_logsumexp_of_infinities(target):
    """An infinite term decides alone; elsewhere the weights are those of the finite ones, as in PyTorch."""
    x, y, total = gc.tensor("x", N, 3), gc.tensor("y"), gc.tensor("total")
    j = gc.index("j")
    y[i] = gc.logsumexp(x[i, j], over=j)
    total[()] += y[i]
    inf, nan = np.inf, np.nan
    given = np.array([[-inf, -inf, -inf], [0, -inf, 0], [inf, 0, -inf], [nan, inf, 0]], "float32")
    value, slope = gc.compile((y, gc.grad(total, x)), target=target)(x=given)
    np.testing.assert_allclose(value, [-inf, np.log(2), inf, nan], rtol=1e-6)
    np.testing.assert_allclose(slope, [[nan, nan, nan], [0.5, 0, 0.5], [nan, 0, 0], [nan, nan, nan]], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16"])
@pytest.mark.parametrize("value", [
    lambda a, b: (a - b) * 0.5, lambda a, b: -a / (b + 1), lambda a, b: gc.minimum(a, b) * 1.5 - a,
    lambda a, b: gc.where(a - b < 0, 1.5, -a),
    lambda a, b: gc.abs(a - b) - a * b,
])
def test_small_integers_in_an_expression_have_a_sign_and_do_not_overflow(dtype, value):
    """Images are uint8: what lies between them and the result is computed exactly."""
    x, y = gc.tensor("x", 4, dtype=dtype), gc.tensor("y", dtype="float64")
    i, j = gc.indices("i j")
    y[i, j] = value(x[i], x[j])
    numbers = np.array([0, 3, 100, 127 if dtype != "uint8" else 255], dtype)
    wide = numbers.astype("int64")
    expected = np.array([[float(gc.compile(_one(value, int(a), int(b)), target="interpret")()) for b in wide] for a in wide])
    for target in ("interpret", "cpu"):
        np.testing.assert_array_equal(gc.compile(y, target=target)(x=numbers), expected)


def _one(value, a, b):
    """The same of two wide integers."""
    one, z = gc.tensor("one", 2, dtype="int64"), gc.tensor("z", dtype="float64")
    i = gc.index("i", 2)
    one[i] = gc.where(i == 0, a, b)
    z[()] = value(one[0], one[1])
    return z


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_slopes_of_powers_of_zero(target, dtype):
    """As PyTorch has them: the 0th power is flat, and so are powers of zero that are not infinite."""
    a, b, y = gc.tensor("a", N), gc.tensor("b", N, dtype=dtype), gc.tensor("y")
    y[()] += gc.power(a[i], b[i])
    inf = np.inf
    base, exponent = array(0, 0, 0, 0, 2, -2), np.array([0, 1, 2, -1, 0, 0], dtype)
    names = [a, b] if dtype == "float32" else [a]
    slopes = gc.compile(gc.grad(y, names), target=target)(a=base, b=exponent)
    wanted = [[0, 1, 0, -inf, 0, 0], [0, 0, 0, -inf, np.log(2), np.nan]]
    for slope, want in zip(slopes, wanted, strict=False):
        np.testing.assert_allclose(slope, want, rtol=1e-6)
    curvature = gc.compile(gc.hvp(y, {a: _ones(N)})[a], target=target)(a=base, b=exponent)
    np.testing.assert_allclose(curvature, [0, 0, 2, inf, 0, 0], rtol=1e-6)


@pytest.mark.parametrize("target", TARGETS)
def test_mixed_slopes_of_powers_of_zero(target):
    a, b, y = gc.tensor("a", ()), gc.tensor("b", ()), gc.tensor("y")
    y[()] = gc.power(a[()], b[()])
    slope_a, slope_b = gc.grad(y, [a, b])
    second = gc.compile([*gc.grad(slope_a, [a, b]), gc.grad(slope_b, b)], target=target)
    for exponent, want in (0, (0, 0, 0)), (1, (0, 1, 0)), (2, (2, 0, 0)), (3, (0, 0, 0)):
        assert [float(v) for v in second(a=0.0, b=float(exponent))] == [*want]


@pytest.mark.parametrize("target", TARGETS)
def test_powers_by_an_index(target):
    """The slope of a polynomial at 0 is its second coefficient; the loop begins there."""
    k, x, c = gc.index("k", 4), gc.tensor("x", N), gc.tensor("c", 4)
    V, y = gc.tensors("V y")
    V[i, k] = x[i] ** k
    y[()] += c[k] * V[i, k]
    slope = gc.grad(y, x)
    assert "for i,k if 1<=k:  x.grad[i] += V.grad[i,k]*x[i]**(k - 1)*k" in str(gc.loops(slope))
    outputs = [slope, gc.hvp(y, {x: _ones(N)})[x]]
    given, factors = array(0, 1, -2), array(7, 5, 3, 2)
    first, second = gc.compile(outputs, target=target)(x=given, c=factors)
    np.testing.assert_allclose(first, 5 + 6 * given + 6 * given**2, rtol=1e-6)
    np.testing.assert_allclose(second, 6 + 12 * given, rtol=1e-6)


@pytest.mark.parametrize("target", TARGETS)
def test_the_angle_at_the_origin_is_flat(target):
    a, b, y = gc.tensor("a", N), gc.tensor("b", N), gc.tensor("y")
    y[()] += gc.atan2(a[i], b[i])
    up, right = array(0, 0, 3, -0.0), array(0, 2, 4, 0)
    slopes = gc.grad(y, [a, b])
    found = gc.compile([*slopes, *gc.hvp(y, {a: _ones(N), b: _ones(N)}).values()], target=target)(a=up, b=right)
    np.testing.assert_allclose(found[:2], [[0, 0.5, 4 / 25, 0], [0, 0, -3 / 25, 0]], rtol=1e-6)
    assert np.isfinite(found).all()


def _ones(size):
    one = gc.tensor("one")
    i = gc.index("i", size)
    one[i] = 1.0
    return one


@pytest.mark.parametrize("target", TARGETS)
def test_mixed_second_derivatives_of_a_power_that_is_flat(target):
    """Where the exponent is 0 the slope in the base is 0, but not its slope in the exponent."""
    a, b, y = gc.tensor("a", ()), gc.tensor("b", ()), gc.tensor("y")
    y[()] = a[()] ** b[()]
    mixed = [gc.grad(gc.grad(y, a), b), gc.grad(gc.grad(y, b), a)]
    np.testing.assert_allclose(gc.compile(mixed, target=target)(a=np.float32(2), b=np.float32(0)), [0.5, 0.5])
