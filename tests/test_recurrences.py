"""Recurrences: an order is found or refused, gradients run backwards in time, and kernels agree with the interpreter."""

from __future__ import annotations

import numpy as np
import pytest
from numba.core.event import install_recorder

import graphc as gc
from tests.gpu import compiled

T, B, H, N = gc.dims("T B H N")
t, b, i, j, k = gc.indices("t b i j k")


def rnn():
    x, W, h0 = gc.tensor("x", T, B, H), gc.tensor("W", H, H), gc.tensor("h0", B, H)
    h, L = gc.tensors("h L")
    h[t, b, i] = gc.tanh(gc.sum(W[i, j] * h[t - 1, b, j], over=j) + x[t, b, i])
    h[-1, b, i] = h0[b, i]
    L[()] += h[t, b, i] ** 2
    return L, [W, h0, x], {"x": (4, 2, 3), "W": (3, 3), "h0": (2, 3)}


def lstm():
    x, Wf, Wg = gc.tensor("x", T, H), gc.tensor("Wf", H, H), gc.tensor("Wg", H, H)
    h, c, f, g, L = gc.tensors("h c f g L")
    f[t, i] = gc.sigmoid(gc.sum(Wf[i, j] * h[t - 1, j], over=j) + x[t, i])
    g[t, i] = gc.tanh(gc.sum(Wg[i, j] * h[t - 1, j], over=j) + x[t, i])
    c[t, i] = f[t, i] * c[t - 1, i] + (1 - f[t, i]) * g[t, i]
    h[t, i] = gc.tanh(c[t, i]) * f[t, i]
    h[-1, i] = 0 * x[0, i]
    c[-1, i] = 0 * x[0, i]
    L[()] += h[t, i] * c[t, i]
    return L, [Wf, Wg, x], {"x": (4, 3), "Wf": (3, 3), "Wg": (3, 3)}


def cumulative_sum():
    x, s, L = gc.tensor("x", N), *gc.tensors("s L")
    s[i] = gc.where(i > 0, s[i - 1], 0) + x[i]
    L[()] += s[i] ** 2
    return L, [x], {"x": (6,)}


def window():
    x, a = gc.tensor("x", N), gc.tensor("a", 3)
    y, L = gc.tensors("y L")
    y[t] = x[t] + gc.sum(0.3 * a[k] * gc.pad(y, 0)[t - 1 - k], over=k)
    L[()] += y[t] ** 2
    return L, [x, a], {"x": (6,), "a": (3,)}


def descending():
    x, p = gc.tensor("x", N), gc.tensor("p", ())
    r, L = gc.tensors("r L")
    r[t] = x[t] + p[()] * gc.pad(r, 0)[t + 1]
    L[()] += r[t] ** 2
    return L, [x, p], {"x": (6,), "p": ()}


def soft_dtw():
    D, R, L = gc.tensor("D", N, T), *gc.tensors("R L")
    far = gc.pad(R, 50)
    soft = -gc.log(gc.exp(-far[i - 1, t]) + gc.exp(-far[i, t - 1]) + gc.exp(-far[i - 1, t - 1]))
    R[i, t] = D[i, t] + gc.where((i == 0) & (t == 0), 0, soft)
    L[()] += R[N - 1, T - 1]
    return L, [D], {"D": (3, 4)}


def wave():
    u0, c, q = gc.tensor("u0", N), gc.tensor("c", N), gc.index("q", 4)
    u, L = gc.tensors("u L")
    left, right = gc.clamp(u, dims=[1])[q - 1, i - 1], gc.clamp(u, dims=[1])[q - 1, i + 1]
    u[q, i] = 2 * u[q - 1, i] - u[q - 2, i] + 0.1 * c[i] * (left - 2 * u[q - 1, i] + right)
    u[-1, i] = u0[i]
    u[-2, i] = u0[i]
    L[()] += u[q, i] ** 2
    return L, [u0, c], {"u0": (5,), "c": (5,)}


