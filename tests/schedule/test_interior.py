"""Loops of recurrences are split so that the interior asks nothing; short rows, short times and every direction."""

from __future__ import annotations

import re

import numpy as np
import pytest

import graphc as gc

N, T = gc.dims("N T")
i, t = gc.indices("i t")


def wave(steps=5):
    u0, c, q = gc.tensor("u0", N), gc.tensor("c", ()), gc.index("q", steps)
    u, L = gc.tensors("u L")
    near = gc.pad(u, 0, dims=[1])
    u[q, i] = 2 * u[q - 1, i] - u[q - 2, i] + c[()] * (near[q - 1, i - 1] - 2 * u[q - 1, i] + near[q - 1, i + 1])
    u[-1, i] = u0[i]
    u[-2, i] = u0[i]
    L[()] += u[steps - 1, i] ** 2
    return [L, *gc.grad(L, [u0, c])]


def last_only(steps=9):
    """What is asked of the last step alone needs the rows of three."""
    u0, q = gc.tensor("u0", N), gc.index("q", steps)
    u, L = gc.tensors("u L")
    near = gc.wrap(u, dims=[1])
    u[q, i] = u[q - 1, i] + 0.1 * (near[q - 1, i - 1] - near[q - 1, i + 1]) - 0.2 * u[q - 2, i]
    u[-1, i] = u0[i]
    u[-2, i] = 2 * u0[i]
    L[()] += gc.sin(u[steps - 1, i]) + u[steps - 2, i] * u0[i]
    return [L, gc.grad(L, u0)]


def sums_along_rows():
    x, G, s, L = gc.tensor("x", T, N), gc.tensor("G", T, N), *gc.tensors("s L")
    s[t, i] = 0.5 * gc.pad(s, 0, dims=[1])[t, i - 1] + x[t, i]
    L[()] += s[t, i] * G[t, i]
    return [L, gc.grad(L, x)]


@pytest.mark.parametrize("points", [0, 1, 2, 3, 17])
def test_short_rows(points):
    random = np.random.default_rng(points)
    programs = [
        (wave(), {"u0": random.standard_normal(points), "c": np.float32(0.25)}),
        (wave(1), {"u0": random.standard_normal(points), "c": np.float32(0.25)}),
        (last_only(), {"u0": random.standard_normal(points)}),
        (sums_along_rows(), {"x": random.standard_normal((3, points)), "G": random.standard_normal((3, points))}),
    ]
    for outputs, arrays in programs:
        arrays = {name: np.asarray(a, "float32") for name, a in arrays.items()}
        for got, want in zip(gc.compile(outputs)(**arrays), gc.compile(outputs, target="interpret")(**arrays), strict=True):
            # some float32 operations in another order
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def loops_of(source, kernel):
    body = source.split(f"def {kernel}(")[1].split("\n\n\n")[0].split("\n")
    return [line.strip() for line in body if line.strip() and not line.strip().startswith("#")]


def test_interior_of_a_stencil_asks_nothing():
    lines = loops_of(gc.compile(wave()).source, "scan_0")
    plain = [line for line in lines if line.startswith("u[") and "if" not in line]
    assert sum(line.count("u[q - 1,") == 4 for line in plain) == 1
    backward = loops_of(gc.compile(wave()).source, "scan_1")
    assert sum("if" not in line and line.count("u_grad[q + 1,") == 3 for line in backward if line.startswith("u_grad[")) == 1


def test_recurrences_along_rows_are_computed_row_by_row():
    lines = loops_of(gc.compile(sums_along_rows()).source, "scan_0")
    loops = [re.match(r"for (\w+)", line).group(1) for line in lines if line.startswith("for")]
    assert loops == ["t", "i", "i"] and lines[-1] == "s[t, i] = x[t, i] + f32(0.5) * s[t, i - 1]"


def test_rows_that_are_not_needed_again_go_round_in_a_ring():
    f = gc.compile(last_only())
    assert "u[q % 3, i] =" in f.source and "u[(q + 1) % 3, i]" in f.source
    stored = gc.compile(wave())
    assert "u[q, i] =" in stored.source


def test_a_loop_divided_among_threads_stays_within_its_part():
    """Backwards in time, a column too many would be one of the row before."""
    T, N = gc.dims("T N")
    t, i = gc.indices("t i")
    x, h = gc.tensor("x", T, N), gc.tensor("h")
    h[t, i] = gc.where(i == 0, 1, gc.pad(h, 0, dims=[0])[t + 1, i]) + x[t, i]
    xs = np.random.default_rng(0).standard_normal((5, 7)).astype("float32")
    np.testing.assert_array_equal(gc.compile(h)(x=xs), gc.compile(h, target="interpret")(x=xs))
