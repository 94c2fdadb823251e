"""The numbers that the lectures state."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import graphc as gc

ROOT = Path(__file__).parents[2]


def imported(path: str) -> ModuleType:
    """A script of the repository as a module."""
    spec = importlib.util.spec_from_file_location(Path(path).stem.lstrip("0123456789_") + "_script", ROOT / path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def compact(*tensors: gc.Tensor) -> list[str]:
    """Statements without their loops and without blanks."""
    return [line.split(":  ")[-1].replace(" ", "") for line in str(gc.loops(*tensors)).splitlines()]


def test_relu_net_by_hand() -> None:
    x, t, w1, b1, w2, b2 = gc.tensors("x t w1 b1 w2 b2", ())
    h, y, L = gc.tensors("h y L")
    h[()] = gc.relu(w1[()] * x[()] + b1[()])
    y[()] = w2[()] * h[()] + b2[()]
    L[()] = (y[()] - t[()]) ** 2
    f = gc.compile([h, y, L, *gc.grad(L, [w1, b1, w2, b2])], target="interpret")
    assert [float(a) for a in f(x=1, t=1, w1=3, b1=1, w2=2, b2=-5)] == [4, 3, 4, 8, 8, 16, 4]


def test_values_and_gradients_are_drawn() -> None:
    x, t, w1, b1, w2, b2 = gc.tensors("x t w1 b1 w2 b2", ())
    h, y, L = gc.tensors("h y L")
    h[()] = gc.relu(w1[()] * x[()] + b1[()])
    y[()] = w2[()] * h[()] + b2[()]
    L[()] = (y[()] - t[()]) ** 2
    svg = gc.draw(L, values={"x": 1, "t": 1, "w1": 3, "b1": 1, "w2": 2, "b2": -5}).svg()
    shown = [part.split("</text>")[0] for part in svg.split(">") if "</text" in part]
    shown = [part.removesuffix("</text") for part in shown]
    nodes = [("3", "w1", "8"), ("1", "b1", "8"), ("2", "w2", "16"), ("-5", "b2", "4"), ("4", "h", "8"), ("3", "y", "4"), ("4", "L", "1")]
    for value, name, gradient in nodes:
        place = shown.index(name)
        assert shown[place - 1] == value and shown[place + 1] == gradient, name


def test_layer_prints_the_loops_of_the_lecture() -> None:
    i, j = gc.indices("i j")
    M, N = gc.dims("M N")
    A, x, b, s = gc.tensor("A", M, N), gc.tensor("x", N), gc.tensor("b", M), gc.tensor("s", M)
    u, y = gc.tensors("u y")
    u[i] += A[i, j] * x[j]
    y[i] = gc.sigmoid(u[i] + b[i])
    lines = compact(y, *gc.grad(y, [A, b, x], seed=s))
    assert lines[:2] == ["u[i]+=A[i,j]*x[j]", "y[i]=sigmoid(u[i]+b[i])"]
    assert "u.grad[i]+=y.grad[i]*y[i]*(1-y[i])" in lines
    assert "b.grad[i]+=u.grad[i]" in lines
    assert "A.grad[i,j]+=u.grad[i]*x[j]" in lines
    assert "x.grad[j]+=u.grad[i]*A[i,j]" in lines


def test_higher_order_tensor() -> None:
    h, i, j, k = gc.indices("h i j k")
    A, B = gc.tensor("A", 2, 3, 4), gc.tensor("B", 2, 5, 4)
    U, Y, L = gc.tensors("U Y L")
    U[h, i, j] += A[h, i, k] * B[h, j, k]
    Y[h, i, j] = gc.sigmoid(U[h, i, j])
    L[()] += Y[h, i, j]
    lines = compact(*gc.grad(L, [A, B]))
    assert "A.grad[h,i,k]+=U.grad[h,i,j]*B[h,j,k]" in lines
    assert "B.grad[h,j,k]+=U.grad[h,i,j]*A[h,i,k]" in lines


@pytest.mark.parametrize(("scores", "svm", "softmax"), [([10, -2, 3], 0, 0.000918), ([10, 9, 9], 0, 0.5514), ([10, -100, -100], 0, 0)])
def test_svm_and_softmax_losses(scores: list[float], svm: float, softmax: float) -> None:
    c = gc.index("c")
    s, label = gc.tensor("s", 3, dtype="float64"), gc.tensor("label", (), dtype="int64")
    hinge, entropy = gc.tensors("hinge entropy")
    hinge[()] = gc.sum(gc.where(c != label[()], gc.maximum(0, s[c] - s[label[()]] + 1), 0), over=c)
    entropy[()] = -gc.log(gc.exp(s[label[()]]) / gc.sum(gc.exp(s[c]), over=c))
    found = gc.compile([hinge, entropy], target="interpret")(s=[float(v) for v in scores], label=0)
    assert float(found[0]) == svm
    assert float(found[1]) == pytest.approx(softmax, rel=5e-4, abs=1e-30)


@pytest.mark.parametrize("split", [False, True], ids=["one statement", "a tensor for exp"])
def test_naive_softmax_is_stable(split: bool) -> None:
    n, c = gc.indices("n c")
    scores, label = gc.tensor("scores", gc.dim("N"), gc.dim("C")), gc.tensor("label", gc.dim("N"), dtype="int64")
    E, Z, P, L = gc.tensors("E Z P L")
    if split:
        E[n, c] = gc.exp(scores[n, c])
        Z[n] += E[n, c]
        P[n, c] = E[n, c] / Z[n]
    else:
        Z[n] += gc.exp(scores[n, c])
        P[n, c] = gc.exp(scores[n, c]) / Z[n]
    L[()] += -gc.log(P[n, label[n]])
    given = np.array([[1000, 0, 0], [1000, 0, 0], [-1000, -1000, -1000]], "float32")
    labels = np.array([0, 1, 2])
    loss, slope = gc.compile([L, gc.grad(L, scores)])(scores=given, label=labels)
    np.testing.assert_allclose(loss, 1000 + np.log(3), rtol=1e-6)
    expected = np.array([[1, 0, 0], [1, 0, 0], [1 / 3, 1 / 3, 1 / 3]]) - np.eye(3)[labels]
    np.testing.assert_allclose(slope, expected, atol=4 * np.finfo("float32").eps)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_twenty_lines_equal_the_listing(dtype: str) -> None:
    script = imported("examples/31_twenty_lines.py")
    expected, _ = script.run(script.listing(**script.data(dtype)))
    losses, _ = script.run(script.steps(script.compiled(dtype), script.data(dtype)))
    assert len(losses) == 500
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_convolution_costs() -> None:
    f, c, r, s = gc.indices("f c r s")
    p, q = gc.index("p", 32), gc.index("q", 32)
    image, weight, bias = gc.tensor("image", 3, 32, 32), gc.parameter("weight", 10, 3, 5, 5), gc.parameter("bias", 10)
    out = gc.tensor("out")
    out[f, p, q] = gc.sum(gc.pad(image, 0)[c, p + r - 2, q + s - 2] * weight[f, c, r, s], over=(c, r, s)) + bias[f]
    table = gc.summary(out)
    assert (out.shape, table.parameters, table.multiply_adds) == ((10, 32, 32), 760, 768_000)


def test_lenet_table() -> None:
    script = imported("examples/00_digits.py")
    scores, parameters = script.lenet(gc.tensor("image", 1, 1, 28, 28), 28)
    table = gc.summary(scores)
    shapes = [table[name].shape[1:] for name in ("image", "conv1", "pool1", "conv2", "pool2", "flat", "fc1", "scores")]
    assert shapes == [(1, 28, 28), (20, 28, 28), (20, 14, 14), (50, 14, 14), (50, 7, 7), (2450,), (500,), (10,)]
    weights = [w.shape for w in parameters if w.name.endswith("weight")]
    assert weights == [(20, 1, 5, 5), (50, 20, 5, 5), (500, 2450), (10, 500)]


def test_vgg_16_parameters() -> None:
    script = imported("benchmarks/compile_time.py")
    loss, parameters = script.vgg16()
    assert gc.summary(loss).parameters == 138_357_544
    assert len(parameters) == 32
