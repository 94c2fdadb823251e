"""Recurrences that cannot be checkpointed as asked (`gc.checkpoint`)."""

from __future__ import annotations

import graphc as gc

T, N = gc.dims("T N")
t, i, k = gc.indices("t i k")


def running(name="h", given="x"):
    x, h, L = gc.tensor(given, T, N), gc.tensor(name), gc.tensor("L")
    h[t, i] = gc.tanh(gc.pad(h, 0, dims=[0])[t - 1, i] + x[t, i])
    L[()] += h[t, i] ** 2
    return x, h, L


def test_checkpoint_of_an_input(rejects):
    x, _, _ = running()
    with rejects(gc.NotationError):
        gc.checkpoint(x, every=4)


def test_checkpoint_of_an_element(rejects):
    _, h, _ = running()
    with rejects(gc.NotationError):
        gc.checkpoint(h[t, i], every=4)


def test_checkpoint_every_0(rejects):
    _, h, _ = running()
    with rejects(gc.NotationError):
        gc.checkpoint(h, every=0)


def test_checkpoint_every_symbolic_size(rejects):
    _, h, _ = running()
    with rejects(gc.NotationError):
        gc.checkpoint(h, every=T)


def test_checkpoint_of_no_recurrence(rejects):
    x, y, L = gc.tensor("x", T), *gc.tensors("y L")
    y[t] = gc.sin(x[t])
    L[()] += y[t] ** 2
    gc.checkpoint(y, every=4)
    with rejects(gc.CompileError):
        gc.compile(L, target="interpret")


def test_checkpoint_every_4_and_8(rejects):
    (_, h, L), (_, g, K) = running(), running("g", "z")
    total = gc.tensor("total")
    total[()] = L[()] * K[()]
    gc.checkpoint(h, every=4)
    gc.checkpoint(g, every=8)
    with rejects(gc.CompileError):
        gc.compile(total)


def test_checkpoint_of_an_output(rejects):
    x, h, L = running()
    gc.checkpoint(h, every=4)
    with rejects(gc.CompileError):
        gc.compile([h, gc.grad(L, x)])


def test_checkpoint_of_what_is_read_as_a_whole(rejects):
    x, h, _ = running()
    L, back = gc.tensors("L back")
    back[t, i] = h[T - 1 - t, i]
    L[()] += back[t, i] * h[t, i]
    gc.checkpoint(h, every=4)
    with rejects(gc.CompileError):
        gc.compile([L, gc.grad(L, x)])


def test_checkpoint_of_a_wide_window(rejects):
    x, a, y, L = gc.tensor("x", T), gc.tensor("a", 40), *gc.tensors("y L")
    y[t] = x[t] + gc.sum(a[k] * gc.pad(y, 0)[t - 1 - k], over=k)
    L[()] += y[t] ** 2
    gc.checkpoint(y, every=4)
    with rejects(gc.CompileError):
        gc.compile([L, gc.grad(L, x)])


def test_checkpoint_of_a_window_of_any_length(rejects):
    x, a, y, L = gc.tensor("x", T), gc.tensor("a", N), *gc.tensors("y L")
    y[t] = x[t] + gc.sum(a[k] * gc.pad(y, 0)[t - 1 - k], over=k)
    L[()] += y[t] ** 2
    gc.checkpoint(y, every=4)
    with rejects(gc.CompileError):
        gc.compile([L, gc.grad(L, x)])


def test_checkpoint_of_two_directions(rejects):
    x, h, _ = running()
    g, L = gc.tensors("g L")
    g[t, i] = gc.sin(gc.pad(g, 0, dims=[0])[t + 1, i] + x[t, i])
    L[()] += h[t, i] * g[t, i]
    gc.checkpoint(h, every=4)
    gc.checkpoint(g, every=4)
    with rejects(gc.CompileError):
        gc.compile([L, gc.grad(L, x)])


def test_checkpoint_of_what_a_second_derivative_needs(rejects):
    x, h, L = running()
    G = gc.tensor("G")
    gc.checkpoint(h, every=2)
    G[()] += gc.grad(L, x)[t, i] ** 2
    with rejects(gc.CompileError):
        gc.compile(gc.grad(G, x))
