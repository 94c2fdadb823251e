"""Numba with loops and gradients written by hand, as one would write them without a framework."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import njit, prange

from comparison.cases import SPEED, STEPS, Arrays, Case
from comparison.timed import Timed, by_name

VERSION = numba.__version__
parallel = njit(parallel=True, fastmath=True)


@parallel
def softmax(z: Any, lab: Any) -> Any:
    rows, columns = z.shape
    back, loss = np.empty_like(z), 0.0
    for n in prange(rows):
        top = z[n, 0]
        for j in range(columns):
            top = max(top, z[n, j])
        total = z.dtype.type(0)
        for j in range(columns):
            back[n, j] = np.exp(z[n, j] - top)
            total += back[n, j]
        factor = 1 / (total * z.dtype.type(rows))
        for j in range(columns):
            back[n, j] *= factor
        back[n, lab[n]] -= 1 / z.dtype.type(rows)
        loss += np.log(total) + top - z[n, lab[n]]
    return loss / rows, back


@parallel
def gelu(x: Any, T: Any) -> Any:
    number = x.dtype.type
    half, root, normal = number(0.5), number(math.sqrt(0.5)), number(1 / math.sqrt(2 * math.pi))
    back, loss = np.empty_like(x), 0.0
    for n in prange(x.shape[0]):
        row = number(0)
        for j in range(x.shape[1]):
            below = half + half * math.erf(root * x[n, j])
            row += x[n, j] * below * T[n, j]
            back[n, j] = T[n, j] * (below + x[n, j] * normal * np.exp(-half * x[n, j] * x[n, j]))
        loss += row
    return loss, back


@parallel
def l1_distances(X: Any, Y: Any, T: Any) -> Any:
    """The gradient of Y has a pass of its own, so that no two threads add to one element."""
    rows, columns, width = len(X), len(Y), X.shape[1]
    dX, dY, loss = np.zeros_like(X), np.zeros_like(Y), 0.0
    for i in prange(rows):
        row = 0.0
        for j in range(columns):
            distance = X.dtype.type(0)
            for k in range(width):
                difference = X[i, k] - Y[j, k]
                distance += abs(difference)
                dX[i, k] += np.sign(difference) * T[i, j]
            row += distance * T[i, j]
        loss += row
    for j in prange(columns):
        for i in range(rows):
            for k in range(width):
                dY[j, k] -= np.sign(X[i, k] - Y[j, k]) * T[i, j]
    return loss, dX, dY


@parallel
def hinge(S: Any, lab: Any) -> Any:
    rows, columns = S.shape
    back, loss = np.empty_like(S), 0.0
    share = 1 / S.dtype.type(rows)
    for n in prange(rows):
        own, row, count = S[n, lab[n]] - 1, S.dtype.type(0), 0
        for j in range(columns):
            margin = S[n, j] - own
            over = margin > 0
            row += margin if over else S.dtype.type(0)
            count += over
            back[n, j] = share if over else S.dtype.type(0)
        back[n, lab[n]] = -share * (count - 1)
        loss += row - 1
    return loss * share, back


@parallel
def cumulative_sum(x: Any, G: Any) -> Any:
    back, loss = np.empty_like(x), 0.0
    for n in prange(x.shape[0]):
        total, row = x.dtype.type(0), 0.0
        for i in range(x.shape[1]):
            total += x[n, i]
            row += total * G[n, i]
        loss += row
        total = x.dtype.type(0)
        for i in range(x.shape[1] - 1, -1, -1):
            total += G[n, i]
            back[n, i] = total
    return loss, back


@njit(fastmath=True)
def advance(before: Any, now: Any, steps: int) -> Any:
    """Steps of the wave equation in place, on one thread: a row is too short for a team."""
    last, speed, two = len(now) - 1, now.dtype.type(SPEED), now.dtype.type(2)
    for _ in range(steps):
        before[0] = two * now[0] - before[0] + speed * (now[1] - two * now[0])
        for i in range(1, last):
            before[i] = two * now[i] - before[i] + speed * (now[i - 1] - two * now[i] + now[i + 1])
        before[last] = two * now[last] - before[last] + speed * (now[last - 1] - two * now[last])
        before, now = now, before
    return before, now


@njit(fastmath=True)
def wave(u0: Any, tgt: Any) -> Any:
    """The adjoint of a step is the same step, so nothing is stored."""
    _, now = advance(u0.copy(), u0.copy(), STEPS)
    error = now - tgt
    later, back = advance(np.zeros_like(error), error.copy(), STEPS)
    return (error * error).sum() / 2, back - later


@njit(fastmath=True)
def scaled(a: Any, x: Any, b: Any) -> Any:
    y = np.empty_like(x)
    for i in range(len(x)):
        y[i] = a[i] * x[i] + b[i]
    return (y,)


@njit(fastmath=True)
def scaled_sum(a: Any, x: Any, b: Any, g: Any) -> Any:
    da, dx, db, loss = np.empty_like(a), np.empty_like(x), np.empty_like(b), a.dtype.type(0)
    for i in range(len(x)):
        loss += g[i] * (a[i] * x[i] + b[i])
        da[i], dx[i], db[i] = g[i] * x[i], g[i] * a[i], g[i]
    return loss, da, dx, db


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "W6.softmax": softmax, "W6.gelu": gelu, "W7.l1dist": l1_distances, "W7.hinge": hinge, "W8.cumsum": cumulative_sum, "W8.wave": wave,
    "W10.fwd": scaled, "W10.grad": scaled_sum,
}


def supports(mode: str, case: Case) -> bool:
    return case.name in FUNCTIONS


def prepare(mode: str, case: Case, arrays: Arrays, threads: int) -> Timed:
    """What is timed."""
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    function, given = FUNCTIONS[case.name], tuple(arrays[n] for n in arguments(case.name))
    return lambda: function(*given), lambda found: by_name(case, found)


def arguments(name: str) -> tuple[str, ...]:
    """Names of the arguments of a function, in order: calls by position are the cheaper ones."""
    code = FUNCTIONS[name].py_func.__code__
    return code.co_varnames[: code.co_argcount]