def heat():
    """The declared index of time gives the rows; the number of points comes from the initial slice."""
    u0, c, q = gc.tensor("u0", N), gc.tensor("c", ()), gc.index("q", 5)
    u, L = gc.tensors("u L")
    near = gc.pad(u, 0, dims=[1])
    u[q, i] = u[q - 1, i] + c[()] * (near[q - 1, i - 1] - 2 * u[q - 1, i] + near[q - 1, i + 1])
    u[-1, i] = u0[i]
    L[()] += (u[4, i] - 0.5) ** 2
    return L, [u0, c], {"u0": (6,), "c": ()}


def mixed_contributions():
    """A row is set by a loop, added to by a product of all threads, and by a loop again."""
    x, W, V = gc.tensor("x", T, B, H), gc.tensor("W", H, H), gc.tensor("V", H, H)
    X, Y, h, L = gc.tensors("X Y h L")
    before = gc.pad(h, 0, dims=[0])
    X[t, b, i] += gc.sin(before[t - 1, b, i])
    X[t, b, i] += before[t - 1, b, j] * W[j, i]
    X[t, b, i] += gc.cos(Y[t, b, i])
    Y[t, b, i] = x[t, b, i] * gc.tanh(gc.sum(before[t - 1, b, j] * V[j, i], over=j))
    h[t, b, i] = gc.tanh(X[t, b, i]) + Y[t, b, i]
    L[()] += h[t, b, i] ** 2
    return L, [W, V, x], {"x": (4, 2, 3), "W": (3, 3), "V": (3, 3)}


def edit_distance():
    """The longest way through a grid of costs, cell by cell: two directions at once."""
    a, b, L = gc.tensor("a", N), gc.tensor("b", T), gc.tensor("L")
    i, j = gc.index("i", N + 1), gc.index("j", T + 1)
    D = gc.tensor("D", N + 1, T + 1)
    change = gc.minimum(gc.minimum(D[i - 1, j] + 1, D[i, j - 1] + 1), D[i - 1, j - 1] + gc.abs(a[i - 1] - b[j - 1]))
    D[i, j] = gc.where(i == 0, j, gc.where(j == 0, i, change))
    L[()] += D[N, T]
    return L, [a, b], {"a": (4,), "b": (3,)}


def wavefront():
    """A cell needs its neighbours above and to the left, with coefficients of its own."""
    x, c, y, L = gc.tensor("x", N, T), gc.tensor("c", 2), *gc.tensors("y L")
    near = gc.pad(y, 0)
    y[i, t] = gc.tanh(c[0] * near[i - 1, t] + c[1] * near[i, t - 1]) + x[i, t]
    L[()] += y[i, t] ** 2
    return L, [x, c], {"x": (4, 5), "c": (2,)}


def shifted_left_side():
    p, q = gc.tensor("p", ()), gc.index("q", 4)
    h, L = gc.tensors("h L")
    h[q + 1] = gc.sin(h[q]) * 0.9
    h[0] = p[()]
    L[()] += h[i] ** 2
    return L, [p], {"p": ()}


def short_window():
    """Two rows and a window of two: the adjoint's left side i-k-1 is hit once only, and must be solved for all the same."""
    x, a, w = gc.tensor("x", 2, N), gc.tensor("a", 2), gc.tensor("w", 2, N)
    y, L = gc.tensors("y L")
    y[i, j] = x[i, j] + gc.sum(a[k] * gc.pad(y, 0, dims=[0])[i - 1 - k, j], over=k)
    L[()] += w[i, j] * y[i, j] ** 2
    return L, [x, a], {"x": (2, 3), "a": (2,), "w": (2, 3)}


PROGRAMS = [
    rnn, lstm, mixed_contributions, cumulative_sum, window, descending, soft_dtw, edit_distance, wavefront, wave, heat, shifted_left_side,
    short_window,
]  # fmt: skip


def arrays_of(shapes):
    random = np.random.default_rng(3)
    return {name: np.asarray(random.uniform(0.2, 1.0, shape)) for name, shape in shapes.items()}


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_gradient(program):
    L, wrt, shapes = program()
    gc.check_grad(L, wrt, **arrays_of(shapes))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_kernels_agree_with_the_interpreter(program):
    L, wrt, shapes = program()
    outputs = [L, *gc.grad(L, wrt)]
    arrays = {name: array.astype("float32") for name, array in arrays_of(shapes).items()}
    for got, want in zip(gc.compile(outputs)(**arrays), gc.compile(outputs, target="interpret")(**arrays), strict=True):
        # a few hundred float32 operations in another order
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-6)


