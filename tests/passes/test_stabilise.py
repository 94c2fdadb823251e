import numpy as np
import pytest

import graphc as gc
from graphc.passes.lift import lift_reductions
from graphc.passes.stabilise import RULES, stabilise
from tests.notation import applied, graph_of, meaning, text

N, M = gc.dims("N M")
SIZES = {"N": 3, "M": 4}
b, i = gc.indices("b i")


def scalar(function):
    x, y = gc.tensor("X", N), gc.tensor("Y")
    y[i] = function(x[i])
    return text(applied(stabilise, graph_of(y), SIZES)).removeprefix("for i:  Y[i] = ")


@pytest.mark.parametrize(
    ("function", "shown"),
    [
        (lambda u: 1 / (1 + gc.exp(-u)), "sigmoid(X[i])"),
        (lambda u: gc.exp(u) / (1 + gc.exp(u)), "sigmoid(X[i])"),
        (lambda u: 1 - gc.sigmoid(u), "sigmoid(-X[i])"),
        (lambda u: gc.exp(u) - 1, "expm1(X[i])"),
        (lambda u: gc.log(1 + u**2), "log1p(X[i]**2)"),
        (lambda u: gc.log(1 + gc.exp(u)), "softplus(X[i])"),
        (lambda u: gc.log1p(gc.exp(u)), "softplus(X[i])"),
        (lambda u: gc.log1p(-gc.sigmoid(u)), "-softplus(X[i])"),
        (lambda u: gc.log(gc.exp(2 * u)), "2*X[i]"),
        (lambda u: gc.log(gc.sigmoid(u)), "-softplus(-X[i])"),
        (lambda u: gc.log(1 - gc.sigmoid(u)), "-softplus(X[i])"),
        (lambda u: gc.exp(3 * u) / gc.exp(u), "exp(2*X[i])"),
        (lambda u: gc.exp(u) * gc.exp(2 * u), "exp(2*X[i])*exp(X[i])"),
        (lambda u: gc.log(2 + u**2), "log(X[i]**2 + 2)"),
    ],
)
def test_scalar_rules(function, shown):
    found = scalar(function)
    assert found == shown or sorted(found) == sorted(shown), found


def test_every_rule_has_a_name_and_an_example():
    assert len({r.name for r in RULES}) == len(RULES)
    assert all("→" in r.example for r in RULES)


def softmax():
    z, s, p = gc.tensor("Z", N, M), gc.tensor("S"), gc.tensor("P")
    s[b] += gc.exp(z[b, i])
    p[b, i] = gc.exp(z[b, i]) / s[b]
    return p


def test_softmax(golden):
    golden(text(applied(stabilise, graph_of(softmax()), SIZES)))


def test_log_of_softmax(golden):
    p, y = softmax(), gc.tensor("Y")
    y[b, i] = gc.log(p[b, i])
    golden(text(applied(stabilise, graph_of(y), SIZES)))


def test_nested_cross_entropy(golden):
    z, t, loss = gc.tensor("Z", N, M), gc.tensor("t", N, dtype="int64"), gc.tensor("L")
    loss[()] = -gc.sum(gc.log(gc.exp(z[b, t[b]]) / gc.sum(gc.exp(z[b, i]), over=i)), over=b)
    graph = lift_reductions(graph_of(loss))
    golden(text(applied(stabilise, graph, SIZES, t=np.array([0, 3, 1]))))


def test_large_scores_stay_finite():
    p, y = softmax(), gc.tensor("Y")
    y[b, i] = gc.log(p[b, i])
    large = np.array([[1000.0, 0, 0, 0], [-1000.0] * 4, [1e4, 1e4, -1e4, 0]])
    found = meaning(stabilise(graph_of(y)), SIZES, Z=large)["Y"]
    np.testing.assert_allclose(found[1], -np.log(4))
    np.testing.assert_allclose(found[2], [-np.log(2), -np.log(2), -2e4 - np.log(2), -1e4 - np.log(2)])


def test_cross_entropy_of_a_stored_sigmoid():
    """Found by an example: where p rounds to 1, the derivative of (1 - t)*log(1 - p) was 0/0."""
    z, t = gc.tensor("z", N), gc.tensor("t", N)
    p, loss = gc.tensors("p loss")
    p[i] = gc.sigmoid(z[i])
    loss[()] += -(t[i] * gc.log(p[i]) + (1 - t[i]) * gc.log(1 - p[i]))
    given = {"z": np.float32([50, 50, -50, -50, 200]), "t": np.float32([1, 0, 0, 1, 0.5])}
    found, slope = gc.compile([loss, gc.grad(loss, z)])(**given)
    np.testing.assert_allclose(found, 200, rtol=1e-6)
    np.testing.assert_allclose(slope, [0, 1, 0, -1, 0.5], atol=1e-6)


@pytest.mark.parametrize("place", [lambda p: 2 * p, lambda p: p // 2, lambda p: p % 2, lambda p: p + 1])
def test_the_logarithm_of_a_sum_that_other_elements_have_or_none(place):
    """No companion: an element that nothing is added to is 0, and one that is hit twice has both sums."""
    x, total, y = gc.tensor("x", 3, 4), gc.tensor("total", 6), gc.tensor("y")
    p, k, j = gc.indices("p k j")
    total[place(p)] += gc.exp(x[p, k])
    y[j] = gc.log(total[j])
    given = np.random.default_rng(0).normal(size=(3, 4)).astype("f")
    want = np.zeros(6)
    for row in range(3):
        want[place(row)] += np.exp(given[row]).sum()
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(gc.compile(y)(x=given), np.log(want), rtol=1e-6)
