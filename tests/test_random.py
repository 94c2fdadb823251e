"""Random numbers in programs: equal on every target, in every schedule and after every pass; never differentiated; well distributed."""

from __future__ import annotations

import importlib
import math

import numpy as np
import pytest

import graphc as gc
from graphc.ir.random import draw, normal32, polar, uniform32, uniform64

N, M = gc.dims("N M")
i, j, p, r, t = gc.indices("i j p r t")
key = gc.tensor("key", (), dtype="int64")
X = gc.tensor("X", N, M)
KEY = -123_456_789_012_345


def numbers(function, *positions, seed=KEY):
    """The numbers for arrays of index values, by the definition."""
    results = []
    for indices in np.broadcast(*positions):
        bits = seed
        for index in indices:
            bits = draw(bits, int(index))
        results.append(function(bits))
    return np.array(results).reshape(np.broadcast(*positions).shape)


def everywhere(outputs, **arrays):
    """The results of every target that runs here."""
    found = [gc.compile(outputs, target="interpret")(**arrays)]
    found += [gc.compile(outputs, threads=threads)(**arrays) for threads in (1, 3)]
    return found


def test_definition():
    U, V, W, Z = gc.tensors("U V W Z")
    a, b = gc.index("a", 5), gc.index("b", 9)
    U[a, b] = gc.uniform(key[()], a, 2 * b - 1)
    V[b, a] = gc.uniform(77, b // 2, 3, a - 4)
    W[a] = gc.uniform(key[()] + 1, a)
    Z[a, b] = gc.normal(key[()], a, b)
    rows, columns = np.arange(5)[:, None], np.arange(9)[None]
    want = [
        numbers(uniform32, rows, 2 * columns - 1), numbers(uniform32, columns.T // 2, 3, rows.T - 4, seed=77),
        numbers(uniform32, rows[:, 0], seed=KEY + 1), numbers(lambda bits: normal32(polar(bits)), rows, columns),
    ]  # fmt: skip
    for found in everywhere([U, V, W, Z], key=KEY):
        for got, wanted in zip(found, want, strict=True):
            assert got.dtype == np.float32
            np.testing.assert_array_equal(got, wanted)


def test_the_order_of_loops_does_not_matter():
    """Along rows and columns, in long and in short loops, alone and within other arithmetic."""
    x = np.random.default_rng(0).normal(size=(37, 70)).astype(np.float32)
    V, S, A = gc.tensors("V S A")
    i, j = gc.index("i", 37), gc.index("j", 70)
    V[j, i] = gc.uniform(key[()], i, j)
    S[j, i] = gc.where(X[i, j] > 0, gc.uniform(key[()], i, j), -1)
    A[i] = gc.max(gc.where(gc.uniform(key[()], i, j) < 0.5, X[i, j], 0), over=j)
    want = numbers(uniform32, np.arange(37)[:, None], np.arange(70)[None])
    for v, s, a in everywhere([V, S, A], key=KEY, X=x):
        np.testing.assert_array_equal(v, want.T)
        np.testing.assert_array_equal(s, np.where(x > 0, want, np.float32(-1)).T)
        np.testing.assert_array_equal(a, np.where(want < 0.5, x, 0).max(1))


def test_float64_has_53_bits_and_the_same_beginning():
    U, V = gc.tensor("U", 50, dtype="float64"), gc.tensor("V", 50)
    U[i] = gc.uniform(key[()], i)
    V[i] = gc.uniform(key[()], i)
    for u, v in everywhere([U, V], key=KEY):
        np.testing.assert_array_equal(u, numbers(uniform64, np.arange(50)))
        np.testing.assert_array_equal(v, np.floor(u * 2**24) / 2**24)
    (_, v) = gc.compile([U, V], precision="float64")(key=KEY)
    np.testing.assert_array_equal(v, numbers(uniform32, np.arange(50)))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32"])
def test_keys_and_indices_from_small_integers(dtype):
    small, number, U = gc.tensor("small", (), dtype=dtype), gc.tensor("number", N, dtype=dtype), gc.tensor("U")
    U[i] = gc.uniform(small[()], 2 * number[i])
    values = np.array([3, 100, 0], dtype)
    for u in everywhere(U, small=100, number=values):
        np.testing.assert_array_equal(u, numbers(uniform32, 2 * values.astype(int), seed=100))


def dropout(x, y, rate):
    return gc.where(gc.uniform(key[()], i, j) >= rate, x[i, j] / (1 - rate), 0)


def test_dropout_keeps_no_mask():
    Y, L = gc.tensors("Y L")
    Y[i, j] = dropout(X, Y, 0.25)
    L[()] += Y[i, j] ** 2
    dX = gc.grad(L, X)
    text = gc.loops(dX)
    assert text.count("uniform(key[()], i, j) >= 0.25") == 2
    assert {line.split(":  ")[1].split("[")[0] for line in text.splitlines()} == {"Y", "Y.grad", "X.grad"}
    x = np.random.default_rng(0).normal(size=(20, 30)).astype(np.float32)
    kept = numbers(uniform32, np.arange(20)[:, None], np.arange(30)[None]) >= 0.25
    for y, gradient in everywhere([Y, dX], key=KEY, X=x):
        np.testing.assert_allclose(y, np.where(kept, x / 0.75, 0), rtol=1e-6)
        np.testing.assert_allclose(gradient, np.where(kept, 2 * x / 0.75**2, 0), rtol=1e-6)
    assert gc.check_grad(L, X, X=x[:3, :4], key=5) < 1e-7


def test_second_derivative():
    x, L, G = gc.tensor("x", N), *gc.tensors("L G")
    L[()] += gc.uniform(key[()], i) * x[i] ** 3
    dx = gc.grad(L, x)
    G[()] += gc.normal(key[()], i) * dx[i]
    xs = np.linspace(-1, 1, 6).astype(np.float32)
    u, z = numbers(uniform32, np.arange(6)), numbers(lambda bits: normal32(polar(bits)), np.arange(6))
    found = gc.compile(gc.grad(G, x), target="interpret")(key=KEY, x=xs)
    np.testing.assert_allclose(found, 6 * u * z * xs, rtol=1e-5)


def test_gradient_of_a_window_solves_for_the_index_that_draws():
    """X.grad is gathered: p becomes x - r, in the arguments of the random number as well."""
    w, x, L = gc.tensor("w", 3), gc.tensor("x", N), gc.tensor("L")
    L[()] += w[r] * x[p + r] * gc.uniform(key[()], p, r)
    xs, ws = np.random.default_rng(0).normal(size=(2, 9)).astype(np.float32)
    drawn = numbers(uniform32, np.arange(7)[:, None], np.arange(3)[None])
    dx, dw = np.zeros(9), np.zeros(3)
    for p_ in range(7):
        for r_ in range(3):
            dx[p_ + r_] += ws[r_] * drawn[p_, r_]
            dw[r_] += xs[p_ + r_] * drawn[p_, r_]
    found = gc.compile(gc.grad(L, [x, w]), target="interpret")(key=KEY, x=xs, w=ws[:3])
    np.testing.assert_allclose(found[0], dx, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[1], dw, rtol=1e-5, atol=1e-6)


def test_recurrence_and_its_gradient():
    """A random walk with a drift; time is shifted by the compiler, the numbers are not."""
    a, h, L = gc.tensor("a", ()), *gc.tensors("h L")
    T = gc.index("t", 6)
    h[0] = 1.0
    h[T + 1] = a[()] * h[T] + gc.normal(key[()], T)
    L[()] += h[T + 1] ** 2
    z = numbers(lambda bits: normal32(polar(bits)), np.arange(6))
    found = gc.compile([h, gc.grad(L, a)], target="interpret")(key=KEY, a=0.5)
    state, slope, total = 1.0, 0.0, 0.0
    for t_ in range(6):
        state, slope = 0.5 * state + z[t_], state + 0.5 * slope
        np.testing.assert_allclose(found[0][t_ + 1], state, rtol=1e-5)
        total += 2 * state * slope
    np.testing.assert_allclose(found[1], total, rtol=1e-5)


def test_equal_draws_are_one_number_and_others_are_not():
    D, U, V = gc.tensors("D U V")
    a = gc.index("a", 100)
    D[a] = gc.uniform(key[()], a) - gc.uniform(key[()], a)
    U[a], V[a] = gc.uniform(key[()], 0, a), gc.uniform(key[()], 1, a)
    d, u, v = gc.compile([D, U, V], target="interpret")(key=KEY)
    assert not d.any()
    assert not (u == v).any()
    assert abs(np.corrcoef(u, v)[0, 1]) < 0.3


def test_a_saved_program_draws_the_same(tmp_path, monkeypatch):
    U = gc.tensor("U", 6, 9)
    U[i, j] = gc.uniform(key[()], i, j) * gc.normal(key[()], i, j)
    f = gc.compile(U)
    f.save(tmp_path / "saved_noise.py")
    monkeypatch.syspath_prepend(tmp_path)
    np.testing.assert_array_equal(importlib.import_module("saved_noise").saved_noise(key=KEY), f(key=KEY))


def test_latex_and_loops_name_the_function_of_the_user():
    U = gc.tensor("U", 3, dtype="float64")
    U[i] = gc.uniform(key[()], i)
    assert gc.loops(U).strip() == "for i:  U[i] = uniform(key[()], i)"
    assert r"\operatorname{uniform}" in str(gc.latex(U))


# ------------------------------------------------------------------------------------------------------------- distribution


@pytest.fixture(scope="module")
def sample():
    U, Z = gc.tensor("U", 500, 400, dtype="float64"), gc.tensor("Z", 500, 400)
    U[i, j] = gc.uniform(key[()], i, j)
    Z[i, j] = gc.normal(key[()], 1, i, j)
    return gc.compile([U, Z])(key=2011)


def chi_square(values, bins):
    """The statistic of equally likely bins, in standard deviations from its mean."""
    counts = np.bincount((values.ravel() * bins).astype(int), minlength=bins)
    expected = values.size / bins
    return (((counts - expected) ** 2 / expected).sum() - (bins - 1)) / math.sqrt(2 * (bins - 1))


def test_uniform_distribution(sample):
    u = sample[0]
    count = u.size
    assert 0 <= u.min() < 1e-4
    assert 1 - 1e-4 < u.max() < 1
    for power in (1, 2, 3, 4):
        mean, variance = 1 / (power + 1), 1 / (2 * power + 1) - 1 / (power + 1) ** 2
        assert abs((u**power).mean() - mean) < 4 * math.sqrt(variance / count)
    assert abs(chi_square(u, 1000)) < 4
    assert abs(chi_square((u * 2**20) % 1, 1000)) < 4, "low bits"
    pairs = np.floor(u[:, :-1] * 30) / 30 + u[:, 1:] / 30
    assert abs(chi_square(pairs, 900)) < 4, "neighbours in a row"
    pairs = np.floor(u[:-1] * 30) / 30 + u[1:] / 30
    assert abs(chi_square(pairs, 900)) < 4, "neighbours in a column"


def test_normal_distribution(sample):
    z = sample[1].astype(float)
    count = z.size
    moments = {1: 0, 2: 1, 3: 0, 4: 3, 5: 0, 6: 15}
    for power, moment in moments.items():
        variance = math.prod(range(1, 2 * power, 2)) - moment**2
        assert abs((z**power).mean() - moment) < 4 * math.sqrt(variance / count)
    levels = np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in z.ravel()])
    assert abs(chi_square(levels, 1000)) < 4
    assert abs(np.corrcoef(z[:, 1:].ravel(), z[:, :-1].ravel())[0, 1]) < 4 / math.sqrt(count)


def test_neighbouring_keys_are_independent():
    U, a = gc.tensor("U"), gc.index("a", 50_000)
    U[a] = gc.uniform(key[()], a)
    f = gc.compile(U)
    assert abs(chi_square(np.floor(f(key=0) * 30) / 30 + f(key=1).astype(float) / 30, 900)) < 4