def test_recurrent_sum_in_numpy():
    L, _, shapes = rnn()
    arrays = arrays_of(shapes)
    h, total = arrays["h0"], 0.0
    for x in arrays["x"]:
        h = np.tanh(h @ arrays["W"].T + x)
        total += (h**2).sum()
    assert float(gc.compile(L, target="interpret", precision="float64")(**arrays)) == pytest.approx(total, rel=1e-12)


def test_another_length_needs_no_other_kernel():
    L, _, _ = cumulative_sum()
    f = gc.compile(L)
    for length in (1, 2, 9, 0):
        x = np.arange(1.0, length + 1, dtype="float32")
        assert float(f(x=x)) == pytest.approx(float((np.cumsum(x) ** 2).sum()), rel=1e-6)


def test_no_other_length_batch_or_width_compiles_anything():
    x, Wx, Wh = gc.tensor("x", T, B, N), gc.tensor("Wx", N, 4 * H), gc.tensor("Wh", H, 4 * H)
    m, n = gc.index("m", 4 * H), gc.index("n", H)
    z, c, h, L = gc.tensors("z c h L")
    z[t, b, m] = gc.sum(x[t, b, k] * Wx[k, m], over=k) + gc.sum(gc.pad(h, 0, dims=[0])[t - 1, b, j] * Wh[j, m], over=j)
    c[t, b, n] = gc.sigmoid(z[t, b, n + H]) * gc.pad(c, 0, dims=[0])[t - 1, b, n] + gc.sigmoid(z[t, b, n]) * gc.tanh(z[t, b, n + 2 * H])
    h[t, b, n] = gc.sigmoid(z[t, b, n + 3 * H]) * gc.tanh(c[t, b, n])
    L[()] += h[t, b, n] ** 2
    outputs = [L, *gc.grad(L, [Wx, Wh])]
    f, oracle = gc.compile(outputs), gc.compile(outputs, target="interpret")

    def arrays(steps, batch, width, inputs=2):
        random = np.random.default_rng(0)
        shapes = {"x": (steps, batch, inputs), "Wx": (inputs, 4 * width), "Wh": (width, 4 * width)}
        return {name: random.standard_normal(shape).astype("float32") for name, shape in shapes.items()}

    f(**arrays(4, 2, 3))
    with install_recorder("numba:compile") as recorder:
        for sizes in [(1, 1, 1), (2, 3, 5), (7, 2, 3)]:
            for got, want in zip(f(**arrays(*sizes)), oracle(**arrays(*sizes)), strict=True):
                # a few thousand float32 operations in another order
                np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    assert not recorder.buffer


def test_backward_runs_backwards_and_weights_leave_the_loop():
    L, (W, *_), _ = rnn()
    text = str(gc.loops(gc.grad(L, W)))
    assert "h.grad[t,b,j] += h.sum.grad[t+1,b,i]*W[i,j]" in text
    plans = [k.plan for k in gc.compile([L, gc.grad(L, W)]).kernels]
    last = max(k for k, plan in enumerate(plans) if "in every step" in plan.strategy)
    after = [plan for plan in plans[last + 1 :] if plan.kind == "contraction"]
    assert [plan.loop.split()[0] for plan in after] and all("W.grad[i,j] +=" in plan.loop for plan in after)


def test_products_with_inputs_are_computed_before_the_loop():
    x, W, V, c = gc.tensor("x", T, B, H), gc.tensor("W", H, H), gc.tensor("V", H, H), gc.tensor("c", H)
    h = gc.tensor("h")
    h[t, b, i] = gc.tanh(gc.sum(gc.pad(h, 0, dims=[0])[t - 1, b, j] * W[j, i], over=j) + gc.sum(x[t, b, k] * V[k, i], over=k) + c[i])
    plans = [kernel.plan for kernel in gc.compile(h).kernels]
    assert [plan.kind for plan in plans] == ["contraction", "map", "contraction", "scan"]
    assert "x[t,b,k]*V[k,i]" in plans[0].loop and "in every step" not in plans[0].strategy
    assert all("in every step of t" in plan.strategy for plan in plans[-2:])


