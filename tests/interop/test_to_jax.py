"""Programs as functions of JAX: every transform, beside the same function written in JAX."""

from __future__ import annotations

import copy
import functools
import pickle
import threading

import numpy as np
import pytest

import graphc as gc

jax = pytest.importorskip("jax")

from jax import numpy as jnp  # noqa: E402

B, D, M, N = gc.dims("B D M N")
b, i, j, k = gc.indices("b i j k")


def layer():
    """A layer and its loss, with both as results."""
    x, w, c, t = gc.tensor("x", B, D), gc.tensor("w", D, M), gc.tensor("c", M), gc.tensor("t", B, M)
    u, y, loss = gc.tensors("u y loss")
    u[b, i] += x[b, j] * w[j, i]
    y[b, i] = gc.sigmoid(u[b, i] + c[i])
    loss[()] += (y[b, i] - t[b, i]) ** 2 / B
    return [loss, y], [x, w, c, t]


def reference(x, w, c, t):
    y = jax.nn.sigmoid(x @ w + c)
    return [((y - t) ** 2).sum() / x.shape[0], y]


@pytest.fixture(scope="module")
def f():
    outputs, inputs = layer()
    return gc.to_jax(outputs, inputs=inputs)


ARRAYS = [np.random.default_rng(s).normal(size=shape).astype("float32") for s, shape in enumerate([(5, 3), (3, 2), (2,), (5, 2)])]
X, W, C, T = ARRAYS


def same(found, expected, tolerance=2e-5):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, e in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.dtype == e.dtype and a.shape == e.shape
        np.testing.assert_allclose(a, e, rtol=tolerance, atol=tolerance)


def loss_of(g, *which):
    """The loss as a function of some arguments."""

    def loss(*given):
        arrays = [jnp.asarray(a) for a in ARRAYS]
        for position, array in zip(which, given, strict=True):
            arrays[position] = array
        return g(*arrays)[0]

    return loss


def descended(g, w):
    def step(w, _):
        value, slope = jax.value_and_grad(loss_of(g, 1))(w)
        return w - 0.5 * slope, value

    return jax.lax.scan(step, w, None, length=5)


