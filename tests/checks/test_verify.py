"""`gc.verify`: programs of every kind are right, broken gradients are found, the report says what was covered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import graphc as gc
from tests.oracles import Refused, Unsuitable, check
from tests.programs import generate

N, D, M = gc.dims("N D M")
b, i, j, k, t = gc.indices("b i j k t")


def made(name: str, *shape: Any, **how: Any) -> gc.Tensor:
    return gc.tensor(name, *shape, **how)


def layer() -> tuple[gc.Tensor, list[gc.Tensor]]:
    X, A, c, T = made("X", N, D), made("A", D, M), made("c", M), made("T", N, M)
    U, Y, L = gc.tensors("U Y L")
    U[b, i] += X[b, j] * A[j, i]
    Y[b, i] = gc.sigmoid(U[b, i] + c[i])
    L[()] += (Y[b, i] - T[b, i]) ** 2 / N
    return L, [A, c]


def classifier() -> tuple[gc.Tensor, list[gc.Tensor]]:
    X, A, labels = made("X", N, D), made("A", D, 3), made("labels", N, dtype="int64")
    H, L = gc.tensors("H L")
    H[b, i] = gc.relu(gc.sum(X[b, j] * A[j, i], over=j))
    L[()] += (gc.logsumexp(H[b, i], over=i) - H[b, labels[b]]) / N
    return L, [A]


def pooling() -> tuple[gc.Tensor, list[gc.Tensor]]:
    x, P, L = made("x", 2 * N), gc.tensor("P"), gc.tensor("L")
    r = gc.index("r", 2)
    P[i] = gc.max(x[2 * i + r], over=r) * gc.min(x[2 * i + r], over=r, ties="split")
    L[()] += P[i] ** 2
    return L, [x]


def convolution() -> tuple[gc.Tensor, list[gc.Tensor]]:
    x, w, y, L = made("x", N), made("w", 3), gc.tensor("y"), gc.tensor("L")
    p = gc.index("p", N)
    y[p] += gc.pad(x, 0)[p + k - 1] * w[k]
    L[()] += gc.tanh(y[p]) * gc.wrap(x)[p + 1] + gc.clamp(x)[p - 1] ** 2 + gc.reflect(x)[p - 1]
    return L, [x, w]


def recurrence() -> tuple[gc.Tensor, list[gc.Tensor]]:
    W, h0, X, h, L = made("W", D, D), made("h0", D), made("X", N, D), gc.tensor("h"), gc.tensor("L")
    h[-1, i] = h0[i]
    h[t, i] = gc.tanh(gc.sum(W[i, j] * h[t - 1, j], over=j) + X[t, i])
    L[()] += h[t, i] ** 2
    return L, [W, h0, X]


def embedding() -> tuple[gc.Tensor, list[gc.Tensor]]:
    E, tokens, counted, L = made("E", N, D), made("tokens", 4, dtype="int64"), made("counted", N), gc.tensor("L")
    bag = gc.tensor("bag", N)
    bag[tokens[t]] += E[tokens[t], i] ** 2
    L[()] += bag[j] * counted[j]
    return L, [E, counted]


def kinks() -> tuple[gc.Tensor, list[gc.Tensor]]:
    x, y, L = made("x", N), made("y", N), gc.tensor("L")
    L[()] += gc.abs(x[i]) + gc.maximum(x[i], y[i]) * gc.minimum(x[i], 0) + gc.clip(x[i], -1, 1) * gc.leaky_relu(y[i]) + gc.elu(x[i])
    L[()] += gc.where((x[i] > 0) & (y[i] >= x[i]), gc.log(x[i]), gc.floor(y[i]) * x[i]) + gc.hypot(x[i], y[i]) + gc.relu(x[i])
    return L, [x, y]


def products() -> tuple[gc.Tensor, list[gc.Tensor]]:
    x, L = made("x", N), gc.tensor("L")
    L[()] = gc.prod(x[i], over=i) + gc.mean(x[i] ** 3, over=i)
    return L, [x]


def constants() -> tuple[gc.Tensor, list[gc.Tensor]]:
    x, L = made("x", N), gc.tensor("L")
    L[()] += gc.gelu(x[i]) + gc.erf(x[i]) + 0.1 * gc.silu(x[i]) ** 2 + gc.stop_gradient(x[i]) * x[i]
    return L, [x]


def attention() -> tuple[gc.Tensor, list[gc.Tensor]]:
    Q, K, S, P, L = made("Q", N, 2), made("K", N, 2), *gc.tensors("S P L")
    S[i, j] = gc.where(j <= i, gc.sum(Q[i, k] * K[j, k], over=k), -float("inf"))
    P[i, j] = gc.exp(S[i, j] - gc.logsumexp(S[i, k], over=k))
    L[()] += P[i, j] * K[j, 0]
    return L, [Q, K]


RIGHT = [layer, classifier, pooling, convolution, recurrence, embedding, kinks, products, constants, attention]


@pytest.mark.parametrize("program", RIGHT, ids=lambda f: f.__name__)
def test_right(program: Callable[[], tuple[gc.Tensor, list[gc.Tensor]]]) -> None:
    output, wrt = program()
    report = gc.verify(output, wrt, budget=2500)
    assert report and report.elements > 0 and report.sizes
    assert set(report.wrt) == {x.name for x in wrt}


def test_second_order() -> None:
    x, v, L, S = made("x", N), made("v", N), gc.tensor("L"), gc.tensor("S")
    L[()] += gc.sigmoid(x[i]) * x[i] ** 2
    dx = gc.grad(L, x)
    S[()] += dx[i] * v[i]
    report = gc.verify(S, [x, v])
    assert report.proved == report.elements == 20


def test_an_output_with_dimensions_gets_a_seed() -> None:
    x, Y = made("x", N), gc.tensor("Y")
    Y[i] = gc.sin(x[i]) * x[0]
    assert gc.verify(Y, x)


def test_what_was_covered() -> None:
    L, wrt = layer()
    report = gc.verify(L, wrt, budget=400)
    assert 0 < len(report.sizes) < report.possible == 64 and {"N": 2, "D": 2, "M": 2} in report.sizes
    assert "of 64 combinations" in str(report)


def test_refused_sizes() -> None:
    x, w, y, L = made("x", N), made("w", D), gc.tensor("y"), gc.tensor("L")
    y[i] += x[i + k] * w[k]
    L[()] += y[i] ** 2
    report = gc.verify(L, [x, w])
    assert {s["N"] - s["D"] for s, _ in report.refused} < {-3, -2, -1, 0} and "refused" in str(report)


def test_pieces_are_counted() -> None:
    output, wrt = kinks()
    report = gc.verify(output, wrt)
    assert report.pieces > 2 * len(report.sizes)


def broken_function() -> gc.Tensor:
    f = gc.function("cubed", lambda x: x**3, grad=lambda x, y: 2 * x**2)
    x, L = made("x", N), gc.tensor("L")
    L[()] += f(x[i])
    return gc.verify(L, x)


def broken_on_one_side() -> gc.Tensor:
    """Right for positive arguments only."""
    f = gc.function("absolute", lambda x: gc.abs(x), grad=lambda x, y: x / x)
    x, L = made("x", N), gc.tensor("L")
    L[()] += f(x[i])
    return gc.verify(L, x)


def broken_at_the_kink() -> gc.Tensor:
    f = gc.function("rectified", lambda x: gc.relu(x), grad=lambda x, y: gc.where(x >= 0, 1, 0))
    x, L = made("x", N), gc.tensor("L")
    L[()] += f(x[i])
    return gc.verify(L, x)


def broken_inside() -> gc.Tensor:
    f = gc.function("halved", lambda x: x / 2, grad=lambda x, y: 0.5 + 1e-6 * x)
    x, A, H, L = made("x", N), made("A", N, N), gc.tensor("H"), gc.tensor("L")
    H[i] = f(gc.sum(A[i, j] * x[j], over=j))
    L[()] += gc.tanh(H[i]) ** 2
    return gc.verify(L, [x, A])


@pytest.mark.parametrize("broken", [broken_function, broken_on_one_side, broken_at_the_kink, broken_inside], ids=lambda f: f.__name__)
def test_broken(broken: Callable[[], Any]) -> None:
    with pytest.raises(gc.GradientError) as caught:
        broken()
    assert isinstance(caught.value, AssertionError)
    assert "derived:" in str(caught.value) and "correct:" in str(caught.value) and ".grad[" in str(caught.value)


def test_random_programs() -> None:
    for seed in range(200, 206):
        try:
            check(generate(seed, 2), ("verify",))
        except (Refused, Unsuitable, gc.ArgumentError):
            continue


def test_random_numbers_are_constants():
    x, X, L, K, P = made("x", N), made("X", N, 2), *gc.tensors("L K P")
    key = made("key", (), dtype="int64")
    L[()] += gc.uniform(3, i) * x[i] ** 2 + gc.where(gc.normal(key[()], i) < 0, gc.sin(x[i]), gc.normal(5, i) * x[i])
    K[()] += gc.nn.dropout(x, 0.5, key=key)[i] ** 2
    P[()] += gc.nn.stochastic_depth(X, 0.5, key=key)[i, j] ** 2
    report = gc.verify(L, x)
    assert report.proved == report.elements == 10
    assert gc.verify(K, x)
    assert gc.verify(P, X)


def test_the_gradient_of_an_input_that_is_not_read_is_zero():
    x, z, w, L = made("x", N), made("z", N), made("w", 3), gc.tensor("L")
    L[()] += x[i] ** 2
    report = gc.verify(L, [x, z, w])
    assert report.wrt == ("x", "z", "w") and report.proved == report.elements == 10 + 10 + 4 * 3
    assert gc.verify(L, [z])
