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
        assert isinstance(gc.jvp((net["Y"],), along), tuple)
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

    def test_initial_slices_that_do_not_change(self):
        """Found by random programs: the tangent of a slice that is given by a number is 0 on one side of a condition."""
        x, dx, h = gc.tensor("x", 4), gc.tensor("dx", 4), gc.tensor("h")
        h[t] = h[t - 1] * x[t]
        h[-1] = 2
        given = {"x": np.array([0.5, 2, 3, 1]), "dx": np.array([1.0, 0, 0, 0])}
        assert np.allclose(values(gc.jvp(h, {x: dx}), **given), [2, 4, 12, 12])


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


def one_by_one(outputs, batched, **arrays):
    """The outputs for every value of the first dimension of the arrays named in `batched`."""
    function = gc.compile(outputs, target="interpret", precision="float64")
    runs = [function(**{n: a[row] if n in batched else a for n, a in arrays.items()}) for row in range(len(arrays[batched[0]]))]
    return [np.stack(results) for results in zip(*runs, strict=True)]


class TestVmap:
    def test_loops_of_a_batched_program(self, golden):
        net = layer()
        golden(gc.loops(gc.vmap(net["L"], {net["X"]: gc.dim("B")})))

    @pytest.mark.parametrize("names", ["X", "A", "Xc", "XAc"])
    def test_is_the_loop(self, names):
        net = layer()
        outputs = [net["L"], net["Y"], *gc.grad(net["L"], [net["A"], net["c"]])]
        batched = gc.vmap(outputs, {net[n]: 3 for n in names})
        given = {n: random.normal(size=(3, *a.shape)) if n in names else a for n, a in DATA.items()}
        for got, want in zip(values(batched, **given), one_by_one(outputs, names, **given), strict=True):
            assert np.allclose(got, want, rtol=1e-12)

    @pytest.mark.parametrize("target", ["interpret", "cpu"])
    def test_whole_language(self, target):
        """Boundary views, reductions, gathers, scatters, conditions and recurrences."""
        x, k0, tok = gc.tensor("x", 6), gc.tensor("k0", 3), gc.tensor("tok", 4, dtype="int64")
        r, (g, h, w, u) = gc.index("r", 3), gc.tensors("g h w u")
        a = gc.tensor("a", 6)
        a[i] = gc.max(gc.pad(x, 0.5)[i + r - 1] * k0[r], over=r)
        g[j] = x[tok[j]] * 2
        S = gc.tensor("S", 6)
        S[tok[j]] += g[j] * k0[0]
        h[t] = gc.tanh(h[t - 1] * k0[1] + x[t])
        h[-1] = k0[2]
        w[i] = gc.where((i > 1) & (x[i] > 0), gc.log(x[i]), gc.sum(gc.where(j < i, a[j], 0), over=j))
        u[()] += gc.logsumexp(x[i] + h[j], over=(i, j))
        outputs, names = [a, g, S, h, w, u], ("x", "k0", "tok")
        given = {"x": random.normal(size=(2, 6)), "k0": random.normal(size=(2, 3)), "tok": random.integers(0, 6, (2, 4))}
        for chosen in (names, ("x",), ("tok",), ("k0", "tok")):
            arrays = {n: v if n in chosen else v[0] for n, v in given.items()}
            batched = gc.vmap(outputs, {{"x": x, "k0": k0, "tok": tok}[n]: 2 for n in chosen})
            found = gc.compile(batched, target=target, precision="float64")(**arrays)
            for got, want in zip(found, one_by_one(outputs, chosen, **arrays), strict=True):
                assert np.allclose(got, want, rtol=1e-12)

    def test_of_an_index(self):
        x, y = gc.tensor("x", 4), gc.tensor("y")
        y[i] = x[i] ** 2
        assert [repr(gc.vmap(y, {x: n})) for n in (gc.index("n", 5), gc.index("n"), gc.dim("M") - 1, 2)] == [
            "y(5, 4)", "y(N, 4)", "y(M - 1, 4)", "y(2, 4)"]
        assert str(gc.loops(gc.vmap(y, {x: gc.index("i", 5)}))) == "for i2,i:  y[i2,i] = x[i2,i]**2"

    def test_names_and_structure_are_kept(self):
        net = layer()
        made = gc.vmap({"loss": net["L"]}, {net["X"]: 2})
        assert made["loss"].name == "L"
        program = gc.compile(made, target="interpret", precision="float64", inputs=[net["X"], net["A"]])
        assert program(DATA["X"][None].repeat(2, 0), DATA["A"], c=DATA["c"])["loss"].shape == (2,)

    def test_what_does_not_depend_is_repeated(self):
        net = layer()
        made = gc.vmap([net["A"], net["L"]], {net["X"]: 2})
        found = values(made[0], A=DATA["A"])
        assert (found == DATA["A"][None].repeat(2, 0)).all()

    def test_another_tensor_in_the_place_of_an_input(self):
        net = layer()
        Z = gc.tensor("Z", 5, N, D)
        made = gc.vmap(net["L"], {net["X"]: Z})
        given = random.normal(size=(5, 4, 2))
        want = one_by_one([net["L"]], "X", **DATA | {"X": given})[0]
        assert np.allclose(values(made, A=DATA["A"], c=DATA["c"], Z=given), want, rtol=1e-12)

    def test_twice(self):
        net = layer()
        twice = gc.vmap(gc.vmap(net["L"], {net["X"]: 3}), {net["X"]: 2, net["c"]: 2})
        given = {"X": random.normal(size=(2, 3, 4, 2)), "A": DATA["A"], "c": random.normal(size=(2, 3))}
        found = values(twice, **given)
        want = [one_by_one([net["L"]], "X", X=given["X"][n], A=given["A"], c=given["c"][n])[0] for n in range(2)]
        assert np.allclose(found, want, rtol=1e-12)

    def test_a_tensor_under_a_condition_that_never_holds(self):
        x, y, L = gc.tensor("x", 2), *gc.tensors("y L")
        y[()] = gc.where(True, 3, x[1])
        L[()] += x[i]
        L[()] += y[()]
        assert values(gc.vmap(L, {x: 2}), x=np.array([[1.0, 2.0], [3.0, 4.0]])).tolist() == [6, 10]

    def test_derivatives_of_a_batched_program(self):
        """The original input stands for the batched one."""
        net, total = layer(), gc.tensor("total")
        losses = gc.vmap(net["L"], {net["X"]: 3})
        total[()] += losses[k] * (k + 1)
        given = DATA | {"X": random.normal(size=(3, 4, 2))}
        dX, dA = values(gc.grad(total, [net["X"], net["A"]]), **given)
        wantX, wantA = one_by_one(gc.grad(net["L"], [net["X"], net["A"]]), "X", **given)
        weights = np.arange(1, 4)
        assert np.allclose(dX, wantX * weights[:, None, None], rtol=1e-12)
        assert np.allclose(dA, np.tensordot(weights, wantA, 1), rtol=1e-12)
        V = gc.tensor("V", 3, N, D)
        v = random.normal(size=(3, 4, 2))
        assert np.isclose(values(gc.jvp(total, {net["X"]: V}), **given, V=v), (dX * v).sum(), rtol=1e-12)
        gc.check_grad(total, [net["A"]], **given)


