"""Stencils in time run in fronts of tiles, and give what the steps one after the other give."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import graphc as gc
from graphc.schedule import fronts
from tests import oracles, unjitted

T, N, M = gc.dims("T N M")
t, i, j, k = gc.index("t", T), gc.index("i", N), gc.index("j", M), gc.index("k")

SIZES = [(0, 5), (5, 0), (1, 1), (2, 9), (7, 4), (9, 17), (23, 40)]


@pytest.fixture(autouse=True)
def _small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fronts, "SIZES", {1: (4, 3), 2: (3, 2), 3: (3, 2)})


def given(program: Any, steps: int, places: int, wide: int = 3) -> dict[str, Any]:
    random, sizes = np.random.default_rng(steps), {"T": steps, "N": places, "M": wide}
    shapes = {x.name: tuple(sizes[str(e)] if str(e) in sizes else int(e) for e in x.shape) for x in program.signature.inputs}
    return {n: random.normal(size=shape) for n, shape in shapes.items()}


def agree(outputs: list[Any], in_fronts: int, sizes: list[tuple[int, int]] = SIZES) -> None:
    """On 1, 2 and 3 threads as in the interpreter; `in_fronts` of the recurrences are computed in fronts."""
    for threads in (1, 2, 3):
        program = gc.compile(outputs, threads=threads, precision="float64")
        assert program.source.count("for front") == in_fronts
        for steps, places in sizes:
            arrays = given(program, steps, places)
            wanted = gc.compile(outputs, target="interpret", precision="float64")(**arrays)
            for got, want in zip(program(**arrays), wanted, strict=True):
                np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-12 * np.abs(want).max(initial=1))


def wave(pad: Any) -> tuple[gc.Tensor, gc.Tensor]:
    u, start = gc.tensor("u"), gc.tensor("start", N)
    f = gc.tensor("f", T, N)
    near = pad(u)
    u[t, i] = 2 * u[t - 1, i] - u[t - 2, i] + 0.2 * (near[t - 1, i - 1] - 2 * u[t - 1, i] + near[t - 1, i + 1]) + f[t, i]
    u[-1, i] = start[i]
    u[-2, i] = 0.9 * start[i]
    return u, start


@pytest.mark.parametrize("edge", ["pad", "clamp"])
def test_wave_equation_with_gradient(edge: str) -> None:
    u, start = wave((lambda u: gc.pad(u, 0, dims=[1])) if edge == "pad" else (lambda u: gc.clamp(u, dims=[1])))
    g, loss = gc.tensor("g", N), gc.tensor("loss")
    loss[()] += u[T - 1, i] * g[i]
    agree([loss, gc.grad(loss, start)], 2, [s for s in SIZES if s[0] > 0])
    agree([u], 1)


def test_rows_of_a_grid_with_gradients_of_start_and_coefficient() -> None:
    u, start, c, loss = gc.tensor("u"), gc.tensor("start", N, M), gc.tensor("c", N, M), gc.tensor("loss")
    near = gc.pad(u, 0, dims=[1, 2])
    around = near[t - 1, i - 1, j] + near[t - 1, i + 1, j] + near[t - 1, i, j - 1] + near[t - 1, i, j + 1]
    u[t, i, j] = u[t - 1, i, j] + 0.1 * c[i, j] * (around - 4 * u[t - 1, i, j]) * gc.cos(u[t - 1, i, j])
    u[-1, i, j] = start[i, j]
    h = gc.tensor("h", T)
    loss[()] += h[t] * u[t, i, j] ** 2
    agree([loss, *gc.grad(loss, [start, c])], 2, [(5, 3), (4, 17), (1, 2), (0, 3)])


def test_two_tensors_that_look_at_each_other() -> None:
    """Pressure and velocity: the velocity of a step is that of the pressure before it."""
    p, v = gc.tensors("p v")
    start, first = gc.tensor("start", N), gc.tensor("first", N)
    before, behind = gc.pad(p, 0, dims=[1]), gc.pad(v, 0, dims=[1])
    v[t, i] = v[t - 1, i] + 0.3 * (before[t - 1, i + 1] - p[t - 1, i])
    p[t, i] = p[t - 1, i] + 0.3 * (v[t - 1, i] - behind[t - 1, i - 1])
    p[-1, i] = start[i]
    v[-1, i] = first[i]
    f, loss = gc.tensor("f", T), gc.tensor("loss")
    loss[()] += f[t] * p[t, i] ** 2
    agree([loss, *gc.grad(loss, [start, first])], 2, [s for s in SIZES if s[0] > 0])


def leapfrog() -> list[Any]:
    """Of a staggered grid: a velocity lies between two pressures, and each is computed from the latest of the other."""
    p, v = gc.tensors("p v")
    start, f, loss = gc.tensor("start", N), gc.tensor("f", T), gc.tensor("loss")
    v[t, i] = gc.pad(v, 0, dims=[0])[t - 1, i] + 0.3 * (gc.pad(p, 0, dims=[1])[t - 1, i + 1] - p[t - 1, i])
    p[t, i] = p[t - 1, i] + 0.3 * (v[t, i] - gc.pad(v, 0, dims=[1])[t, i - 1])
    p[-1, i] = start[i]
    loss[()] += f[t] * p[t, i] ** 2
    return [loss, gc.grad(loss, start)]


def both_sides_of_the_same_step() -> list[Any]:
    a, b, f, loss = gc.tensor("a"), gc.tensor("b"), gc.tensor("f", T, N), gc.tensor("loss")
    before, now = gc.pad(b, 0, dims=[0, 1]), gc.pad(a, 0, dims=[1])
    a[t, i] = 0.4 * before[t - 1, i - 1] + 0.3 * before[t - 1, i + 1] + f[t, i]
    b[t, i] = 0.5 * now[t, i + 1] - 0.4 * now[t, i - 1]
    loss[()] += b[t, i] ** 2
    return [loss, gc.grad(loss, f)]


@pytest.mark.parametrize("made", [leapfrog, both_sides_of_the_same_step])
def test_a_tensor_that_looks_aside_at_another_one_of_the_same_step(made: Any) -> None:
    agree(made(), 2, [s for s in SIZES if s[0] > 0])


def backwards(text: str) -> str:
    """The tiles of each front in the other order: they must not need each other."""
    return re.sub(r"for (chunk_*) in (range\(.*\)):\n", r"for \1 in reversed(\2):\n", text)


@pytest.mark.parametrize("seed", range(12))
def test_random_pairs(seed: int) -> None:
    """Tensors that read each other near by, now and before; in fronts or not, they are what the interpreter computes."""
    random = np.random.default_rng(seed)
    a, b, f, g, loss = gc.tensor("a"), gc.tensor("b"), gc.tensor("f", T, N), gc.tensor("g", T, N), gc.tensor("loss")
    near = {x.name: gc.pad(x, 0, dims=[0, 1]) for x in (a, b)}

    def reads(names: str, now: str = "") -> Any:
        found = []
        for _ in range(random.integers(1, 4)):
            name, side = random.choice(list(names + now)), int(random.integers(-2, 3))
            age = int(random.integers(0 if name in now else 1, 3))
            found.append(round(random.uniform(-0.4, 0.4), 2) * near[str(name)][t - age, i + side])
        return sum(found)

    a[t, i] = reads("ab") + f[t, i]
    b[t, i] = reads("ab", "a") + g[t, i]
    loss[()] += a[t, i] ** 2
    loss[()] += b[T - 1, i]
    outputs = [loss, *gc.grad(loss, [f, g])]
    program = gc.compile(outputs, precision="float64")
    for steps, places in ((7, 4), (9, 17), (13, 9)):
        arrays = given(program, steps, places)
        wanted = gc.compile(outputs, target="interpret", precision="float64")(**arrays)
        for changed in str, backwards:
            for got, want in zip(unjitted.run(program, arrays, changed), wanted, strict=True):
                np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-11 * np.abs(want).max(initial=1))


def test_edges_that_are_given_and_a_window_with_weights() -> None:
    u, start, left, w = gc.tensor("u", T, N), gc.tensor("start", N), gc.tensor("left", T), gc.tensor("w", 5)
    inner = gc.index("i", 2, N - 2)
    u[t, inner] = gc.sum(0.2 * w[k] * u[t - 1, inner + k - 2], over=k)
    u[-1, i] = start[i]
    u[t, 0] = left[t]
    y = gc.tensor("y")
    y[i] = u[T - 1, i]
    agree([y], 1, [(5, 9), (9, 17), (2, 5)])
    agree([u], 1, [(5, 9), (9, 17), (2, 5), (1, 8)])


def test_two_steps_back_and_three_places_aside() -> None:
    u, f = gc.tensor("u"), gc.tensor("f", T, N)
    before = gc.pad(u, 0, dims=[0, 1])
    u[t, i] = 0.5 * before[t - 1, i - 3] - 0.3 * before[t - 4, i + 2] + f[t, i]
    agree([u], 1)


def test_what_needs_more_than_neighbours_goes_step_by_step() -> None:
    f, a = gc.tensor("f", T, N), gc.tensor("a", N, N)
    other = gc.index("other", N)

    def made(step: Any) -> list[Any]:
        u = gc.tensor("u")
        u[t, i] = step(gc.pad(u, 0, dims=[0, 1])) + f[t, i]
        return [u]

    agree(made(lambda u: gc.sum(0.1 * a[i, other] * u[t - 1, other], over=other)), 0)
    agree(made(lambda u: 0.5 * u[t - 1, 0]), 0)
    agree(made(lambda u: 0.5 * u[t, i - 1] + 0.2 * u[t - 1, i]), 0)
    agree(made(lambda u: 0.5 * u[t - 1, N - 1 - i]), 0)
    agree(made(lambda u: 0.5 * u[t - 1, i - 9]), 0)


def test_generated_text_as_python_and_as_c() -> None:
    u, start = wave(lambda u: gc.clamp(u, dims=[1]))
    loss = gc.tensor("loss")
    loss[()] += u[T - 1, i] ** 2
    outputs = [loss, gc.grad(loss, start)]
    for steps, places in ((9, 17), (23, 5)):
        program = gc.compile(outputs, precision="float64")
        arrays = given(program, steps, places)
        wanted = gc.compile(outputs, target="interpret", precision="float64")(**arrays)
        for results in unjitted.run(program, arrays), oracles.in_c(program, arrays):
            for got, want in zip(results, wanted, strict=True):
                np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-12 * np.abs(want).max(initial=1))