def test_tensors_of_one_recurrence_have_one_precision():
    """Found by random programs: the type of g depended on which of the two was asked for first."""
    t, i = gc.index("t"), gc.index("i")
    x, start = gc.tensor("x", 4, 2), gc.tensor("start", 2, dtype="float64")
    for first in ("h", "g"):
        g, h = gc.tensors("g h")
        g[t, i] = x[t, i] + h[t - 1, i]
        h[t, i] = 0.5 * g[t, i]
        h[-1, i] = start[i]
        (asked,) = [s for s in (g, h) if s.name == first]
        assert asked.dtype == "float64"
        assert (g.dtype, h.dtype) == ("float64", "float64")
        loss = gc.tensor("loss")
        loss[()] += g[t, i] ** 2
        assert gc.check_grad(loss, start, x=np.ones((4, 2), "f"), start=np.array([0.5, -1.0])) < 1e-12
        result = gc.compile(g, target="interpret")(x=np.ones((4, 2), "f"), start=np.array([1 / 3, 0]))
        assert result.dtype == "float64"
        assert result[0, 0] == 1 + 1 / 3


def test_extents_are_known_from_several_statements():
    """c is known from the first statement of V, n from the second: a multiclass perceptron, as an example wrote it."""
    n, c, k = gc.indices("n c k")
    x, label, W = gc.tensor("x", N, 2), gc.tensor("label", N, dtype="int64"), gc.tensor("W", 3, 2)
    V, guess = gc.tensors("V guess")
    V[-1, c, k] = W[c, k]
    guess[n] = gc.argmax(gc.sum(V[n - 1, c, k] * x[n, k], over=k), over=c)
    V[n, c, k] = V[n - 1, c, k] + gc.where(c == label[n], x[n, k], 0) - gc.where(c == guess[n], x[n, k], 0)
    assert (str(V.shape), str(guess.shape)) == ("(N, 3, 2)", "(N,)")
    points, labels, weights = np.random.default_rng(0).normal(size=(6, 2)).astype("f"), np.array([2, 1, 0, 2, 1, 0]), np.zeros((3, 2), "f")
    expected = []
    for point, right in zip(points, labels, strict=True):
        wrong = int((weights @ point).argmax())
        weights = weights.copy()
        weights[right] += point
        weights[wrong] -= point
        expected.append(weights)
    np.testing.assert_allclose(gc.compile(V)(x=points, label=labels, W=np.zeros((3, 2), "f")), expected, atol=1e-6)


def test_a_range_that_waits_for_the_shape_does_not_hide_the_others() -> None:
    d, p, r = gc.indices("d p r")
    x, w, layer = gc.tensor("x", 5), gc.tensor("w", gc.dim("D"), 3), gc.tensor("layer")
    layer[-1, p] = x[p]
    layer[d, p] = gc.sum(gc.pad(layer, 0, dims=[1])[d - 1, p + r - 1] * w[d, r], over=r)  # p follows from the first statement, d from w
    assert [str(e) for e in layer.shape] == ["D", "5"]
    xs, ws = np.arange(1, 6, dtype="float32"), np.ones((2, 3), "float32")
    once = np.convolve(xs, [1, 1, 1], "same")
    np.testing.assert_allclose(gc.compile(layer, target="interpret")(x=xs, w=ws), [once, np.convolve(once, [1, 1, 1], "same")])


I, J = gc.index("i", -1, N), gc.index("j", -1, B)


def _three_slices(D):
    D[-1, b] = 1.0 * (b + 1)
    D[i, -1] = 1.0 * (i + 1)
    D[-1, -1] = 50


def _row_with_corner(D):
    D[-1, J] = 10.0 + J
    D[i, -1] = 20.0 + i


def _column_with_corner(D):
    D[-1, b] = 10.0 + b
    D[I, -1] = 20.0 + I