def convolution():
    """A valid convolution with its input and weights: nothing else but loops."""
    n, f, c, p, q, r, s = gc.indices("n f c p q r s")
    x, w, y = gc.tensor("x", *gc.dims("N C H W")), gc.tensor("w", *gc.dims("F C R S")), gc.tensor("y")
    y[n, f, p, q] += x[n, c, p + r, q + s] * w[f, c, r, s]
    return x, w, y


class TestJacobian:
    def test_loops_of_the_jacobian_of_a_convolution(self, golden):
        x, w, y = convolution()
        golden(gc.loops(gc.jacobian(y, x), gc.jacobian(y, w)))

    def test_loops_of_the_jacobian_of_a_layer(self, golden):
        """Rows of the batch do not mix: no tensor on the way has two batch dimensions."""
        net = layer()
        golden(gc.loops(*gc.jacobian(net["Y"], [net["X"], net["A"]])))

    @pytest.mark.parametrize("target", ["interpret", "cpu"])
    def test_products_with_vectors(self, target):
        net = layer()
        names = ["X", "A", "c"]
        rows = gc.jacobian(net["Y"], [net[n] for n in names])
        w = gc.tensor("w", N, 3)
        given = DATA | CHANGE | {"w": random.normal(size=(4, 3))}
        matrices = gc.compile(rows, target=target, precision="float64")(**DATA)
        dot, *adjoints = values([gc.jvp(net["Y"], changes(names, net)), *gc.grad(net["Y"], [net[n] for n in names], seed=w)], **given)
        assert np.allclose(dot, sum(np.tensordot(m, given[f"d{n}"], given[n].ndim) for n, m in zip(names, matrices, strict=True)))
        for matrix, adjoint in zip(matrices, adjoints, strict=True):
            assert np.allclose(adjoint, np.tensordot(given["w"], matrix, 2), rtol=1e-12)

    def test_shape_and_structure(self):
        net = layer()
        made = gc.jacobian({"Y": net["Y"], "L": net["L"]}, [net["A"], net["c"]])
        assert {n: [repr(t) for t in row] for n, row in made.items()} == {
            "Y": ["Y.jacobian(N, 3, D, 3)", "Y.jacobian(N, 3, 3)"],
            "L": ["L.jacobian(D, 3)", "L.jacobian(3)"],
        }
        assert repr(gc.jacobian((net["Y"],), net["A"])) == "(Y.jacobian(N, 3, D, 3),)"

    def test_is_explained(self):
        x, _, y = convolution()
        text = str(gc.explain(gc.jacobian(y, x)))
        assert "from         y[n,f,p,q] += x[n,c,p+r,q+s]*w[f,c,r,s]" in text
        assert "unit seeds" in text

    def test_of_a_scalar_is_the_gradient(self):
        net = layer()
        jacobian, gradient = values([gc.jacobian(net["L"], net["A"]), gc.grad(net["L"], net["A"])], **DATA)
        assert np.allclose(jacobian, gradient, rtol=1e-14)

    def test_of_itself_is_the_identity(self):
        x, y = gc.tensor("x", 2, 3), gc.tensor("y")
        y[i, j] = x[i, j]
        for tensor, wrt in ((x, x), (y, x), (y, y)):
            assert (values(gc.jacobian(tensor, wrt)) == np.eye(6).reshape(2, 3, 2, 3)).all()

    def test_without_dependence_is_zero(self):
        x, z, y = *gc.tensors("x z", 3), gc.tensor("y")
        y[i] = gc.sin(x[i])
        assert (values(gc.jacobian(y, z)) == np.zeros((3, 3))).all()
        assert (values(gc.jacobian(x, z)) == np.zeros((3, 3))).all()

    def test_with_respect_to_a_tensor_on_the_way(self):
        net = layer()
        found, Y = values([gc.jacobian(net["Y"], net["U"]), net["Y"]], **DATA)
        slope = (Y * (1 - Y)).ravel()
        assert np.allclose(found.reshape(12, 12), np.diag(slope), rtol=1e-12)

    def test_of_windows_triangles_and_strides(self):
        """Subscripts that are solved, and domains that conditions narrow."""
        x, y = gc.tensor("x", 7), gc.tensor("y", 4)
        r = gc.index("r", 3)
        y[i] += gc.where(j <= i, gc.pad(x, 0)[2 * i + r - 1] * x[j], 0)
        data = random.normal(size=7)
        found = values(gc.jacobian(y, x), x=data)
        step = 1e-6
        columns = [(values(y, x=data + step * e) - values(y, x=data - step * e)) / (2 * step) for e in np.eye(7)]
        assert np.allclose(found, np.stack(columns, 1), atol=1e-8)

    def test_of_a_tensor_that_is_longer_than_what_it_comes_from(self):
        """Integers may point at the rest of it."""
        n = gc.dims("N")
        x, at, i = gc.tensor("x", 1), gc.tensor("at", n, dtype="int64"), gc.index("i")
        long, y = gc.tensor("long", 3), gc.tensor("y")
        long[0] = x[0] ** 2
        y[i] = 3 * long[at[i]]
        found = gc.compile(gc.jacobian(y, x), target="interpret")(x=np.float32([2]), at=np.array([2, 0, 1, 0]))
        np.testing.assert_array_equal(found.ravel(), [0, 12, 0, 12])
        z = gc.tensor("z")
        z[i] = long[1] + at[i]
        assert not gc.compile(gc.jacobian(z, x), target="interpret")(x=np.float32([2]), at=np.array([2, 0])).any()

    def test_of_a_hessian(self):
        """Third derivatives of x⁴ + x²·y²."""
        x, L = gc.tensor("x", 2), gc.tensor("L")
        L[()] = x[0] ** 4 + x[0] ** 2 * x[1] ** 2
        third = values(gc.jacobian(gc.hessian(L, x), x), x=np.array([0.3, 0.7]))
        want = np.zeros((2, 2, 2))
        want[0, 0, 0] = 24 * 0.3
        want[0, 0, 1] = want[0, 1, 0] = want[1, 0, 0] = 4 * 0.7
        want[0, 1, 1] = want[1, 0, 1] = want[1, 1, 0] = 4 * 0.3
        assert np.allclose(third, want, rtol=1e-12)