STACK = np.stack([W, 2 * W, -W])
TRANSFORMS = {
    "call": lambda g: g(*ARRAYS),
    "jit": lambda g: jax.jit(g)(*ARRAYS),
    "grad": lambda g: jax.grad(loss_of(g, 0, 1, 2, 3), (0, 1, 2, 3))(*map(jnp.asarray, ARRAYS)),
    "jit of value_and_grad": lambda g: jax.jit(jax.value_and_grad(loss_of(g, 1, 2), (0, 1)))(W, C),
    "jvp": lambda g: jax.jvp(g, tuple(map(jnp.asarray, ARRAYS)), tuple(jnp.asarray(a + 1) for a in ARRAYS)),
    "linearize": lambda g: jax.linearize(lambda w: g(X, w, C, T), W)[1](W),
    "vjp of both": lambda g: jax.vjp(lambda w, c: g(X, w, c, T), W, C)[1]([jnp.float32(2), jnp.ones((5, 2))]),
    "jacrev": lambda g: jax.jacrev(lambda w: g(X, w, C, T)[1])(W),
    "jacfwd": lambda g: jax.jacfwd(lambda w: g(X, w, C, T))(W),
    "hessian": lambda g: jax.hessian(loss_of(g, 2))(C),
    "grad of grad": lambda g: jax.grad(lambda w: (jax.grad(loss_of(g, 1))(w) ** 2).sum())(W),
    "vmap": lambda g: jax.vmap(g, (None, 0, None, None))(X, STACK, C, T),
    "vmap of another axis": lambda g: jax.vmap(lambda w: g(X, w, C, T), 2)(np.moveaxis(STACK, 0, 2)),
    "vmap of vmap": lambda g: jax.vmap(lambda x: jax.vmap(lambda w: g(x, w, C, T)[0])(STACK))(np.stack([X, -X])),
    "vmap of grad": lambda g: jax.jit(jax.vmap(jax.grad(loss_of(g, 1))))(STACK),
    "grad of vmap": lambda g: jax.grad(lambda w, c: jax.vmap(loss_of(g, 1, 2), (0, None))(w, c).sum(), (0, 1))(STACK, C),
    "scan": lambda g: jax.jit(functools.partial(descended, g))(W),
    "grad through scan": lambda g: jax.grad(lambda w: descended(g, w)[1].sum())(W),
    "checkpoint": lambda g: jax.grad(jax.checkpoint(loss_of(g, 1)))(W),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transform(name, f):
    same(TRANSFORMS[name](f), TRANSFORMS[name](reference))


def test_numeric_gradients_of_second_order(f):
    from jax.test_util import check_grads

    check_grads(loss_of(f, 1, 2), (W, C), order=2, atol=2e-2, rtol=2e-2)


def test_the_gradient_is_one_program(f):
    """No loop over the batch, and no operation of JAX's beside the program."""
    text = str(jax.make_jaxpr(jax.vmap(jax.grad(loss_of(f, 1))))(STACK))
    assert "while" not in text and "scan" not in text and text.count("graphc[") == 2


# ------------------------------------------------------------------------------------------------------------- other programs


def test_integers_and_results_that_have_no_derivative(f):
    table, token, out, place = gc.tensor("table", N, D), gc.tensor("token", B, dtype="int32"), *gc.tensors("out place")
    out[b, j] = table[token[b], j]
    place[b] = gc.where(table[token[b], 0] > 0, token[b], -1)
    g = gc.to_jax({"rows": out, "place": place}, inputs=[table, token])
    tokens = jnp.array([2, 0, 2], "int32")
    values = jnp.arange(-4.0, 8.0).reshape(4, 3)
    found = g(values, tokens)
    assert found["rows"].tolist() == values[tokens].tolist() and found["place"].tolist() == [2, -1, 2]
    assert found["place"].dtype == "int32"
    slope = jax.grad(lambda v: (g(v, tokens)["rows"] * jnp.arange(3.0)[:, None]).sum())(values)
    assert slope.tolist() == jax.grad(lambda v: (v[tokens] * jnp.arange(3.0)[:, None]).sum())(values).tolist()
    several = jax.vmap(lambda t: g(values, t)["rows"])(jnp.array([[1, 1], [3, 0]], "int32"))
    assert several.tolist() == values[jnp.array([[1, 1], [3, 0]])].tolist()


@pytest.mark.parametrize("compiled", [False, True])
def test_a_value_out_of_range_is_told(compiled):
    """Of both types that docs/jax.md names; after a call that succeeded JAX makes a ValueError of every error."""
    table, token, out = gc.tensor("table", N), gc.tensor("token", B, dtype="int32"), gc.tensor("out")
    out[b] = table[token[b]]

    def made():
        f = gc.to_jax(out, inputs=[table, token])
        return jax.jit(f) if compiled else f

    values, outside, told = jnp.ones(3), jnp.array([0, 7], "int32"), r"ArgumentError: token\[1\] is 7"
    with pytest.raises(jax.errors.JaxRuntimeError, match=told):
        made()(values, outside).block_until_ready()
    warm = made()
    for _ in range(2):
        warm(values, jnp.array([0, 1], "int32")).block_until_ready()
    with pytest.raises(ValueError, match=told):
        warm(values, outside).block_until_ready()

    def delayed(k):
        large = jax.lax.fori_loop(0, 20, lambda _, a: jnp.tanh(a @ a), jnp.ones((300, 300)))
        return k + (0 * large[0, 0]).astype("int32")

    with pytest.raises((jax.errors.JaxRuntimeError, ValueError), match=told):
        warm(values, jax.jit(delayed)(outside)).block_until_ready()


def test_arguments_of_all_forms(f):
    outputs, _ = layer()
    g = gc.to_jax(outputs[0])
    params = {"w": W, "c": C, "other": None}
    expected = reference(*ARRAYS)[0]
    for found in (g(params, x=X, t=T), g(x=X, w=W, c=C, t=T), f(X, W, C, t=T)[0], f(X.tolist(), W, C.tolist(), T)[0]):
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    slopes = jax.grad(lambda p: g(p, x=X, t=T))({"w": W, "c": C})
    same(slopes, jax.grad(lambda p: reference(X, p["w"], p["c"], T)[0])({"w": W, "c": C}))
    np.testing.assert_allclose(f.program(x=X, w=W, c=C, t=T)[0], expected, rtol=1e-5)
    assert repr(f) == "<function of JAX x, w, c, t → loss, y>"


def test_numbers_take_the_type_of_their_tensor():
    s, n, y = gc.tensor("s", ()), gc.tensor("n", (), dtype="int32"), gc.tensor("y")
    y[()] = s[()] * n[()]
    assert float(gc.to_jax(y)(s=2, n=3)) == 6
    with pytest.raises(gc.DtypeError, match="n has dtype float64"):
        gc.to_jax(y)(s=2, n=3.5)


def test_unused_inputs_have_no_gradient():
    x, z, y = gc.tensor("x", N), gc.tensor("z", N), gc.tensor("y")
    y[i] = 2 * x[i] + gc.stop_gradient(z[i])
    g = gc.to_jax(y, inputs=[x, z])
    slopes = jax.grad(lambda x, z: g(x, z).sum(), (0, 1))(jnp.ones(3), jnp.ones(3))
    assert slopes[0].tolist() == [2] * 3 and slopes[1].tolist() == [0] * 3


def test_stopped_gradients_of_second_order():
    """Values that the gradient reads are results of the first half, through which the second derivative goes."""
    x, u, y = gc.tensor("x", N), gc.tensor("u", N), gc.tensor("y")
    u[i] += x[j] ** 2 * gc.where(j <= i, 1.0, 0.5)
    y[i] = x[i] ** 2 * gc.stop_gradient(u[i]) + u[i] ** 3
    g = gc.to_jax(y, inputs=[x])

    def written(x):
        u = (jnp.tril(jnp.full((3, 3), 0.5)) + 0.5) @ x**2
        return x**2 * jax.lax.stop_gradient(u) + u**3

    at = jnp.array([0.5, -1, 2])
    same(jax.jacfwd(g)(at), jax.jacfwd(written)(at))
    same(jax.hessian(lambda x: g(x).sum())(at), jax.hessian(lambda x: written(x).sum())(at))


def test_the_gradient_reads_what_the_call_has_computed(f):
    """Neither the product nor the sigmoid is computed again."""
    tangent = f._operator.tangent((1, 2))
    assert [t.name for t in tangent.first.outputs] == ["loss", "y"]
    assert not any("exp" in str(s) or "sigmoid" in str(s) for s in tangent.second.operator.program.graph.statements)


def test_empty_arrays(f):
    same(f(X[:0], W, C, T[:0])[1], jnp.zeros((0, 2)))
    assert jax.grad(loss_of(f, 0, 3))(jnp.zeros((0, 3)), jnp.zeros((0, 2))).shape == (0, 3)


def test_a_result_twice_and_an_argument_as_a_result():
    x, y = gc.tensor("x", N), gc.tensor("y")
    y[i] = gc.sin(x[i])
    g, at = gc.to_jax([y, y, x], inputs=[x]), jnp.arange(3.0)
    same(g(at), [jnp.sin(at), jnp.sin(at), at])
    same(jax.grad(lambda x: sum((k + 1) * r.sum() for k, r in enumerate(g(x))))(at), 3 * jnp.cos(at) + 3)


def test_recurrences():
    h, x, a = gc.tensors("h"), gc.tensor("x", N), gc.tensor("a", ())
    t = gc.index("t")
    h[t] = gc.tanh(a[()] * gc.where(t > 0, h[t - 1], 0) + x[t])
    g = gc.to_jax(h, inputs=[x, a])

    def scanned(x, a):
        return jax.lax.scan(lambda h, x: (v := jnp.tanh(a * h + x), v), jnp.float32(0), x)[1]

    arguments = jnp.linspace(-1, 1, 7), jnp.float32(0.7)
    same(g(*arguments), scanned(*arguments))
    for make in (lambda g: jax.grad(lambda x, a: (g(x, a) ** 2).sum(), (0, 1)), lambda g: jax.jacfwd(g, (0, 1))):
        same(make(g)(*arguments), make(scanned)(*arguments))


def test_memory_is_xlas_own(monkeypatch):
    """Arguments are read and results written where they are."""
    x, y = gc.tensor("x", N), gc.tensor("y")
    y[i] = 2 * x[i]
    g, seen = gc.to_jax(y), []
    into = g.program.into

    def watched(arrays, results):
        seen.append((arrays["x"].ctypes.data, results[0].ctypes.data))
        into(arrays, results)

    monkeypatch.setattr(g.program, "into", watched)
    given = jnp.ones(12345)
    result = g(x=given).block_until_ready()
    assert seen == [(given.unsafe_buffer_pointer(), result.unsafe_buffer_pointer())]


def test_small_programs_that_are_called_often(monkeypatch):
    from graphc.interop import often

    monkeypatch.setattr(often, "OFTEN", 2)
    monkeypatch.setattr(often, "VERY_OFTEN", 3)
    x, y = gc.tensor("x", N), gc.tensor("y")
    y[i] = 3 * x[i] + 1
    g, calls = gc.to_jax(y), []
    into = g.program.into
    monkeypatch.setattr(g.program, "into", lambda *given: calls.append(into(*given)))
    for k in range(6):
        assert g(x=jnp.full(4, k, "float32")).tolist() == [3 * k + 1] * 4
    assert len(calls) in (2, 3)
    assert g(x=jnp.ones(5)).tolist() == [4] * 5 and g(x=jnp.ones(0)).shape == (0,)


def test_threads(f):
    run = jax.jit(jax.grad(loss_of(f, 1)))
    expected, wrong = np.asarray(run(W)), []

    def work(seed):
        for _ in range(20):
            if not np.array_equal(run(W), expected):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(s,)) for s in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_float64():
    x, y = gc.tensor("x", N, dtype="float64"), gc.tensor("y")
    y[i] = gc.exp(x[i])
    g = gc.to_jax(y)
    with jax.enable_x64(True):
        found = jax.grad(lambda x: g(x=x).sum())(jnp.arange(3.0))
        assert found.dtype == "float64"
        np.testing.assert_allclose(found, np.exp(np.arange(3.0)), rtol=1e-14)


