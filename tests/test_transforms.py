"""Forward mode, products with the Hessian, Jacobians, batching and hand-written gradients, alone and nested."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gc

N, D = gc.dims("N D")
b, i, j, k, t = gc.indices("b i j k t")
random = np.random.default_rng(0)


def values(outputs, **arrays):
    """The outputs in float64, by the interpreter."""
    return gc.compile(outputs, target="interpret", precision="float64")(**arrays)


def layer():
    """A sigmoid layer with squared loss: its tensors by name."""
    X, A, c = gc.tensor("X", N, D), gc.tensor("A", D, 3), gc.tensor("c", 3)
    U, Y, L = gc.tensors("U Y L")
    U[b, i] += X[b, j] * A[j, i]
    Y[b, i] = gc.sigmoid(U[b, i] + c[i])
    L[()] += Y[b, i] ** 2 / N
    return {t.name: t for t in (X, A, c, U, Y, L)}


DATA = {"X": random.normal(size=(4, 2)), "A": random.normal(size=(2, 3)), "c": random.normal(size=3)}
CHANGE = {f"d{n}": random.normal(size=a.shape) for n, a in DATA.items()}


def changes(names, net):
    return {net[n]: gc.tensor(f"d{n}", tuple(net[n].shape)) for n in names}


class TestJvp:
    def test_loops_of_tangents(self, golden):
        net = layer()
        golden(gc.loops(gc.jvp(net["L"], changes("XAc", net))))

    def test_structure_is_kept(self):
        net = layer()
        along = changes("A", net)
        assert [d.name for d in gc.jvp([net["Y"], net["U"]], along)] == ["Y.dot", "U.dot"]
        assert isinstance(gc.jvp((net["Y"],), along), list)
        assert gc.jvp({"loss": net["L"]}, along)["loss"].name == "L.dot"

    def test_what_does_not_depend_does_not_change(self):
        x, z, dz, y = *gc.tensors("x z dz", 3), gc.tensor("y")
        y[i] = gc.sin(x[i])
        dot = gc.jvp(y, {z: dz})
        assert dot.name == "y.dot"
        assert (values(dot) == np.zeros(3)).all()

    def test_a_tensor_changes_by_its_change(self):
        net = layer()
        along = changes("A", net)
        assert gc.jvp(net["A"], along) is along[net["A"]]

    def test_a_defined_tensor_changes_in_addition(self):
        """Forward mode is the transpose of reverse mode, also with respect to tensors on the way."""
        net = layer()
        along = changes("A", net) | {net["U"]: gc.tensor("dU", N, 3)}
        w = gc.tensor("w", N, 3)
        dot, adjoints = gc.jvp(net["Y"], along), gc.grad(net["Y"], [net["A"], net["U"]], seed=w)
        given = DATA | {"dA": CHANGE["dA"], "dU": random.normal(size=(4, 3)), "w": random.normal(size=(4, 3))}
        forward, dA, dU = values([dot, *adjoints], **given)
        assert np.isclose((forward * given["w"]).sum(), (dA * given["dA"]).sum() + (dU * given["dU"]).sum(), rtol=1e-12)

    @pytest.mark.parametrize("target", ["interpret", "cpu"])
    def test_float32(self, target):
        net = layer()
        dot = gc.jvp(net["L"], changes("Ac", net))
        given = {n: a.astype("float32") for n, a in (DATA | CHANGE).items() if n != "dX"}
        exact = values(gc.jvp(net["L"], changes("Ac", net)), **{n: a for n, a in (DATA | CHANGE).items() if n != "dX"})
        assert np.isclose(gc.compile(dot, target=target)(**given), exact, rtol=1e-5)


class TestHvp:
    def test_loops_of_a_hessian_product(self, golden):
        net = layer()
        golden(gc.loops(*gc.hvp(net["L"], changes("A", net)).values()))

    def test_keys_are_kept(self):
        net = layer()
        along = changes("cA", net)
        assert list(gc.hvp(net["L"], along)) == list(along)

    def test_is_symmetric(self):
        net, w = layer(), gc.tensor("w", D, 3)
        first = values(gc.hvp(net["L"], changes("A", net)), **DATA, dA=CHANGE["dA"])[net["A"]]
        other = random.normal(size=(2, 3))
        second = values(gc.hvp(net["L"], {net["A"]: w}), **DATA, w=other)[net["A"]]
        assert np.isclose((first * other).sum(), (second * CHANGE["dA"]).sum(), rtol=1e-12)
