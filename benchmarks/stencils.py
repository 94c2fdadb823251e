"""Heat equations with the gradient of their start, in fronts of tiles and step by step, on one and two threads, in milliseconds.

    python benchmarks/stencils.py
"""

from __future__ import annotations

import time
from typing import Any
from unittest.mock import patch

import numpy as np

import graphc as gc
from graphc.schedule import scan

CASES = {"512², 100 steps": (2, 512, 100), "3000, 500 steps": (1, 3000, 500), "1000000, 50 steps": (1, 1_000_000, 50)}
TURNS = 15


def heat(dimensions: int, extent: int, steps: int) -> list[gc.Tensor]:
    """The sum of squares of the last step, and its gradient."""
    t, places = gc.index("t", steps), [gc.index(name) for name in "ij"[:dimensions]]
    u, start, loss = gc.tensor("u"), gc.tensor("start", *[extent] * dimensions), gc.tensor("loss")
    near, here = gc.pad(u, 0, dims=range(1, dimensions + 1)), tuple(places)
    beside = [(t - 1, *(p + side * (p is q) for p in places)) for q in places for side in (-1, 1)]
    u[(t, *here)] = u[(t - 1, *here)] + 0.2 * (sum(near[place] for place in beside) - 2 * dimensions * u[(t - 1, *here)])
    u[(-1, *here)] = start[here]
    loss[()] += u[(steps - 1, *here)] ** 2
    return [loss, gc.grad(loss, start)]


def milliseconds(case: tuple[int, int, int], threads: int) -> float:
    """The best of some calls."""
    program = gc.compile(heat(*case), threads=threads)
    start = np.random.default_rng(0).normal(size=(case[1],) * case[0]).astype("float32")
    times = []
    for _ in range(TURNS + 1):
        begin = time.perf_counter()
        program(start=start)
        times.append(time.perf_counter() - begin)
    return 1e3 * min(times[1:])


def main() -> None:
    rows: list[list[Any]] = []
    for name, case in CASES.items():
        fronts = [milliseconds(case, threads) for threads in (1, 2)]
        with patch.object(scan, "in_fronts", lambda step, tensors: [step]):
            alone = [milliseconds(case, threads) for threads in (1, 2)]
        rows.append([name, *(f"{value:.2f}" for value in (*alone, *fronts))])
    for row in [["heat", "steps, 1 thread", "2 threads", "fronts, 1 thread", "2 threads"], *rows]:
        print("  ".join(f"{cell:>18}" for cell in row))


if __name__ == "__main__":
    main()