class TestHessian:
    def test_loops_of_a_hessian(self, golden):
        net = layer()
        golden(gc.loops(gc.hessian(net["L"], net["X"])))

    @pytest.mark.parametrize("target", ["interpret", "cpu"])
    def test_products_with_vectors(self, target):
        net = layer()
        rows = gc.hessian(net["L"], [net["A"], net["c"]])
        matrices = gc.compile(rows[0] + rows[1], target=target, precision="float64")(**DATA)
        products = values(gc.hvp(net["L"], changes("Ac", net)), **DATA, dA=CHANGE["dA"], dc=CHANGE["dc"])
        for row, name in enumerate("Ac"):
            parts = zip(matrices[2 * row : 2 * row + 2], "Ac", strict=True)
            assert np.allclose(products[net[name]], sum(np.tensordot(m, CHANGE[f"d{n}"], DATA[n].ndim) for m, n in parts), rtol=1e-10)
        assert np.allclose(matrices[1], np.moveaxis(matrices[2], 0, 2), rtol=1e-10)

    def test_structure(self):
        """Nested lists can be compiled and batched as they are."""
        net = layer()
        batched = gc.vmap(gc.hessian(net["L"], [net["A"], net["c"]]), {net["X"]: 2})
        found = values(batched, **DATA | {"X": random.normal(size=(2, 4, 2))})
        assert [[a.shape for a in row] for row in found] == [[(2, 2, 3, 2, 3), (2, 2, 3, 3)], [(2, 3, 2, 3), (2, 3, 3)]]
        program = gc.compile({"H": batched}, target="interpret")
        out = {"H": [[np.zeros(a.shape, "float32") for a in row] for row in found]}
        program({n: a.astype("float32") for n, a in (DATA | {"X": np.zeros((2, 4, 2))}).items()}, out=out)
        assert out["H"][1][1].any()
        assert repr(gc.hessian(net["L"], net["A"])) == "L.hessian(D, 3, D, 3)"
        assert [[repr(t) for t in row] for row in gc.hessian(net["L"], (net["A"], net["c"]))] == [
            ["L.hessian(D, 3, D, 3)", "L.hessian(D, 3, 3)"], ["L.hessian(3, D, 3)", "L.hessian(3, 3)"]]