@pytest.mark.parametrize("slices", [_three_slices, _row_with_corner, _column_with_corner])
@pytest.mark.parametrize("target", ["cpu", "interpret"])
def test_corners(slices, target):
    """A diagonal read finds the corner, whichever slice gives it."""
    X, D = gc.tensor("X", N, B), gc.tensor("D")
    slices(D)
    D[i, b] = D[i - 1, b - 1] + X[i, b]
    x = np.random.default_rng(0).integers(0, 9, (3, 4)).astype("float32")
    row, column, corner = {_three_slices: (1, 1, 50), _row_with_corner: (10, 20, 9), _column_with_corner: (10, 20, 19)}[slices]
    whole = np.zeros((4, 5), "float32")
    whole[0, 1:], whole[1:, 0], whole[0, 0] = row + np.arange(4), column + np.arange(3), corner
    for p in range(3):
        for q in range(4):
            whole[p + 1, q + 1] = whole[p, q] + x[p, q]
    np.testing.assert_array_equal(gc.compile(D, target=target)(X=x), whole[1:, 1:])


def test_edit_distance():
    p, q, D = gc.tensor("p", N, dtype="int64"), gc.tensor("q", B, dtype="int64"), gc.tensor("D")
    D[-1, b] = b + 1.0
    D[i, -1] = i + 1.0
    D[-1, -1] = 0
    D[i, b] = gc.minimum(gc.minimum(D[i - 1, b] + 1, D[i, b - 1] + 1), D[i - 1, b - 1] + gc.where(p[i] != q[b], 1, 0))
    for target in ("cpu", "interpret"):
        assert gc.compile(D, target=target)(p=np.array([0, 1]), q=np.array([0, 1, 2])).tolist() == [[0, 1, 2], [1, 0, 1]]


def test_gradient_of_a_corner():
    a, c, X, D, L = gc.tensor("a", N), gc.tensor("c", ()), gc.tensor("X", N, B), *gc.tensors("D L")
    e = gc.tensor("e", B)
    D[-1, -1] = c[()]
    D[-1, b] = e[b]
    D[i, -1] = a[i]
    D[i, b] = D[i - 1, b - 1] + gc.tanh(D[i - 1, b]) * X[i, b] + 0.1 * D[i, b - 1] ** 2
    L[()] += D[i, b] ** 2
    random = np.random.default_rng(0)
    given = dict(a=random.normal(size=4), e=random.normal(size=5), c=np.array(0.7), X=random.normal(size=(4, 5)))
    assert gc.check_grad(L, [a, e, X, c], **given) < 1e-12
    single = {name: value.astype("float32") for name, value in given.items()}
    made = [gc.compile([D, *gc.grad(L, [a, e, X, c])], target=target)(single) for target in ("cpu", "interpret")]
    for fast, slow in zip(*made, strict=True):
        np.testing.assert_allclose(fast, slow, rtol=2e-5, atol=1e-5)


def test_corners_in_three_dimensions():
    Z, D = gc.tensor("Z", 2, 3, 2), gc.tensor("D", 2, 3, 2)
    r, s = gc.index("r", -1, 3), gc.index("s", -1, 2)
    D[-1, r, s] = 1.0 + r + 10 * s
    D[i, -1, s] = 100.0 + s + i
    D[i, j, -1] = 1000.0 + j + i
    D[i, j, k] = D[i - 1, j - 1, k - 1] + D[i - 1, j, k] * 0.5 + Z[i, j, k]
    z = np.random.default_rng(0).integers(0, 9, (2, 3, 2)).astype("float32")
    np.testing.assert_array_equal(gc.compile(D)(Z=z), gc.compile(D, target="interpret")(Z=z))


def test_a_slice_in_pieces():
    """Each of two assignments to one initial slice counts."""
    h, x, later = gc.tensor("h"), gc.tensor("x", T, N), gc.index("i", 1, N)
    h[-1, 0] = 7
    h[-1, later] = 3.0
    h[t, i] = 2 * h[t - 1, i] + x[t, i]
    for target in ("cpu", "interpret"):
        assert gc.compile(h, target=target)(x=np.zeros((2, 3), "float32")).tolist() == [[14, 6, 6], [28, 12, 12]]


