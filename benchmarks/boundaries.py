"""What boundaries cost: stencils, pooling and convolutions with each mode beside the same loops without a boundary.

    python benchmarks/boundaries.py [--only WORD] [--size 2048] [--seconds 1] [--threads 1]

Both programs of a row compute the same number of elements, the one without a boundary from a larger array. They run in turns; the
ratio is (shortest time with boundary) ÷ (shortest time without). With one thread, processor time is measured, which other programs
on the machine disturb least.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import graphc as gc

MODES = ("zeros", "half", "skip", "clamp", "wrap", "reflect")
LEAST = 7
"""Turns, however long they take."""

B, N = gc.dims("B N")
p, q, b = gc.index("p", N), gc.index("q", N), gc.index("b", B)


def seen(x: gc.Tensor, mode: str | None) -> Any:
    """The tensor as a mode shows it; padded with 0 and with ½ are two of them."""
    constants = {"zeros": 0, "half": 0.5}
    return x if mode is None else gc.pad(x, constants[mode]) if mode in constants else getattr(gc, mode)(x)


@dataclass(frozen=True)
class Stencil:
    """A program on one image of N×N elements; without a boundary it is read from the middle of a larger one."""

    write: Callable[[Callable[..., Any], gc.Tensor, gc.Tensor], None]
    modes: tuple[str, ...] = MODES
    wrt: tuple[str, ...] = ("X",)

    def program(self, mode: str | None, part: str, size: int, threads: int) -> Callable[[], Any]:
        outer, start = (N + 2, 1) if mode is None else (N, 0)
        x, y, w = gc.tensor("X", outer, outer), gc.tensor("Y", N, N), gc.tensor("W", 3, 3)
        self.write(lambda i, j: seen(x, mode)[i + start, j + start], w, y)
        wide = size + 2 * start
        return called(y, {"X": x}, part, {"X": (wide, wide), "W": (3, 3), "G": (size, size)}, threads)


@dataclass(frozen=True)
class Convolution:
    """A batch of images (or rows) of some channels, and square filters."""

    batch: int
    channels: int
    size: int
    filters: int
    width: int
    dimensions: int = 2
    modes: tuple[str, ...] = MODES
    wrt: tuple[str, ...] = ("X", "W")

    def program(self, mode: str | None, part: str, size: int, threads: int) -> Callable[[], Any]:
        before, d = self.width // 2, self.dimensions
        f, c = gc.index("f", self.filters), gc.index("c", self.channels)
        places, window = (p, q)[:d], (gc.index("r", self.width), gc.index("s", self.width))[:d]
        outer, start = (N + 2 * before, 0) if mode is None else (N, before)
        x, w = gc.tensor("X", B, self.channels, *[outer] * d), gc.tensor("W", self.filters, self.channels, *[self.width] * d)
        y = gc.tensor("Y", B, self.filters, *[N] * d)
        y[b, f, *places] += seen(x, mode)[b, c, *(i + k - start for i, k in zip(places, window, strict=True))] * w[f, c, *window]
        image = [self.size + 2 * (before - start)] * d
        shapes = {"X": (self.batch, self.channels, *image), "W": w.shape, "G": (self.batch, self.filters, *[self.size] * d)}
        return called(y, {"X": x, "W": w}, part, shapes, threads)


def called(y: gc.Tensor, wrt: dict[str, gc.Tensor], part: str, shapes: dict[str, Any], threads: int) -> Callable[[], Any]:
    """A call without arguments that computes Y, or its gradient with respect to the tensor called `part`."""
    made = gc.grad(y, wrt[part], seed=gc.tensor("G", *y.shape)) if part else y
    program = gc.compile(made, threads=threads)
    random = np.random.default_rng(0)
    values = {name: random.normal(size=tuple(map(int, shapes[name]))).astype("f4") for name in program.inputs}
    return lambda: program(**values)


def laplace(x: Callable[..., Any], w: gc.Tensor, y: gc.Tensor) -> None:
    """Five points, written out."""
    y[p, q] = 4 * x(p, q) - x(p - 1, q) - x(p + 1, q) - x(p, q - 1) - x(p, q + 1)


def weighted(x: Callable[..., Any], w: gc.Tensor, y: gc.Tensor) -> None:
    """Nine points with the weights of a tensor."""
    r, s = gc.index("r", 3), gc.index("s", 3)
    y[p, q] += x(p + r - 1, q + s - 1) * w[r, s]


def largest(x: Callable[..., Any], w: gc.Tensor, y: gc.Tensor) -> None:
    """The largest of nine points."""
    r, s = gc.index("r", 3), gc.index("s", 3)
    y[p, q] = gc.max(x(p + r - 1, q + s - 1), over=(r, s))


PROGRAMS: dict[str, Stencil | Convolution] = {
    "5-point stencil": Stencil(laplace, tuple(m for m in MODES if m != "skip")),
    "3×3 weights": Stencil(weighted),
    "3×3 maximum": Stencil(largest),
    "conv 64×1×28², 20@5": Convolution(64, 1, 28, 20, 5),
    "conv 8×3×32², 10@5": Convolution(8, 3, 32, 10, 5),
    "conv 64×3×32², 10@5": Convolution(64, 3, 32, 10, 5),
    "conv 8×64×56², 64@3": Convolution(8, 64, 56, 64, 3),
    "conv 4×16×256², 16@3": Convolution(4, 16, 256, 16, 3),
    "conv 16×32×1000, 32@5": Convolution(16, 32, 1000, 32, 5, 1),
    "conv 16×16×4096, 16@3": Convolution(16, 16, 4096, 16, 3, 1),
}


def timed(call: Callable[[], Any], clock: Callable[[], float]) -> float:
    start = clock()
    call()
    return clock() - start


def ratios(calls: dict[str | None, Callable[[], Any]], seconds: float, clock: Callable[[], float]) -> tuple[float, dict[str, float]]:
    """The shortest time without a boundary, and how many times as long it takes with each."""
    for _ in range(2):
        for call in calls.values():
            call()
    turns: list[dict[str | None, float]] = []
    end = time.perf_counter() + seconds
    while len(turns) < LEAST or time.perf_counter() < end:
        turns.append({m: timed(call, clock) for m, call in calls.items()})
    least = {m: min(t[m] for t in turns) for m in calls}
    return least[None], {m: t / least[None] for m, t in least.items() if m is not None}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="")
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    clock = time.thread_time if options.threads == 1 else time.perf_counter
    print(f"{'':30} {'no boundary, ms':>16} " + " ".join(f"{m:>8}" for m in MODES))
    for name, program in PROGRAMS.items():
        for part in ("", *program.wrt):
            label = f"{name:22} {f'd{part}' if part else 'forward'}"
            if options.only not in label:
                continue
            calls = {m: program.program(m, part, options.size, options.threads) for m in (None, *program.modes)}
            plain, found = ratios(calls, options.seconds, clock)
            shown = " ".join(f"{found[m]:8.2f}" if m in found else f"{'':8}" for m in MODES)
            print(f"{label:30} {plain * 1000:16.2f} {shown}", flush=True)


if __name__ == "__main__":
    main()
