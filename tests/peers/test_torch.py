"""Programs against PyTorch: value, gradient and where stated second order, in float64 through the interpreter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import graphc as gc
from graphc.compile import optimised
from graphc.frontend.collect import collect
from graphc.interpret import interpret
from tests.oracles import double

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install graphc[torch]")
F = torch.nn.functional

pytestmark = pytest.mark.peers


@dataclass
class Case:
    """A scalar program, its arguments, and the same in PyTorch."""

    loss: gc.Tensor
    arrays: dict[str, Any]
    reference: Callable[..., Any]
    wrt: list[gc.Tensor] = field(default_factory=list)

    def torch(self) -> tuple[Any, list[Any], list[Any]]:
        given = {n: torch.tensor(a) for n, a in self.arrays.items()}
        chosen = [given[t.name].requires_grad_() for t in self.wrt]
        value = self.reference(**given)
        return value, chosen, torch.autograd.grad(value, chosen, create_graph=True)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def evaluated(outputs: Any, arrays: dict[str, Any]) -> Any:
    program = gc.compile(outputs, target="interpret", precision="float64")
    return program(**{n: a for n, a in arrays.items() if n in program.inputs})


def rewritten(outputs: list[gc.Tensor], arrays: dict[str, Any]) -> list[Any]:
    """What targets other than "interpret" compute: the graph after the passes."""
    program = collect(outputs, "check")
    found = interpret(double(optimised(program.graph)), arrays, {})
    return [found[program.name_of(t)] for t in outputs]


def check(case: Case, second: bool = False, evaluate: Callable[..., Any] = evaluated) -> None:
    value, chosen, slopes = case.torch()
    gradients = gc.grad(case.loss, case.wrt)
    got, *found = evaluate([case.loss, *gradients], case.arrays)
    np.testing.assert_allclose(got, value.detach().numpy(), rtol=1e-10, atol=1e-10)
    for tensor, mine, theirs in zip(case.wrt, found, slopes, strict=True):
        np.testing.assert_allclose(mine, theirs.detach().numpy(), rtol=1e-10, atol=1e-10, err_msg=f"{tensor.name}.grad")
    if not second:
        return
    # the gradient of Σ v·gradient with fixed random v
    functional, arrays, total = gc.tensor("functional"), dict(case.arrays), 0.0
    for tensor, mine, theirs in zip(case.wrt, gradients, slopes, strict=True):
        v = gc.tensor(f"v_{tensor.name}", tensor.shape)
        loops = tuple(gc.index(n) for n in "ijklmn"[: len(tensor.shape)])
        functional[()] += v[loops] * mine[loops]
        arrays[v.name] = normal(*theirs.shape, seed=9)
        total = total + (torch.tensor(arrays[v.name]) * theirs).sum()
    again = evaluated(gc.grad(functional, case.wrt), arrays)
    for tensor, mine, theirs in zip(case.wrt, again, torch.autograd.grad(total, chosen, allow_unused=True), strict=True):
        want = np.zeros(mine.shape) if theirs is None else theirs.numpy()
        np.testing.assert_allclose(mine, want, rtol=1e-9, atol=1e-9, err_msg=f"second order in {tensor.name}")


# ----------------------------------------------------------------------------------------------------------------- layers


def test_affine_and_sigmoid() -> None:
    n, d, m = gc.dims("N D M")
    b, i, j = gc.indices("b i j")
    x, a, c, t = gc.tensor("X", n, d), gc.tensor("A", d, m), gc.tensor("c", m), gc.tensor("T", n, m)
    u, y, loss = gc.tensors("U Y L")
    u[b, i] += x[b, j] * a[j, i]
    y[b, i] = gc.sigmoid(u[b, i] + c[i])
    loss[()] += (y[b, i] - t[b, i]) ** 2 / n
    arrays = {"X": normal(3, 4), "A": normal(4, 2), "c": normal(2), "T": normal(3, 2)}
    check(Case(loss, arrays, lambda X, A, c, T: ((torch.sigmoid(X @ A + c) - T) ** 2).sum() / 3, [x, a, c, t]), second=True)


def test_batched_matmul() -> None:
    b, i, j, k = gc.indices("b i j k")
    x, y = gc.tensor("X", 2, 3, 4), gc.tensor("Y", 2, 4, 2)
    z, loss = gc.tensors("Z L")
    z[b, i, k] += x[b, i, j] * y[b, j, k]
    loss[()] += gc.sin(z[b, i, k])
    check(Case(loss, {"X": normal(2, 3, 4), "Y": normal(2, 4, 2)}, lambda X, Y: torch.sin(X @ Y).sum(), [x, y]), second=True)


@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "groups"),
    [(1, 0, 1, 1), (2, 0, 1, 1), (1, 1, 1, 1), (2, 1, 1, 2), (1, 2, 2, 1), (3, 2, 2, 2)],
)
def test_conv2d(stride: int, padding: int, dilation: int, groups: int) -> None:
    height, width, kernel, ins, outs = 6, 7, 3, 4, 2
    rows, columns = ((e + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1 for e in (height, width))
    n, f, c, r, s = gc.indices("n f c r s")
    g = gc.index("g", groups)
    p, q = gc.index("p", rows), gc.index("q", columns)
    x, w, b = gc.tensor("X", 2, ins, height, width), gc.tensor("W", outs, ins // groups, kernel, kernel), gc.tensor("B", outs)
    y, loss = gc.tensor("Y", 2, outs, rows, columns), gc.tensor("L")
    f = gc.index("f", outs // groups)
    place = (stride * p + dilation * r - padding, stride * q + dilation * s - padding)
    channel = (ins // groups) * g + c
    y[n, (outs // groups) * g + f, p, q] += gc.pad(x, 0)[n, channel, *place] * w[(outs // groups) * g + f, c, r, s]
    o = gc.index("o")
    y[n, o, p, q] += b[o]
    loss[()] += gc.sin(y[n, o, p, q])
    arrays = {"X": normal(2, ins, height, width), "W": normal(outs, ins // groups, kernel, kernel), "B": normal(outs)}
    reference = lambda X, W, B: torch.sin(F.conv2d(X, W, B, stride, padding, dilation, groups)).sum()  # noqa: E731
    check(Case(loss, arrays, reference, [x, w, b]))


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (3, 1, 1)])
@pytest.mark.parametrize("kind", ["max", "mean"])
def test_pooling(kind: str, kernel: int, stride: int, padding: int) -> None:
    rows, columns = ((e + 2 * padding - kernel) // stride + 1 for e in (5, 6))
    n, p, q = gc.index("n"), gc.index("p", rows), gc.index("q", columns)
    r, s = gc.index("r", kernel), gc.index("s", kernel)
    x = gc.tensor("X", 2, 5, 6)
    y, loss = gc.tensors("Y L")
    window = gc.skip(x)[n, stride * p + r - padding, stride * q + s - padding]
    y[n, p, q] = (gc.max if kind == "max" else gc.mean)(window, over=(r, s))
    loss[()] += y[n, p, q] ** 3
    if kind == "max":
        reference = lambda X: (F.max_pool2d(X, kernel, stride, padding) ** 3).sum()  # noqa: E731
    else:
        reference = lambda X: (F.avg_pool2d(X, kernel, stride, padding, count_include_pad=False) ** 3).sum()  # noqa: E731
    check(Case(loss, {"X": normal(2, 5, 6)}, reference, [x]), second=kernel == 2)


@pytest.mark.parametrize("written", ["naive", "nested", "logsumexp"])
def test_softmax_cross_entropy(written: str) -> None:
    b, i = gc.indices("b i")
    z, t = gc.tensor("Z", 3, 4), gc.tensor("t", 3, dtype="int64")
    s, p, loss = gc.tensors("S P L")
    if written == "naive":
        s[b] += gc.exp(z[b, i])
        p[b, i] = gc.exp(z[b, i]) / s[b]
        loss[()] += -gc.log(p[b, t[b]]) / 3
    elif written == "nested":
        loss[()] = -gc.mean(gc.log(gc.exp(z[b, t[b]]) / gc.sum(gc.exp(z[b, i]), over=i)), over=b)
    else:
        loss[()] += (gc.logsumexp(z[b, i], over=i) - z[b, t[b]]) / 3
    labels = np.array([1, 3, 0])
    check(Case(loss, {"Z": normal(3, 4), "t": labels}, lambda Z, t: F.cross_entropy(Z, t), [z]), second=True)
    large = np.array([[1000.0, 999.0, -1000.0, 0.0], [-1000.0, -1000.0, -1000.0, -1000.0], [1e4, 0.0, 0.0, 0.0]])
    check(Case(loss, {"Z": large, "t": labels}, lambda Z, t: F.cross_entropy(Z, t), [z]), evaluate=rewritten)


def test_layer_norm() -> None:
    b, i, j = gc.indices("b i j")
    x, w, c = gc.tensor("X", 3, 5), gc.tensor("W", 5), gc.tensor("C", 5)
    mean, variance, y, loss = gc.tensors("mean variance Y L")
    mean[b] = gc.mean(x[b, j], over=j)
    variance[b] = gc.mean((x[b, j] - mean[b]) ** 2, over=j)
    y[b, i] = (x[b, i] - mean[b]) / gc.sqrt(variance[b] + 1e-5) * w[i] + c[i]
    loss[()] += gc.sin(y[b, i])
    arrays = {"X": normal(3, 5), "W": normal(5), "C": normal(5, seed=2)}
    check(Case(loss, arrays, lambda X, W, C: torch.sin(F.layer_norm(X, (5,), W, C, 1e-5)).sum(), [x, w, c]), second=True)


def test_embedding() -> None:
    b, s, d = gc.indices("b s d")
    table, tokens, h, loss = gc.tensor("E", 5, 3), gc.tensor("tokens", 2, 4, dtype="int64"), gc.tensor("H"), gc.tensor("L")
    h[b, s, d] = table[tokens[b, s], d]
    loss[()] += h[b, s, d] ** 3
    arrays = {"E": normal(5, 3), "tokens": np.array([[0, 2, 2, 4], [1, 2, 0, 0]])}
    check(Case(loss, arrays, lambda E, tokens: (F.embedding(tokens, E) ** 3).sum(), [table]), second=True)


# ------------------------------------------------------------------------------------------------------------- reductions


def test_logsumexp_of_large_numbers() -> None:
    i, j = gc.indices("i j")
    x, loss = gc.tensor("X", 3, 4), gc.tensor("L")
    loss[()] += gc.logsumexp(x[i, j], over=j)
    values = normal(3, 4) + np.array([[800.0], [-800.0], [0.0]])
    check(Case(loss, {"X": values}, lambda X: torch.logsumexp(X, 1).sum(), [x]), second=True)


@pytest.mark.parametrize("zeros", [0, 1, 2, 3])
def test_prod_is_exact_with_zeros(zeros: int) -> None:
    i, j = gc.indices("i j")
    x, y, loss = gc.tensor("X", 2, 4), gc.tensor("Y"), gc.tensor("L")
    y[i] = gc.prod(x[i, j], over=j)
    loss[()] += gc.sin(y[i])
    values = normal(2, 4)
    values[0, :zeros] = 0
    factors = lambda X: X[:, 0] * X[:, 1] * X[:, 2] * X[:, 3]  # noqa: E731  torch.prod's second derivative divides by its factors
    check(Case(loss, {"X": values}, lambda X: torch.sin(factors(X)).sum(), [x]), second=True)


def test_where_protects_the_logarithm_at_zero() -> None:
    i = gc.index("i")
    x, loss = gc.tensor("X", 4), gc.tensor("L")
    loss[()] += gc.where(x[i] > 0, gc.log(x[i]), 0)
    value, slope = evaluated([loss, gc.grad(loss, x)], {"X": np.array([0.0, 2.0, -1.0, 0.5])})
    np.testing.assert_allclose(value, np.log(1.0), atol=1e-15)
    np.testing.assert_array_equal(slope, [0.0, 0.5, 0.0, 2.0])


# -------------------------------------------------------------------------------------------------------------- functions

SMOOTH: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "exp": (gc.exp, torch.exp),
    "expm1": (gc.expm1, torch.expm1),
    "sin": (gc.sin, torch.sin),
    "cos": (gc.cos, torch.cos),
    "tan": (lambda x: gc.tan(0.4 * x), lambda x: torch.tan(0.4 * x)),
    "tanh": (gc.tanh, torch.tanh),
    "sigmoid": (gc.sigmoid, torch.sigmoid),
    "softplus": (gc.softplus, lambda x: F.softplus(x, threshold=1e9)),
    "erf": (gc.erf, torch.erf),
    "gelu": (gc.gelu, F.gelu),
    "silu": (gc.silu, F.silu),
    "elu": (gc.elu, F.elu),
    "relu": (gc.relu, torch.relu),
    "abs": (gc.abs, torch.abs),
    "leaky_relu": (lambda x: gc.leaky_relu(x, 0.2), lambda x: F.leaky_relu(x, 0.2)),
    "log": (lambda x: gc.log(x**2 + 0.3), lambda x: torch.log(x**2 + 0.3)),
    "log1p": (lambda x: gc.log1p(x**2), lambda x: torch.log1p(x**2)),
    "sqrt": (lambda x: gc.sqrt(x**2 + 0.3), lambda x: torch.sqrt(x**2 + 0.3)),
    "rsqrt": (lambda x: gc.rsqrt(x**2 + 0.3), lambda x: torch.rsqrt(x**2 + 0.3)),
    "hypot": (lambda x: gc.hypot(x, 2 * x - 1), lambda x: torch.hypot(x, 2 * x - 1)),
    "atan2": (lambda x: gc.atan2(x, 2 * x - 1), lambda x: torch.atan2(x, 2 * x - 1)),
    "power": (lambda x: gc.power(x**2 + 0.3, 0.7 * x), lambda x: torch.pow(x**2 + 0.3, 0.7 * x)),
    "clip": (lambda x: gc.clip(x, -0.5, 0.7), lambda x: torch.clamp(x, -0.5, 0.7)),
    "maximum": (lambda x: gc.maximum(x, x**2), lambda x: torch.maximum(x, x**2)),
    "minimum": (lambda x: gc.minimum(x, x**2), lambda x: torch.minimum(x, x**2)),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_function(name: str) -> None:
    mine, theirs = SMOOTH[name]
    i = gc.index("i")
    x, loss = gc.tensor("X", 7), gc.tensor("L")
    loss[()] += gc.sin(mine(x[i]))
    values = np.array([-3.1, -1.2, -0.4, 0.13, 0.62, 1.7, 2.9])
    check(Case(loss, {"X": values}, lambda X: torch.sin(theirs(X)).sum(), [x]), second=True)


KINKS = {
    "relu": (lambda x: gc.relu(x), [-1.0, 0.0, 2.0], [0, 0, 1]),
    "abs": (lambda x: gc.abs(x), [-1.0, 0.0, 2.0], [-1, 0, 1]),
    "sign": (lambda x: gc.sign(x), [-1.0, 0.0, 2.0], [0, 0, 0]),
    "floor": (lambda x: gc.floor(x), [-1.5, 0.0, 2.0], [0, 0, 0]),
    "ceil": (lambda x: gc.ceil(x), [-1.5, 0.0, 2.0], [0, 0, 0]),
    "round": (lambda x: gc.round(x), [-1.5, 0.5, 2.0], [0, 0, 0]),
    "maximum": (lambda x: gc.maximum(x, 0.5), [-1.0, 0.5, 2.0], [0, 0.5, 1]),
    "minimum": (lambda x: gc.minimum(x, 0.5), [-1.0, 0.5, 2.0], [1, 0.5, 0]),
    "clip": (lambda x: gc.clip(x, -1, 1), [-2.0, -1.0, 0.0, 1.0, 1.5], [0, 1, 1, 1, 0]),
    "leaky_relu": (lambda x: gc.leaky_relu(x, 0.1), [-1.0, 0.0, 2.0], [0.1, 0.1, 1]),
    "elu": (lambda x: gc.elu(x, 1.5), [0.0, 2.0], [1.5, 1]),
    "hypot": (lambda x: gc.hypot(x, 0 * x), [-2.0, 0.0, 2.0], [-1, 0, 1]),
    "stop_gradient": (lambda x: gc.stop_gradient(x) * x, [-2.0, 0.0, 2.0], [-2, 0, 2]),
}


@pytest.mark.parametrize("name", KINKS)
def test_kinks_are_as_documented(name: str) -> None:
    function, values, slopes = KINKS[name]
    i = gc.index("i")
    x, loss = gc.tensor("X", len(values)), gc.tensor("L")
    loss[()] += function(x[i])
    np.testing.assert_allclose(evaluated(gc.grad(loss, x), {"X": np.array(values)}), slopes, atol=1e-12)


@pytest.mark.parametrize(("ties", "want"), [("first", [0, 1, 0, 0]), ("split", [0, 0.5, 0.5, 0])])
@pytest.mark.parametrize("sign", [1, -1])
def test_ties_of_extrema(ties: str, want: list[float], sign: int) -> None:
    i = gc.index("i")
    x, loss = gc.tensor("X", 4), gc.tensor("L")
    loss[()] = (gc.max if sign > 0 else gc.min)(x[i], over=i, ties=ties)
    slope = evaluated(gc.grad(loss, x), {"X": sign * np.array([1.0, 3.0, 3.0, 2.0])})
    np.testing.assert_array_equal(slope, want)