@pytest.mark.parametrize("target", ["cpu", "interpret"])
def test_a_recurrence_of_subscripts(target):
    """A walk that follows its own values, and what is added where it comes by."""
    z, s, p, y = gc.tensor("z", N, dtype="int64"), gc.tensor("s", (), dtype="int64"), gc.tensor("p"), gc.tensor("y", N)
    step = gc.index("i", N)
    p[-1], p[-2] = s[()], 2
    p[step] = z[p[step - 2]]
    y[p[step - 2]] += 1.0 * (step + 1)
    got = gc.compile([p, y], target=target)(z=np.array([2, 0, 1]), s=0)
    assert [value.tolist() for value in got] == [[1, 2, 0], [2, 3, 1]]


def weights_seen_from_a_state():
    """The derivative with respect to W adds to a diagonal, and another loop to all around it."""
    W, x, h0, h = gc.tensor("W", 3, 3), gc.tensor("x", 5, 3), gc.tensor("h0", 3), gc.tensor("h")
    h[-1, i] = h0[i]
    h[t, i] = gc.tanh(gc.sum(W[i, j] * h[t - 1, j], over=j) + x[t, i])
    return gc.jacobian(h, W), {"W": (3, 3), "x": (5, 3), "h0": (3,)}


def weights_seen_twice():
    W, x, h0, h, L = gc.tensor("W", 3, 3), gc.tensor("x", 5, 3), gc.tensor("h0", 3), *gc.tensors("h L")
    h[-1, i] = h0[i]
    h[t, i] = gc.tanh(gc.sum(W[i, j] * h[t - 1, j], over=j) + x[t, i])
    L[()] += h[t, i] ** 2
    return gc.hessian(L, W), {"W": (3, 3), "x": (5, 3), "h0": (3,)}


def chain_of_labels():
    """A conditional random field; x is seen from every earlier label."""
    A, x, alpha = gc.tensor("A", 3, 3), gc.tensor("x", 6, 3), gc.tensor("alpha")
    alpha[-1, i] = 0
    alpha[t, i] = gc.logsumexp(alpha[t - 1, j] + A[j, i], over=j) + x[t, i]
    return gc.jacobian(alpha, x), {"A": (3, 3), "x": (6, 3)}


def chain_of_labels_twice():
    A, x, alpha, L = gc.tensor("A", 3, 3), gc.tensor("x", 6, 3), *gc.tensors("alpha L")
    alpha[-1, i] = 0
    alpha[t, i] = gc.logsumexp(alpha[t - 1, j] + A[j, i], over=j) + x[t, i]
    L[()] = gc.logsumexp(alpha[5, i], over=i)
    return gc.hessian(L, x), {"A": (3, 3), "x": (6, 3)}


def diagonal_in_columns():
    """Each thread has columns: it sets to 0 its own part of what lies beside the diagonal."""
    x, D, E = gc.tensor("x", 6, 40), gc.tensor("D", 6, 40, 40), gc.tensor("E", 6, 40, 40)
    m, n = gc.index("m", 40), gc.index("n", 40)
    D[t, m, m] += gc.where(t > 0, E[t - 1, m, m], 0) * 0.5 + x[t, m]
    D[t, n, m] += 0.01 * gc.where(t > 0, gc.sum(E[t - 1, j, m], over=j), 0)
    E[t, n, m] = D[t, n, m] * 2
    return E, {"x": (6, 40)}


def diagonal_in_rows():
    x, D, E = gc.tensor("x", 6, 4, 3), gc.tensor("D", 6, 4, 4, 3), gc.tensor("E", 6, 4, 4, 3)
    D[t, i, i, k] += gc.where(t > 0, E[t - 1, i, i, k], 0) * 0.5 + x[t, i, k]
    D[t, j, i, k] += gc.where(t > 0, E[t - 1, j, i, k], 0)
    E[t, i, j, k] = D[t, i, j, k] * 0.5
    return E, {"x": (6, 4, 3)}


DIAGONALS = [
    weights_seen_from_a_state, weights_seen_twice, chain_of_labels, chain_of_labels_twice, diagonal_in_columns, diagonal_in_rows,
]  # fmt: skip


def leave_nan():
    """Memory that is given back full of NaN, so that what is read before it is written shows."""
    for size in (8, 64, 256, 1024, 4096, 16384, 65536):
        arrays = [np.full(size, np.nan, "float32") for _ in range(8)]
        del arrays