def surrogate():
    """Two inputs, a tensor with a hand-written gradient that is not the derivative (3 instead of 1) for one of them, and a loss."""
    x, w, y, L = gc.tensor("x", N), gc.tensor("w", N), *gc.tensors("y L")
    y[i] = gc.round(x[i]) * w[i]

    def thrice(dy):
        dx = gc.tensor("dx")
        dx[i] = 3 * dy[i] * w[i]
        return dx

    gc.custom_grad(y, {x: thrice})
    L[()] += y[i] ** 2 / 2
    return x, w, y, L


POINT = {"x": np.array([0.2, 1.7, -2.4]), "w": np.array([1.5, 0.5, -1.0])}
ROUNDED = np.round(POINT["x"])


class TestCustomGrad:
    def test_loops_of_a_hand_written_gradient(self, golden):
        x, w, _, L = surrogate()
        golden(gc.loops(*gc.grad(L, [x, w])))

    def test_returns_the_tensor_and_calls_the_function_once(self):
        x, y, calls = gc.tensor("x", 3), gc.tensor("y"), []
        y[i] = gc.floor(x[i])
        assert gc.custom_grad(y, {x: lambda dy: calls.append(repr(dy)) or dy}) is y
        total = gc.tensor("total")
        total[()] += y[i] ** 2
        for _ in range(2):
            gc.grad(total, x)
        assert calls == ["y.grad(3)"]

    @pytest.mark.parametrize("target", ["interpret", "cpu"])
    def test_replaces_the_derived_one_and_leaves_the_others(self, target):
        x, w, y, L = surrogate()
        dx, dw, dy = gc.compile(gc.grad(L, [x, w, y]), target=target, precision="float64")(**POINT)
        value = ROUNDED * POINT["w"]
        assert np.allclose(dy, value)
        assert np.allclose(dx, 3 * value * POINT["w"])
        assert np.allclose(dw, value * ROUNDED)

    def test_forward_mode_is_the_transpose(self):
        x, w, y, L = surrogate()
        V, W = gc.tensors("V W", N)
        v, u = random.normal(size=(2, 3))
        dot = values(gc.jvp(y, {x: V, w: W}), **POINT, V=v, W=u)
        assert np.allclose(dot, 3 * POINT["w"] * v + ROUNDED * u)
        assert np.allclose(values(gc.jacobian(y, x), w=POINT["w"]), np.diag(3 * POINT["w"]))
        assert np.isclose(values(gc.jvp(L, {x: V}), **POINT, V=v), (values(gc.grad(L, x), **POINT) * v).sum())

    def test_second_order(self):
        """The function's own loops are differentiated, and T by the function again; a gradient that is none has no symmetric Hessian."""
        x, w, _, L = surrogate()
        found = values(gc.hessian(L, [x, w]), **POINT)
        w_, r = POINT["w"], ROUNDED
        want = [[9 * w_**2, 6 * r * w_], [3 * r * w_, r**2]]
        for row, expected in zip(found, want, strict=True):
            for matrix, diagonal in zip(row, expected, strict=True):
                assert np.allclose(matrix, np.diag(diagonal))
        V = gc.tensor("V", N)
        v = random.normal(size=3)
        assert np.allclose(values(gc.hvp(L, {x: V})[x], w=POINT["w"], V=v), found[0][0] @ v)

    def test_batched(self):
        x, w, _, L = surrogate()
        outputs = gc.grad(L, [x, w])
        for names in ("x", "w", "xw"):
            batched = {n: np.stack([a, 2 * a]) if n in names else a for n, a in POINT.items()}
            made = gc.vmap([L, *outputs], {{"x": x, "w": w}[n]: 2 for n in names})
            for got, want in zip(values(made, **batched), one_by_one([L, *outputs], names, **batched), strict=True):
                assert np.allclose(got, want)
            total = gc.tensor("total")
            total[()] += gc.vmap(L, {{"x": x, "w": w}[n]: 2 for n in names})[b]
            rows = one_by_one(outputs, names, **batched)
            for name, got, want in zip("xw", values(gc.grad(total, [x, w]), **batched), rows, strict=True):
                assert np.allclose(got, want if name in names else want.sum(0))

    def test_of_a_tensor_with_others_on_the_way(self):
        """Nested sums and named tensors between X and T are no part of the gradient."""
        x, e, y, L = gc.tensor("x", N), *gc.tensors("e y L")
        e[i] = gc.exp(x[i])
        y[i] = e[i] / gc.sum(e[j], over=j)

        def softmax(dy):
            dx = gc.tensor("dx")
            dx[i] = y[i] * (dy[i] - gc.sum(dy[j] * y[j], over=j))
            return dx

        plain = gc.tensor("plain")
        plain[()] += y[i] ** 3 * gc.log(y[i])
        want = values([gc.grad(plain, x), gc.hessian(plain, x)], x=POINT["x"])
        gc.custom_grad(y, {x: softmax})
        L[()] += y[i] ** 3 * gc.log(y[i])
        gradient = gc.grad(L, x)
        assert "dx" in str(gc.loops(gradient))
        for got, expected in zip(values([gradient, gc.hessian(L, x)], x=POINT["x"]), want, strict=True):
            assert np.allclose(got, expected, rtol=1e-10)

    def test_by_the_gradient_of_another_program(self):
        """A function may call transforms: here the derivative of a smooth surrogate."""
        x, y, smooth, L = gc.tensor("x", N), *gc.tensors("y smooth L")
        y[i] = gc.where(x[i] > 0, 1.0, 0.0)
        smooth[i] = gc.sigmoid(4 * x[i])
        gc.custom_grad(y, {x: lambda dy: gc.grad(smooth, x, seed=dy)})
        L[()] += 2 * y[i]
        s = 1 / (1 + np.exp(-4 * POINT["x"]))
        assert np.allclose(values(gc.grad(L, x), x=POINT["x"]), 8 * s * (1 - s))

    def test_of_the_output_and_of_several_with_one_name(self):
        y, x = gc.tensor("y"), gc.tensor("x", 3)
        y[()] += x[i]
        gc.custom_grad(y, {x: lambda dy: spread(dy, 5)})
        other = gc.tensor("y")
        other[()] = y[()] * 2
        gc.custom_grad(other, {y: lambda dy: spread(dy, 7, ())})
        assert np.allclose(values(gc.grad(y, x)), 5)
        assert np.allclose(values(gc.grad(other, x)), 35)

    def test_mistakes_are_found(self):
        x, _, _, L = surrogate()
        with pytest.raises(gc.GradientError, match="hand-written"):
            gc.verify(L, x)
        with pytest.raises(gc.GradientError, match="hand-written"):
            gc.check_grad(L, x, **POINT)

    def test_a_rule_that_is_not_linear_keeps_its_condition_in_a_jacobian(self):
        """In reverse mode the rule is run for every unit tensor; in forward mode it is refused."""
        x, y = gc.tensor("x", 5), gc.tensor("y", 2)
        y[i] = x[2 * i] + x[i + 3]

        def root(dy):
            dx = gc.tensor("dx", 5)
            dx[i] = gc.where(i < 2, gc.sqrt(gc.abs(4 * dy[i % 2])), 0)
            return dx

        gc.custom_grad(y, {x: root})
        assert np.allclose(values(gc.jacobian(y, x)), 2 * np.eye(2, 5))

    def test_other_calls_see_the_forward_program_only(self):
        x, _, y, L = surrogate()
        assert str(gc.loops(y)) == "for i:  y[i] = round(x[i])*w[i]"
        assert gc.compile(L, target="interpret").inputs == ("x", "w")
        assert gc.parameters(gc.grad(L, x)) == []


def spread(dy, factor, shape=(3,)):
    made = gc.tensor("dx", shape)
    made[(i,) if shape else ()] = factor * dy[()]
    return made


def test_forward_mode_of_a_hand_written_gradient_inside_of_a_recurrence():
    """The rule is for a tensor that stands before its input in the order of the loops."""
    n, i = gc.dim("n"), gc.index("i")
    b, x, v, g, t = gc.tensor("b", n), gc.tensor("x", n), gc.tensor("v", n), *gc.tensors("g t")
    g[i] = b[i] + t[i - 1]
    t[i] = g[i] * x[i]
    t[-1] = 1
    gc.custom_grad(g, {x: lambda dg: gc.grad(g, x, seed=dg)})
    found = gc.compile(gc.jvp([t, g], {x: v}), target="interpret")(b=np.float32([2, 2]), x=np.float32([3, 5]), v=np.float32([1, 10]))
    np.testing.assert_array_equal(found, [[3, 5 * 3 + 10 * 11], [0, 3]])
