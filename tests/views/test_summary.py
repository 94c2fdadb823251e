"""Counts of shapes, parameters and multiply-adds; rows F1, F6 and F9 of the catalogue among them."""

import numpy as np
import pytest
import sympy as sp

import graphc as gc
from graphc.ir.expr import Size


def convolution(x, name, maps, extent, size=5):
    """A convolution with padding that keeps the picture's size, with bias."""
    batch, channels = x.shape[:2]
    w, c = gc.parameter(f"{name}.weight", maps, channels, size, size), gc.parameter(f"{name}.bias", maps)
    y = gc.tensor(f"{name}.out", batch, maps, extent, extent)
    n, o, k, p, q, r, s = gc.indices("n o k p q r s")
    y[n, o, p, q] += gc.pad(x, 0)[n, k, p + r - size // 2, q + s - size // 2] * w[o, k, r, s]
    y[n, o, p, q] += c[o]
    return y


def pooled(x, name, extent):
    batch, maps = x.shape[:2]
    y = gc.tensor(name, batch, maps, extent // 2, extent // 2)
    n, o, p, q = gc.indices("n o p q")
    u, v = gc.index("u", 2), gc.index("v", 2)
    y[n, o, p, q] = gc.max(x[n, o, 2 * p + u, 2 * q + v], over=(u, v))
    return y


def linear(x, name, units):
    w, c, y = gc.parameter(f"{name}.weight", units, x.shape[1]), gc.parameter(f"{name}.bias", units), gc.tensor(f"{name}.out")
    n, i, j = gc.indices("n i j")
    y[n, i] = gc.sum(x[n, j] * w[i, j], over=j) + c[i]
    return y


def lenet():
    x = gc.tensor("X", gc.dim("N"), 1, 28, 28)
    h = pooled(convolution(x, "conv1", 20, 28), "pool1", 28)
    h = pooled(convolution(h, "conv2", 50, 14), "pool2", 14)
    flat = gc.tensor("flat", gc.dim("N"), 2450)
    n, m = gc.indices("n m")
    flat[n, m] = h[n, m // 49, m // 7 % 7, m % 7]
    return linear(linear(flat, "fc1", 500), "fc2", 10)


def test_f1_convolution():
    y = convolution(gc.tensor("X", 1, 3, 32, 32), "conv", 10, 32)
    counted = gc.summary(y)
    assert counted["conv.out"].shape == (1, 10, 32, 32)
    assert counted.parameters == 760
    assert counted.multiply_adds == 768_000


def test_f6_lenet_table():
    counted = gc.summary(lenet(), N=1)
    shapes = {row.name: row.shape for row in counted.rows}
    assert [shapes[name] for name in ("X", "conv1.out", "pool1", "conv2.out", "pool2", "flat", "fc1.out", "fc2.out")] == [
        (1, 1, 28, 28), (1, 20, 28, 28), (1, 20, 14, 14), (1, 50, 14, 14), (1, 50, 7, 7), (1, 2450), (1, 500), (1, 10),
    ]
    weights = {row.name: row.parameters for row in counted.rows if row.name.endswith("weight")}
    assert weights == {"conv1.weight": 20 * 25, "conv2.weight": 50 * 20 * 25, "fc1.weight": 2450 * 500, "fc2.weight": 500 * 10}
    assert counted.parameters == sum(weights.values()) + 20 + 50 + 500 + 10
    assert counted["conv2.out"].multiply_adds == 50 * 14 * 14 * 20 * 25
    assert counted["fc1.out"].multiply_adds == 2450 * 500
    assert counted["pool1"].multiply_adds == 0


def test_f9_nothing_is_allocated(monkeypatch):
    for maker in ("zeros", "empty", "ones", "full"):
        monkeypatch.setattr(np, maker, lambda *a, **k: pytest.fail("an array was made"))
    i, p, q = gc.indices("i p q")
    x, w, y = gc.tensor("X", 200, 200), gc.parameter("W", 40_000, 200, 200), gc.tensor("Y")
    y[i] += w[i, p, q] * x[p, q]
    assert gc.summary(y).parameters == 1_600_000_000
    assert "1,600,000,000" in str(gc.summary(y))
    f, r, s = gc.indices("f r s")
    filters, z = gc.parameter("F", 20, 10, 10), gc.tensor("Z")
    z[f, p, q] += filters[f, r, s] * x[p + r, q + s]
    assert gc.summary(z).parameters == 2000


def test_rows_are_in_reading_order():
    names = [row.name for row in gc.summary(lenet()).rows]
    assert names[:4] == ["X", "conv1.weight", "conv1.bias", "conv1.out"]
    assert names[-1] == "fc2.out"


def test_sizes_stay_symbols_unless_given():
    y = lenet()
    assert gc.summary(y)["fc1.out"].multiply_adds == 1_225_000 * Size("N")
    assert isinstance(gc.summary(y).multiply_adds, sp.Expr)
    assert gc.summary(y, N=64)["fc1.out"].multiply_adds == 64 * 1_225_000
    assert gc.summary(y, N=64).multiply_adds == 64 * gc.summary(y, N=1).multiply_adds
    assert "1,225,000*N" in str(gc.summary(y))


def test_inputs_may_count_as_parameters():
    b, i, j = gc.indices("b i j")
    x, a, u = gc.tensor("x", gc.dim("N"), 4), gc.tensor("a", 4, 3), gc.tensor("u")
    u[b, i] += x[b, j] * a[j, i]
    assert gc.summary(u).parameters == 0
    assert gc.summary(u, parameters=[a]).parameters == gc.summary(u, parameters=["a"]).parameters == 12
    with pytest.raises(gc.ArgumentError, match="parameters= has u, which is no input"):
        gc.summary(u, parameters=[u])
    with pytest.raises(gc.ArgumentError, match="no size M"):
        gc.summary(u, M=3)


def test_only_sums_of_products_count():
    n = gc.dim("N")
    i, j = gc.indices("i j")
    x, y = gc.tensor("x", n), gc.tensor("y", n)
    total, product, square, mean = gc.tensors("total product square mean")
    total[()] += x[i]
    product[i] = x[i] * y[i]
    square[()] += (x[i] - y[i]) ** 2
    mean[i] = gc.mean(2 * x[i] * y[j], over=j)
    size = Size("N")
    assert [gc.summary(t).rows[-1].multiply_adds for t in (total, product, square, mean)] == [0, 0, size, size**2]


def test_gradients_are_counted_as_well():
    b, i, j = gc.indices("b i j")
    x, w, u, loss = gc.tensor("x", 8, 4), gc.parameter("w", 4, 3), gc.tensor("u"), gc.tensor("L")
    u[b, i] += x[b, j] * w[j, i]
    loss[()] += u[b, i] ** 2
    assert gc.summary(gc.grad(loss, w))["w.grad"].multiply_adds == 96


def test_text_and_html():
    y = convolution(gc.tensor("X", 1, 3, 32, 32), "conv", 10, 32)
    counted = gc.summary([y])
    lines = str(counted).splitlines()
    assert lines[0].split() == ["tensor", "shape", "dtype", "parameters", "multiply-adds"]
    assert next(line for line in lines if "conv.out" in line).split() == ["conv.out", "1×10×32×32", "float32", "768,000"]
    assert lines[-1].split() == ["total", "760", "768,000"]
    assert repr(counted) == str(counted)
    html = counted._repr_html_()
    assert html.count("<tr>") == len(counted.rows) + 2
    assert "768,000</th>" in html


def test_wide_tables_are_not_cut():
    i, j = gc.indices("i j")
    name = "a_rather_long_name_of_a_tensor" * 4
    x, y = gc.tensor(name, gc.dim("N"), gc.dim("M")), gc.tensor("y")
    y[i] += x[i, j] ** 2
    assert name in str(gc.summary(y))
