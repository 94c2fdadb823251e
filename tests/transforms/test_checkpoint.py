"""Checkpointed recurrences: the same values and gradients, in less memory."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gc
from graphc.analysis.segments import segments
from graphc.compile import optimised
from graphc.frontend.collect import collect
from graphc.passes.by_rows import by_rows
from graphc.passes.prune import prune
from tests.oracles import Refused, Unsuitable, check_checkpoint, prepare
from tests.programs import generate
from tests.unjitted import run

T, B, H, N = gc.dims("T B H N")
t, b, i, j, k = gc.indices("t b i j k")


def rnn():
    x, W, h0 = gc.tensor("x", T, B, H), gc.tensor("W", H, H), gc.tensor("h0", B, H)
    h, y, L = gc.tensors("h y L")
    h[t, b, i] = gc.tanh(gc.sum(W[i, j] * h[t - 1, b, j], over=j) + x[t, b, i])
    h[-1, b, i] = h0[b, i]
    y[b, i] = gc.sin(h[T - 1, b, i])
    L[()] += h[t, b, i] ** 2
    L[()] += y[b, i] * h0[b, i]
    return h, L, [W, h0, x], lambda steps: {"x": (steps, 2, 3), "W": (3, 3), "h0": (2, 3)}


def lstm():
    x, Wf, Wg = gc.tensor("x", T, H), gc.tensor("Wf", H, H), gc.tensor("Wg", H, H)
    h, c, f, g, L = gc.tensors("h c f g L")
    f[t, i] = gc.sigmoid(gc.sum(Wf[i, j] * gc.pad(h, 0, dims=[0])[t - 1, j], over=j) + x[t, i])
    g[t, i] = gc.tanh(gc.sum(Wg[i, j] * gc.pad(h, 0, dims=[0])[t - 1, j], over=j) + x[t, i])
    c[t, i] = f[t, i] * gc.pad(c, 0, dims=[0])[t - 1, i] + (1 - f[t, i]) * g[t, i]
    h[t, i] = gc.tanh(c[t, i]) * f[t, i]
    L[()] += h[t, i] * c[t, i]
    return h, L, [Wf, Wg, x], lambda steps: {"x": (steps, 3), "Wf": (3, 3), "Wg": (3, 3)}


def descending():
    x, p = gc.tensor("x", T), gc.tensor("p", ())
    r, L = gc.tensors("r L")
    r[t] = gc.sin(x[t] + p[()] * gc.pad(r, 0)[t + 1])
    L[()] += r[t] ** 2
    return r, L, [x, p], lambda steps: {"x": (steps,), "p": ()}


def wave():
    """Two steps back in time, neighbours in space."""
    u0, f, c = gc.tensor("u0", N), gc.tensor("f", T, N), gc.tensor("c", N)
    u, L = gc.tensors("u L")
    here, near = gc.pad(u, 0, dims=[0]), gc.pad(u, 0)
    bend = near[t - 1, i - 1] - 2 * here[t - 1, i] + near[t - 1, i + 1]
    u[t, i] = gc.where(t == 0, u0[i], 2 * here[t - 1, i] - here[t - 2, i] + gc.sin(c[i]) * bend) + f[t, i]
    L[()] += u[t, i] ** 2
    return u, L, [u0, c], lambda steps: {"u0": (5,), "c": (5,), "f": (steps, 5)}


def window():
    """A sum over a window, whose adjoint looks ahead."""
    x, a = gc.tensor("x", T, B), gc.tensor("a", 3)
    y, L = gc.tensors("y L")
    y[t, b] = x[t, b] + gc.sum(0.3 * a[k] * gc.pad(y, 0, dims=[0])[t - 1 - k, b], over=k)
    L[()] += gc.sin(y[t, b])
    return y, L, [x, a], lambda steps: {"x": (steps, 2), "a": (3,)}


def soft_dtw():
    """Two dimensions: rows one after the other, and the cells of a row one after the other."""
    D, R, L = gc.tensor("D", T, N), *gc.tensors("R L")
    far = gc.pad(R, 50)
    soft = -gc.log(gc.exp(-far[i - 1, j]) + gc.exp(-far[i, j - 1]) + gc.exp(-far[i - 1, j - 1]))
    R[i, j] = D[i, j] + gc.where((i == 0) & (j == 0), 0, soft)
    L[()] += R[T - 1, N - 1]
    return R, L, [D], lambda steps: {"D": (steps, 4)}


def arrays_of(shapes):
    random = np.random.default_rng(3)
    return {name: random.uniform(0.2, 1.0, shape).astype("float32") for name, shape in shapes.items()}


RECURRENT = (6, 67, 87, 126, 182, 189, 248, 255, 262, 903)
"""Seeds of random programs with recurrences that fit."""

CASES = [
    (rnn, 2, (1, 2, 5, 8)), (rnn, 1, (3,)), (rnn, 50, (3,)), (lstm, 3, (0, 1, 7)), (descending, 2, (0, 1, 4, 7)),
    (wave, 1, (0, 1, 2, 3, 8)), (window, 2, (0, 1, 2, 3, 4, 9)), (window, 5, (4, 5, 6, 13)), (soft_dtw, 2, (1, 2, 5)),
]  # fmt: skip


@pytest.mark.parametrize(("program", "every", "lengths"), CASES, ids=lambda p: getattr(p, "__name__", ""))
def test_nothing_else_changes(program, every, lengths):
    """A segment is never shorter than the window of two of the wave."""
    h, L, wrt, shapes = program()
    gradients = gc.grad(L, wrt)
    oracle = gc.compile([L, *gradients], target="interpret")
    assert gc.checkpoint(h, every=every) is h
    f = gc.compile([L, *gradients])
    for steps in lengths:
        arrays = arrays_of(shapes(steps))
        for got, want in zip(run(f, arrays), oracle(**arrays), strict=True):
            # a few hundred float32 operations in another order
            np.testing.assert_allclose(got, want, rtol=3e-5, atol=1e-6)


def test_compiled():
    """One compiled program for every number of steps."""
    h, L, wrt, shapes = rnn()
    outputs = [L, *gc.grad(L, wrt)]
    gc.checkpoint(h, every=2)
    f, oracle = gc.compile(outputs), gc.compile(outputs, target="interpret")
    for steps in (1, 2, 5, 8):
        arrays = arrays_of(shapes(steps))
        for got, want in zip(f(**arrays), oracle(**arrays), strict=True):
            np.testing.assert_allclose(got, want, rtol=3e-5, atol=1e-6)


def plan_of(h, outputs, every=16):
    gc.checkpoint(h, every=every)
    collected = collect(outputs, "compile")
    return segments(by_rows(prune(optimised(collected.graph))))


def test_what_is_kept():
    h, L, wrt, _ = lstm()
    plan = plan_of(h, [L, *gc.grad(L, wrt)])
    assert plan.kept == {"h": 1, "c": 1}
    assert plan.rows["h"] == plan.rows["c"] == 17 and plan.rows["f.sum"] == 1 and plan.rows["f.sum.grad"] == 2
    assert plan.whole == {"L.rows", "x.grad"}
    assert plan.late == {"Wf.grad", "Wg.grad"}


def test_a_window_of_two_keeps_two_rows():
    u, L, wrt, _ = wave()
    plan = plan_of(u, [L, *gc.grad(L, wrt)], every=1)
    assert plan.kept == {"u": 2} and plan.every == 2


def test_a_forward_program_keeps_what_the_next_step_needs():
    h, L, _, _ = lstm()
    plan = plan_of(h, [L])
    assert not plan.kept and plan.rows["h"] == plan.rows["c"] == 2


def test_layers_share_a_sweep():
    """Everything between two recurrences, and behind them, exists for one step only."""
    x, h0, c0 = gc.tensor("x", T, B, H), gc.tensor("h0", B, H), gc.tensor("c0", B, H)
    weights = [(gc.tensor(f"w{n}", 4 * H, H), gc.tensor(f"v{n}", 4 * H, H)) for n in (1, 2)]
    first, _ = gc.nn.lstm(x, h0, c0, *weights[0], name="first")
    second, (last, _) = gc.nn.lstm(first, h0, c0, *weights[1], name="second")
    L = gc.tensor("L")
    L[()] += gc.logsumexp(second[t, b, i], over=i)
    L[()] += last[b, j]
    plan = plan_of(first, [L, *gc.grad(L, [*weights[0], *weights[1]])])
    assert set(plan.kept) == {"first", "first.memory", "second", "second.memory"}
    assert plan.whole == {"L.rows"}
    assert plan.rows["second.input"] == 1 and plan.rows["second.input.grad"] == 1


@pytest.mark.parametrize("seed", RECURRENT)
def test_random_recurrences(seed):
    """Generated kernels as plain Python, with and without: nothing has to be compiled."""
    program = generate(seed)
    try:
        case = prepare(program)
    except (Refused, Unsuitable):
        return
    check_checkpoint(case)


def test_memory_limit_sees_what_is_needed():
    x, c, h, L = gc.tensor("x", T, N), gc.tensor("c", N), *gc.tensors("h L")
    h[t, i] = gc.sin(c[i] * gc.pad(h, 0, dims=[0])[t - 1, i] + x[t, i])
    L[()] += h[t, i] ** 2
    outputs, arrays = [L, gc.grad(L, c)], {"x": np.ones((200, 50), "float32"), "c": np.ones(50, "float32")}
    with pytest.raises(gc.ArgumentError, match="memory"):
        gc.compile(outputs, memory_limit="10 kB")(**arrays)
    want = gc.compile(outputs)(**arrays)
    gc.checkpoint(h, every=14)
    f = gc.compile(outputs, memory_limit="10 kB")
    for got, expected in zip(f(**arrays), want, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4)
    made = {m.name: m for m in f.memory}
    assert str(made["h"].shape) == "(15, N)" and str(made["h"].of) == "(T, N)"
    assert str(made["h.kept"].bytes) == "4*N*FloorDiv(T + 13, 14)" and "15×N of T×N" in repr(f.memory)


def test_the_search_for_a_nan_keeps_everything():
    h, L, wrt, shapes = descending()
    gc.checkpoint(h, every=2)
    arrays = arrays_of(shapes(5))
    arrays["x"][3] = np.inf
    found = gc.compile([L, *gc.grad(L, wrt)], target="interpret").find_nan(**arrays)
    assert found is not None and "r[" in str(found)


def test_a_sum_beside_which_another_one_has_to_be_complete():
    """It would be added before the other one is; apart from it, it is right."""
    t, i = gc.indices("t i")
    x, p, h = gc.tensor("x", gc.dim("T"), gc.dim("H")), gc.tensor("p", gc.dim("H")), gc.tensor("h")
    first, second, both = gc.tensors("first second both")
    h[t, i] = gc.tanh(p[i] * gc.pad(h, 0, dims=[0])[t - 1, i] + x[t, i])
    gc.checkpoint(h, every=3)
    first[i] += h[t, i]
    second[i] += h[t, i] * x[t, i]
    both[i] = second[i] + gc.sum(first[i] * x[t, i], over=t)
    random = np.random.default_rng(0)
    arrays = {"x": random.random((7, 3)).astype("float32"), "p": random.random(3).astype("float32")}
    np.testing.assert_allclose(gc.compile(both)(arrays), gc.compile(both, target="interpret")(arrays), rtol=1e-5)
    together = gc.tensor("together")
    together[i] += h[t, i] * x[t, i]
    together[i] += first[i] * x[t, i]
    with pytest.raises(gc.CompileError, match="add what depends on its sums to another tensor"):
        gc.compile(together)


def test_a_gradient_that_needs_a_third_sweep():
    """Found by random programs: the adjoint of the sum is complete behind the sweep that would read it."""
    x, h, S, L = gc.tensor("x", T, H), *gc.tensors("h S L")
    h[t, i] = gc.sin(gc.pad(h, 0, dims=[0])[t - 1, i]) + x[t, i]
    S[i] += h[t, i]
    L[()] += h[t, i] * gc.sin(S[i])
    gc.checkpoint(h, every=2)
    arrays = {"x": np.random.default_rng(0).random((5, 3)).astype("float32")}
    np.testing.assert_allclose(run(gc.compile(L), arrays)[0], gc.compile(L, target="interpret")(arrays), rtol=1e-5)
    with pytest.raises(gc.CompileError, match="h is checkpointed, but a derivative needs all its steps at a time"):
        gc.compile(gc.grad(L, x))


def test_a_segment_whose_last_step_is_read_by_no_gradient():
    """Found by random programs: the last step of a segment took the place of the one before the segment."""
    x, W, h, L = gc.tensor("x", T, 4), gc.tensor("W", 4, 4), *gc.tensors("h L")
    h[t, i] = 0.7 * gc.tanh(gc.sum(W[i, j] * gc.where(t > 0, h[t - 1, j], 1), over=j) + x[t, i])
    L[()] += h[t, i]
    gradient = gc.grad(L, W)
    gc.checkpoint(h, every=2)
    f, oracle = gc.compile(gradient), gc.compile(gradient, target="interpret")
    for steps in (1, 3, 4, 5, 9):
        arrays = arrays_of({"x": (steps, 4), "W": (4, 4)})
        np.testing.assert_allclose(run(f, arrays)[0], oracle(**arrays), rtol=3e-5)


def test_an_index_with_other_values_than_the_steps_is_not_theirs():
    """Found by random programs: the parity of a step went along the steps, of which there was one."""
    x, w, h, L = gc.tensor("x", 1, N), gc.tensor("w", 3, 3), *gc.tensors("h L")
    tap = gc.index("tap", 3)
    h[t, i] = gc.pad(h, 0.5)[t - 1, 1] + x[t, i] + gc.sum(w[tap, (t + tap) // 2], over=tap)
    L[()] += h[t, i] ** 2
    gradient = gc.grad(L, w)
    want = gc.compile(gradient, target="interpret")
    gc.checkpoint(h, every=2)
    arrays = arrays_of({"x": (1, 4), "w": (3, 3)})
    np.testing.assert_allclose(run(gc.compile(gradient), arrays)[0], want(**arrays), rtol=3e-5)


@pytest.mark.parametrize("name", ["i0", "i1", "i2"])
def test_the_time_may_have_any_name(name):
    """Rows were kept by loops whose index could have the name of the step."""
    n = gc.dim("N")
    x, h, loss, step, i, j = gc.tensor("x", n, 3, 2), gc.tensor("h"), gc.tensor("loss"), gc.index(name), *gc.indices("a b")
    h[step, i, j] = gc.tanh(gc.pad(h, 0, dims=[0])[step - 1, i, j] + x[step, i, j])
    loss[()] += h[step, i, j] ** 2
    given = {"x": np.random.default_rng(0).normal(size=(7, 3, 2)).astype("float32")}
    expected = gc.compile([loss, gc.grad(loss, x)], target="interpret")(given)
    gc.checkpoint(h, every=3)
    for value, slow in zip(gc.compile([loss, gc.grad(loss, x)])(given), expected, strict=True):
        np.testing.assert_allclose(value, slow, rtol=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("every", [1, 2, 3])
@pytest.mark.parametrize("first", [True, False])
def test_what_is_read_of_the_next_step_only(first, every, steps):
    """Nothing else needs x[t]: the sweep back has to keep it for a step."""
    x, w, y, L = gc.tensor("x", *((T, H) if first else (H, T)), dtype="float64"), gc.tensor("w", H, H, dtype="float64"), *gc.tensors("y L")
    at, own = (lambda tensor, step, place: tensor[step, place] if first else tensor[place, step]), gc.max if first else gc.sum
    y[(-1, i) if first else (i, -1)] = 0.5
    y[(t, i) if first else (i, t)] = gc.tanh(own(at(y, t - 1, j) * w[i, j], over=j)) * at(x, t, i)
    L[()] += gc.sin(at(y, t, i))
    random = np.random.default_rng(steps)
    arrays = {"x": random.standard_normal((steps, 3) if first else (3, steps)), "w": random.standard_normal((3, 3))}
    gradient = gc.grad(L, x)
    want = gc.compile(gradient)(arrays)
    gc.checkpoint(y, every=every)
    np.testing.assert_allclose(gc.compile(gradient)(arrays), want, rtol=1e-12)
