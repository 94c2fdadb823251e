"""Recurrences and their gradients against loops in Python that torch.autograd goes back through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gc

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install graphc[torch]")

pytestmark = pytest.mark.peers

N, M, T = gc.dims("N M T")
i, j, t = gc.indices("i j t")


def real(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).uniform(0.2, 1.0, size=shape)


def compare(L: gc.Tensor, wrt: list[gc.Tensor], arrays: dict[str, np.ndarray], reference: Callable[..., Any]) -> None:
    """The value and the gradients, in float64."""
    got = gc.compile([L, *gc.grad(L, wrt)], target="interpret", precision="float64")(**arrays)
    given = {n: torch.tensor(a, requires_grad=True) for n, a in arrays.items()}
    value = reference(**given)
    wanted = [value, *torch.autograd.grad(value, [given[x.name] for x in wrt])]
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(a, b.detach().numpy(), rtol=1e-10, atol=1e-12)


def test_soft_dtw() -> None:
    """Cuturi and Blondel, ICML 2017, with gamma 0.3 and squared distances."""
    a, b, gamma = gc.tensor("a", N), gc.tensor("b", M), 0.3
    R, L = gc.tensors("R L")
    far = gc.pad(R, 1e3)
    last = gc.exp(-far[i - 1, j] / gamma) + gc.exp(-far[i, j - 1] / gamma) + gc.exp(-far[i - 1, j - 1] / gamma)
    R[i, j] = (a[i] - b[j]) ** 2 + gc.where((i == 0) & (j == 0), 0, -gamma * gc.log(last))
    L[()] += R[N - 1, M - 1]

    def reference(a: Any, b: Any) -> Any:
        rows: dict[tuple[int, int], Any] = {}
        for n in range(len(a)):
            for m in range(len(b)):
                before = [rows[p] for p in ((n - 1, m), (n, m - 1), (n - 1, m - 1)) if p in rows]
                least = -gamma * torch.logsumexp(-torch.stack(before) / gamma, 0) if before else 0
                rows[n, m] = (a[n] - b[m]) ** 2 + least
        return rows[len(a) - 1, len(b) - 1]

    compare(L, [a, b], {"a": real(5), "b": real(4, seed=1)}, reference)


def test_wave_equation() -> None:
    """With respect to the initial state, the speeds and a force; the string is held at both ends."""
    u0, c, f = gc.tensor("u0", N), gc.tensor("c", N), gc.tensor("f", T, N)
    u, L = gc.tensors("u L")
    near = gc.pad(u, 0, dims=[1])
    u[-1, i] = u0[i]
    u[-2, i] = u0[i]
    bend = near[t - 1, i - 1] - 2 * u[t - 1, i] + near[t - 1, i + 1]
    u[t, i] = 2 * u[t - 1, i] - u[t - 2, i] + c[i] ** 2 * bend + f[t, i]
    L[()] += u[T - 1, i] ** 2

    def reference(u0: Any, c: Any, f: Any) -> Any:
        before, now, edge = u0, u0, torch.zeros(1, dtype=u0.dtype)
        for force in f:
            wide = torch.cat([edge, now, edge])
            before, now = now, 2 * now - before + c**2 * (wide[:-2] - 2 * now + wide[2:]) + force
        return (now**2).sum()

    compare(L, [u0, c, f], {"u0": real(6), "c": real(6, seed=1), "f": real(5, 6)}, reference)


def test_weighted_edit_distance() -> None:
    """The cheapest way to turn one word into another, with a price for every change; its gradient counts the changes."""
    p, change = gc.tensor("p", 2), gc.tensor("change", N, M)
    rows, columns = gc.index("i", N + 1), gc.index("j", M + 1)
    D, L = gc.tensor("D", N + 1, M + 1), gc.tensor("L")
    add, drop = D[rows, columns - 1] + p[0], D[rows - 1, columns] + p[1]
    cheapest = gc.minimum(gc.minimum(add, drop), D[rows - 1, columns - 1] + change[rows - 1, columns - 1])
    D[rows, columns] = gc.where(rows == 0, columns * p[0], gc.where(columns == 0, rows * p[1], cheapest))
    L[()] += D[N, M]

    def reference(p: Any, change: Any) -> Any:
        n, m = change.shape
        cost = {(r, 0): r * p[1] for r in range(n + 1)} | {(0, s): s * p[0] for s in range(m + 1)}
        for r in range(1, n + 1):
            for s in range(1, m + 1):
                ways = [cost[r, s - 1] + p[0], cost[r - 1, s] + p[1], cost[r - 1, s - 1] + change[r - 1, s - 1]]
                cost[r, s] = torch.stack(ways).min()
        return cost[n, m]

    compare(L, [p, change], {"p": np.array([0.31, 0.52]), "change": real(4, 5)}, reference)