# --------------------------------------------------------------------------------------------------------- symbolic shapes


def exported(function, *shapes, constraints=()):
    from jax import export

    known, scope = [export.DisabledSafetyCheck.custom_call("graphc")], export.SymbolicScope(constraints)
    known_shapes = [export.symbolic_shape(shape, scope=scope) for shape in shapes]
    return export.export(jax.jit(function), disabled_checks=known)(*(jax.ShapeDtypeStruct(shape, "float32") for shape in known_shapes))


def test_symbolic_shapes(f):
    call = exported(lambda x, t: f(x, W, C, t), "b, 3", "b, 2")
    for rows in (2, 5):
        same(call.call(X[:rows], T[:rows]), reference(X[:rows], W, C, T[:rows]))
    slope = exported(jax.grad(lambda x: f(x, W, C, jnp.zeros((x.shape[0], 2)))[0]), "b, 3")
    same(slope.call(X[:4]), jax.grad(lambda x: reference(x, W, C, jnp.zeros((4, 2)))[0])(X[:4]))
    several = exported(jax.vmap(lambda x: f(x, W, C, jnp.zeros((x.shape[0], 2)))[1]), "n, b, 3")
    assert several.out_avals[0].shape[1:] == (*several.in_avals[0].shape[1:2], 2)
    assert several.call(np.stack([X, X])).shape == (2, 5, 2)


