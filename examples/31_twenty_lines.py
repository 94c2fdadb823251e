"""A neural net in twenty lines: NumPy's listing with its hand-written gradient, and the same net as loops.

Both train 64×1000 → 100 sigmoid units → 10 for 500 steps on the same numbers. Writes pictures/twenty_lines.png.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import graphc as gc

PICTURES = Path("pictures")
N, D_IN, HIDDEN, D_OUT, RATE, STEPS = 64, 1000, 100, 10, 1e-4, 500


def data(dtype: str) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    shapes = {"x": (N, D_IN), "t": (N, D_OUT), "w1": (D_IN, HIDDEN), "w2": (HIDDEN, D_OUT)}
    return {name: random.normal(size=shape).astype(dtype) for name, shape in shapes.items()}


def listing(x: np.ndarray, t: np.ndarray, w1: np.ndarray, w2: np.ndarray) -> Iterator[float]:
    """The listing: one loss per step."""
    while True:
        with np.errstate(over="ignore"):
            h = 1 / (1 + np.exp(-x.dot(w1)))
        y = h.dot(w2)
        loss = np.square(y - t).sum()
        dy = 2 * (y - t)
        dw2 = h.T.dot(dy)
        dh = dy.dot(w2.T)
        dw1 = x.T.dot(dh * h * (1 - h))
        w1 -= RATE * dw1
        w2 -= RATE * dw2
        yield float(loss)


def compiled(dtype: str, threads: int | None = None) -> gc.Program:
    """The same step as loops; the gradient is derived."""
    b, i, j, k = gc.indices("b i j k")
    x, t = gc.tensor("x", gc.dim("N"), D_IN, dtype=dtype), gc.tensor("t", gc.dim("N"), D_OUT, dtype=dtype)
    w1, w2 = gc.parameter("w1", D_IN, HIDDEN, dtype=dtype), gc.parameter("w2", HIDDEN, D_OUT, dtype=dtype)
    h, y, loss, w1_new, w2_new = gc.tensors("h y loss w1_new w2_new")
    h[b, j] = gc.sigmoid(gc.sum(x[b, i] * w1[i, j], over=i))
    y[b, k] += h[b, j] * w2[j, k]
    loss[()] += (y[b, k] - t[b, k]) ** 2
    dw1, dw2 = gc.grad(loss, [w1, w2])
    w1_new[i, j] = w1[i, j] - RATE * dw1[i, j]
    w2_new[j, k] = w2[j, k] - RATE * dw2[j, k]
    return gc.compile(loss, updates={w1: w1_new, w2: w2_new}, threads=threads)


def steps(program: gc.Program, arrays: dict[str, np.ndarray]) -> Iterator[float]:
    while True:
        yield float(program(arrays))


def run(step: Iterator[float]) -> tuple[list[float], float]:
    """500 losses, and the median time of a step in microseconds."""
    losses, times = [], []
    for _ in range(STEPS):
        started = time.perf_counter()
        losses.append(next(step))
        times.append(time.perf_counter() - started)
    return losses, float(np.median(times)) * 1e6


def check() -> float:
    """The same loss with small widths against central differences."""
    b, i, j, k = gc.indices("b i j k")
    x, t, w1, w2 = gc.tensor("x", 3, 4), gc.tensor("t", 3, 2), gc.tensor("w1", 4, 5), gc.tensor("w2", 5, 2)
    loss = gc.tensor("loss")
    loss[()] += (gc.sum(gc.sigmoid(gc.sum(x[b, i] * w1[i, j], over=i)) * w2[j, k], over=j) - t[b, k]) ** 2
    random = np.random.default_rng(0)
    return gc.check_grad(loss, [w1, w2], **{a.name: random.normal(size=a.shape) for a in (x, t, w1, w2)})


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    for dtype in ("float64", "float32"):
        program = compiled(dtype)
        expected, numpy_time = run(listing(**data(dtype)))
        losses, time_per_step = run(steps(program, data(dtype)))
        worst = float(np.max(np.abs(np.array(losses) / expected - 1)))
        print(f"{dtype}: loss {losses[0]:.1f} → {losses[-1]:.4f}, largest relative difference from NumPy in {STEPS} steps {worst:.1e}")
        print(f"         NumPy {numpy_time:.0f} µs per step, compiled {time_per_step:.0f} µs, ratio {numpy_time / time_per_step:.2f}")
        assert worst < 1e-5, worst
    print(f"numeric check: {check():.1e} relative difference")
    plt.semilogy(expected, label="NumPy listing")
    plt.semilogy(losses, "--", label="compiled loops")
    plt.xlabel("step")
    plt.ylabel("loss")
    plt.legend()
    plt.savefig(PICTURES / "twenty_lines.png", dpi=120)


if __name__ == "__main__":
    main()