@pytest.mark.parametrize("threads", [None, 1, 3])
@pytest.mark.parametrize("program", DIAGONALS, ids=lambda p: p.__name__)
def test_what_lies_beside_a_diagonal_is_set_to_0(program, threads):
    output, shapes = program()
    arrays = {name: array.astype("float32") for name, array in arrays_of(shapes).items()}
    want, f = gc.compile(output, target="interpret")(arrays), gc.compile(output, threads=threads)
    for _ in range(3):
        leave_nan()
        np.testing.assert_allclose(f(arrays), want, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("program", DIAGONALS, ids=lambda p: p.__name__)
def test_what_lies_beside_a_diagonal_is_set_to_0_on_a_gpu(program):
    output, shapes = program()
    arrays = {name: array.astype("float32") for name, array in arrays_of(shapes).items()}
    np.testing.assert_allclose(compiled(output)(arrays), gc.compile(output, target="interpret")(arrays), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("target", ["cpu", "interpret"])
def test_a_corner_of_which_a_slice_gives_a_part(target):
    """What no statement gives is 0, in initial slices as elsewhere."""
    D, A, q = gc.tensor("D", N, N, N), gc.tensor("A", N, N, N), gc.index("q", -1, N)
    D[-1, q, q] = 1.0
    D[i, -1, k] = 2.0
    D[i, j, -1] = 3.0
    D[i, -1, -1] = 4.0
    D[i, j, k] = A[i, j, k] + D[i - 1, j - 1, k - 1]
    got = gc.compile(D, target=target)(A=np.zeros((2, 2, 2), "float32"))
    assert got.tolist() == [[[1, 0], [0, 1]], [[4, 2], [3, 1]]]


@pytest.mark.parametrize("target", ["cpu", "interpret"])
def test_a_corner_that_one_of_two_conditions_keeps_away(target):
    A, D = gc.tensor("A", N, B), gc.tensor("D", N, B)
    D[-1, j] = 1.0 * j
    D[i, -1] = 2.0 * i
    D[i, j] = A[i, j] + gc.where((i > 0) | (j > 0), D[i - 1, j - 1], 7.0)
    assert gc.compile(D, target=target)(A=np.zeros((2, 3), "float32")).tolist() == [[7, 0, 1], [0, 7, 0]]


VIEWS = {
    "pad": (lambda X: gc.pad(X, 0), "constant"), "clamp": (gc.clamp, "edge"), "wrap": (gc.wrap, "wrap"), "reflect": (gc.reflect, "reflect"),
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("target", ["cpu", "interpret"])
def test_a_view_of_all_dimensions_reads_the_initial_slice(view, target):
    u0, q = gc.tensor("u0", H), gc.index("q", 3)
    u, L = gc.tensors("u L")
    around, mode = VIEWS[view]
    u[-1, i] = u0[i]
    u[q, i] = u[q - 1, i] + around(u)[q - 1, i - 1]
    L[()] += u[q, i] ** 2

    def by_hand(row):
        rows = [row]
        for _ in range(3):
            rows.append(rows[-1] + np.pad(rows[-1], 1, mode=mode)[:-2])
        return np.array(rows[1:])

    start = np.array([1.0, 2.0, -1.0, 0.5])
    value, slope = gc.compile([u, gc.grad(L, u0)], target=target, precision="float64")(u0=start)
    rows = [by_hand(np.eye(4)[k]) for k in range(4)]
    np.testing.assert_allclose(value, by_hand(start))
    np.testing.assert_allclose(slope, [2 * np.sum(by_hand(start) * row) for row in rows])


@pytest.mark.parametrize("view", ["pad", "clamp"])
@pytest.mark.parametrize("target", ["cpu", "interpret"])
def test_a_view_beyond_the_initial_slice(view, target):
    x, h0, h, L = gc.tensor("x", N), gc.tensor("h0", ()), *gc.tensors("h L")
    h[-1] = h0[()]
    h[t] = x[t] + 10 * VIEWS[view][0](h)[t - 2]
    L[()] += h[t]
    value, slope = gc.compile([h, gc.grad(L, h0)], target=target)(x=np.ones(4, "float32"), h0=np.float32(5))
    known = [1, 51, 11, 511] if view == "pad" else [51, 51, 511, 511]
    np.testing.assert_array_equal(value, known)
    assert slope == (110 if view == "pad" else 220)


@pytest.mark.parametrize("target", ["cpu", "interpret"])
def test_a_view_does_nothing_in_dimensions_that_it_does_not_leave(target):
    f0, q, f, g = gc.tensor("f0", H), gc.index("q", 3), *gc.tensors("f g")
    f[-1, i] = f0[i]
    g[q, i] = 2 * f[q - 1, i]
    f[q, i] = gc.clamp(g)[q, i + 1]
    value = gc.compile(f, target=target)(f0=np.arange(4, dtype="float32"))
    np.testing.assert_array_equal(value, [[2, 4, 6, 6], [8, 12, 12, 12], [24, 24, 24, 24]])


@pytest.mark.parametrize("shape", [(), (N, H)], ids=["inferred", "declared"])
@pytest.mark.parametrize("view", [lambda X: X, lambda X: gc.pad(X, 0)], ids=["plain", "padded"])
@pytest.mark.parametrize("target", ["cpu", "interpret"])
def test_a_sum_over_the_own_row(shape, view, target):
    x, y0, y = gc.tensor("x", N, H), gc.tensor("y0", H), gc.tensor("y", *shape)
    y[-1, i] = y0[i]
    y[t, i] = x[t, i] * y[t - 1, i] / gc.sum(view(y)[t - 1, j], over=j)
    factors, row = np.random.default_rng(1).uniform(1, 2, (4, 3)), np.array([1.0, 2.0, 3.0])
    value = gc.compile(y, target=target, precision="float64")(x=factors, y0=row)
    for k in range(4):
        row = factors[k] * row / row.sum()
        np.testing.assert_allclose(value[k], row)


@pytest.mark.parametrize("target", ["cpu", "interpret"])
def test_a_sum_over_the_own_row_in_a_batch(target):
    """The initial slice says nothing of the batch; the other statement says all but the range of the sum."""
    x, y0, y = gc.tensor("x", N, B, H), gc.tensor("y0", H), gc.tensor("y")
    y[-1, b, i] = y0[i]
    y[t, b, i] = gc.exp(y[t - 1, b, i]) / gc.sum(gc.exp(y[t - 1, b, j]), over=j) * x[t, b, i]
    factors, row = np.random.default_rng(1).uniform(1, 2, (4, 2, 3)), np.array([[1.0, 2.0, 3.0]])
    value = gc.compile(y, target=target, precision="float64")(x=factors, y0=row[0])
    for k in range(4):
        row = factors[k] * np.exp(row) / np.exp(row).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(value[k], row)


@pytest.mark.parametrize("target", ["interpret", "cpu"])
def test_a_step_that_reads_the_one_before_where_its_integers_point(target):
    """Its gradient writes one step back where they point, in descending order; checked against finite differences."""
    N, M = gc.dims("N M")
    t, j = gc.index("t", 0, N), gc.index("j", M)
    place, w, x = gc.tensor("I", N, M, dtype="int64"), gc.tensor("w", M, dtype="float64"), gc.tensor("x", N, M, dtype="float64")
    h, total = gc.tensor("h", N, M), gc.tensor("L")
    h[-1, j] = w[j]
    h[t, j] = gc.tanh(h[t - 1, place[t, j]] * 0.5 + x[t, j])
    total[()] += h[t, j] ** 2
    random = np.random.default_rng(0)
    arrays = {"I": random.integers(0, 5, (4, 5)), "w": random.normal(size=5), "x": random.normal(size=(4, 5))}
    value, *slopes = gc.compile([total, *gc.grad(total, [w, x])], target=target)(**arrays)
    f, step = gc.compile(total, target="interpret"), 1e-6
    for name, slope in zip(("w", "x"), slopes, strict=True):
        for k in np.ndindex(arrays[name].shape):
            moved = arrays[name].copy()
            moved[k] += step
            assert abs((f(**{**arrays, name: moved}) - value) / step - slope[k]) < 1e-5