def test_symbolic_shapes_of_windows():
    s, kernel, y = gc.tensor("s", N), gc.tensor("kernel", M), gc.tensor("y")
    y[i] += s[i + j] * kernel[j]
    g = gc.to_jax(y, inputs=[s, kernel])
    call = exported(g, "n", "3", constraints=["n >= 3"])
    assert call.call(jnp.arange(9.0), jnp.ones(3)).tolist() == g(jnp.arange(9.0), jnp.ones(3)).tolist()


def test_the_key_belongs_to_the_program(f):
    outputs, inputs = layer()
    assert gc.to_jax(outputs, inputs=inputs)._operator.key == f._operator.key
    assert gc.to_jax(outputs, inputs=inputs[::-1])._operator.key != f._operator.key


# ---------------------------------------------------------------------------------------------------------------- surroundings


def test_without_jit(f):
    with jax.disable_jit():
        same(f(*ARRAYS), reference(*ARRAYS))
        same(jax.grad(loss_of(f, 1))(W), jax.grad(loss_of(reference, 1))(W))


def test_nans_are_found():
    x, y = gc.tensor("x", N), gc.tensor("y")
    y[i] = gc.log(x[i])
    g = gc.to_jax(y)
    with jax.debug_nans(True):
        assert g(x=jnp.ones(2)).tolist() == [0, 0]
        for call in (g, jax.jit(g)):
            with pytest.raises(FloatingPointError, match="nan"):
                call(x=-jnp.ones(2))


def test_linear_functions_are_transposed(f):
    (found,) = jax.linear_transpose(functools.partial(weighted(), X), W)(T)
    same(found, X.T @ T)


def weighted():
    x, w, y = gc.tensor("x", B, D), gc.tensor("w", D, M), gc.tensor("y")
    y[b, i] += x[b, j] * w[j, i]
    return gc.to_jax(y, inputs=[x, w])


def test_numbers_are_converted_exactly():
    x, s, y = gc.tensor("x", N), gc.tensor("s", (), dtype="int8"), gc.tensor("y")
    y[i] = x[i] + s[()]
    g = gc.to_jax(y, inputs=[x, s])
    for given, count in [([1, 2], -3), ([True, False], 4), ((0.5, 1), jnp.asarray(7)), ([jnp.float32(1), 2.0], 1)]:
        assert g(given, count).tolist() == [float(v) + int(count) for v in given]
    assert jax.jit(lambda v: g([v, 2 * v], 1))(1.5).tolist() == [2.5, 4]


def test_functions_are_copied_and_pickled(f):
    assert copy.deepcopy(f) is f
    again = pickle.loads(pickle.dumps(f))
    assert again._operator.key == f._operator.key
    same(again(*ARRAYS), reference(*ARRAYS))
