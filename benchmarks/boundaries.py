"""What boundaries cost: stencils, pooling and convolutions with each mode beside the same loops without a boundary.

    python benchmarks/boundaries.py [--size 2048] [--rounds 15] [--only WORD]

Both programs of a row compute the same number of elements, the one without a boundary from a larger array. They run in turns; the
ratio is the median over the rounds of (time with boundary) ÷ (time without), times are medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import graphc as gc

MODES = ("pad", "clamp", "wrap", "reflect", "skip")
N = gc.dim("N")
b, f, c, p, q = (gc.index(i, n) for i, n in (("b", 4), ("f", 16), ("c", 16), ("p", N), ("q", N)))
r, s = gc.index("r", 3), gc.index("s", 3)


def read(x: gc.Tensor, mode: str | None, p: Any, q: Any, *front: Any) -> Any:
    """``x[…, p, q]`` for −1 ≤ p, q ≤ N: beyond the edges with a boundary, shifted into the larger array without."""
    if mode is None:
        return x[*front, p + 1, q + 1]
    view = gc.pad(x, 0.5) if mode == "pad" else getattr(gc, mode)(x)
    return view[*front, p, q]


def laplace(mode: str | None, x: gc.Tensor, y: gc.Tensor) -> None:
    """Five points, written out."""
    rows, columns = read(x, mode, p - 1, q) + read(x, mode, p + 1, q), read(x, mode, p, q - 1) + read(x, mode, p, q + 1)
    y[p, q] = 4 * read(x, mode, p, q) - rows - columns


def weighted(mode: str | None, x: gc.Tensor, y: gc.Tensor) -> None:
    """Nine points with the weights of a tensor."""
    y[p, q] += read(x, mode, p + r - 1, q + s - 1) * gc.tensor("W", 3, 3)[r, s]


def largest(mode: str | None, x: gc.Tensor, y: gc.Tensor) -> None:
    """The largest of nine points."""
    y[p, q] = gc.max(read(x, mode, p + r - 1, q + s - 1), over=(r, s))


def convolution(mode: str | None, x: gc.Tensor, y: gc.Tensor) -> None:
    """3×3, 16 channels to 16, batch 4, on images an eighth as wide."""
    y[b, f, p, q] += read(x, mode, p + r - 1, q + s - 1, b, c) * gc.tensor("W", 16, 16, 3, 3)[f, c, r, s]


PROGRAMS = {"5-point stencil": laplace, "3×3 weights": weighted, "3×3 maximum": largest, "convolution": convolution}


def compiled(write: Callable[..., None], mode: str | None, backward: bool, size: int) -> Callable[[], Any]:
    """A call without arguments that computes Y, or the gradient of X."""
    many = write is convolution
    size = size // 8 if many else size
    outer = N if mode is not None else N + 2
    x = gc.tensor("X", *((4, 16) if many else ()), outer, outer)
    y = gc.tensor("Y", *((4, 16) if many else ()), N, N)
    write(mode, x, y)
    program = gc.compile(gc.grad(y, x, seed=gc.tensor("G", *y.shape)) if backward else y)
    random = np.random.default_rng(0)
    front, w = ((4, 16), (16, 16, 3, 3)) if many else ((), (3, 3))
    shapes = {"X": (*front, *[size + 2 * (mode is None)] * 2), "G": (*front, size, size), "W": w}
    values = {name: random.normal(size=shapes[name]).astype("f4") for name in program.inputs}
    return lambda: program(**values)


def timed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    print(f"{'':16} {'':9} {'no boundary, ms':>16} " + " ".join(f"{m:>8}" for m in MODES))
    for name, write in PROGRAMS.items():
        for backward in (False, True):
            label = f"{name:16} {'backward' if backward else 'forward':9}"
            if options.only not in label:
                continue
            modes = [m for m in MODES if not (m == "skip" and write is laplace)]
            calls = {m: compiled(write, m, backward, options.size) for m in (None, *modes)}
            for call in calls.values():
                call()
            rounds = [{m: timed(call) for m, call in calls.items()} for _ in range(options.rounds)]
            plain = statistics.median(t[None] for t in rounds)
            ratios = {m: statistics.median(t[m] / t[None] for t in rounds) for m in modes}
            print(f"{label} {plain * 1000:16.2f} " + " ".join(f"{ratios[m]:8.2f}" if m in ratios else f"{'':8}" for m in MODES), flush=True)


if __name__ == "__main__":
    main()
