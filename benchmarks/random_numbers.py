"""Random numbers: NumPy's generator with Philox and the compiled program, one thread each.

    python benchmarks/random_numbers.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

import graphc as gc

ROWS, COLUMNS, RATE = 1000, 1000, 0.25


def nanoseconds(call: Callable[[], object]) -> float:
    """The fastest of several calls, per number."""
    times = []
    for _ in range(15):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times[2:]) / (ROWS * COLUMNS) * 1e9


def main() -> None:
    i, j, key = gc.index("i", ROWS), gc.index("j", COLUMNS), gc.tensor("key", (), dtype="int64")
    generator = np.random.Generator(np.random.Philox(1))
    print(f"{'ns per number':18} {'NumPy, Philox':>14} {'compiled':>9} {'ratio':>6}")
    for dtype in ("float32", "float64"):
        for name, ours, theirs in (("uniform", gc.uniform, generator.random), ("normal", gc.normal, generator.standard_normal)):
            U, out = gc.tensor("U", ROWS, COLUMNS, dtype=dtype), np.empty((ROWS, COLUMNS), dtype)
            U[i, j] = ours(key[()], i, j)
            f = gc.compile(U, threads=1)
            other, own = nanoseconds(lambda: theirs(dtype=out.dtype, out=out)), nanoseconds(lambda: f(key=1, out=out))  # noqa: B023
            print(f"{name + ' ' + dtype:18} {other:14.2f} {own:9.2f} {other / own:6.2f}")
    X, Y, x = gc.tensor("X", ROWS, COLUMNS), gc.tensor("Y"), np.ones((ROWS, COLUMNS), np.float32)
    Y[i, j] = gc.where(gc.uniform(key[()], i, j) >= RATE, X[i, j] / (1 - RATE), 0)
    f = gc.compile(Y, threads=1)
    scale = np.float32(1 / (1 - RATE))
    other, own = nanoseconds(lambda: np.where(generator.random(x.shape, x.dtype) >= RATE, x * scale, 0)), nanoseconds(lambda: f(key=1, X=x))
    print(f"{'dropout float32':18} {other:14.2f} {own:9.2f} {other / own:6.2f}")


if __name__ == "__main__":
    main()
