"""Soft dynamic time warping: a two-dimensional recurrence, whose gradient is the alignment of two series.

R[i,j] is the soft minimum of three neighbours plus the cost of matching i with j (Cuturi and Blondel, ICML 2017). The gradient with respect
to the costs says how much each pair is matched; that with respect to a series moves it to the mean of others. Writes pictures/soft_dtw.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import graphc as gc

PICTURES, LENGTH = Path("pictures"), 80
N, M, B = gc.dims("N M B")
b, i, j, k = gc.indices("b i j k")


def soft_dtw(x, y, smooth):
    """The costs of all pairs, and the discrepancy of x[i] and each of y[b,j]."""
    cost, R, out, before = *gc.tensors("cost R out"), gc.tensor("before", B, N, M, 3)
    cost[b, i, j] = (x[i] - y[b, j]) ** 2
    outside = gc.pad(R, np.inf, dims=[1, 2])
    before[b, i, j, 0] = gc.where(i + j > 0, outside[b, i - 1, j - 1], 0)
    before[b, i, j, 1] = outside[b, i - 1, j]
    before[b, i, j, 2] = outside[b, i, j - 1]
    R[b, i, j] = cost[b, i, j] - smooth * gc.logsumexp(-before[b, i, j, k] / smooth, over=k)
    out[b] = R[b, x.shape[0] - 1, y.shape[1] - 1]
    return cost, out


def dtw(x, y):
    """Dynamic time warping by hand, with a hard minimum."""
    R = np.full((len(x) + 1, len(y) + 1), np.inf)
    R[0, 0] = 0
    for a in range(len(x)):
        for c in range(len(y)):
            R[a + 1, c + 1] = (x[a] - y[c]) ** 2 + min(R[a, c], R[a, c + 1], R[a + 1, c])
    return R[-1, -1]


def bump(centre, width):
    """A rise and a dip, at a place and with a width of its own."""
    time = np.linspace(0, 1, LENGTH)
    return np.exp(-(((time - centre) / width) ** 2)) - 0.6 * np.exp(-(((time - centre - 2.2 * width) / (0.7 * width)) ** 2))


x, y = gc.tensor("x", N, dtype="float64"), gc.tensor("y", B, M, dtype="float64")
smooth = gc.tensor("smooth", (), dtype="float64")
cost, out = soft_dtw(x, y, smooth[()])
total = gc.tensor("total")
total[()] += out[b]
alignment, slope = gc.grad(total, [cost, x])
print(gc.loops(total, slope), end="\n\n")
program = gc.compile([total, alignment, slope])

random = np.random.default_rng(3)
series = np.stack([bump(random.uniform(0.2, 0.6), random.uniform(0.07, 0.14)) for _ in range(6)])
for gamma in (1.0, 0.1, 0.01, 0.0001):
    print(f"smoothness {gamma:6}: discrepancy of two series {float(program(x=series[0], y=series[1:2], smooth=gamma)[0]):9.4f}")
hard = dtw(series[0], series[1])
print(f"by hand, hard minimum: {hard:27.4f}")
soft, path, _ = program(x=series[0], y=series[1:2], smooth=0.0001)

mean = series.mean(axis=0)
for _ in range(300):
    value, _, move = program(x=mean, y=series, smooth=0.05)
    mean = mean - 0.02 * move
start = float(program(x=series.mean(axis=0), y=series, smooth=0.05)[0])
print(f"sum of discrepancies to {len(series)} series: {start:.2f} from their mean, {float(value):.2f} from the barycentre")
tiny = {"x": random.normal(size=4), "y": random.normal(size=(2, 5)), "smooth": 0.5}
print(f"numeric check: {gc.check_grad(total, [x, y], **tiny):.1e} relative difference")

PICTURES.mkdir(exist_ok=True)
figure, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
axes[0].imshow(program(x=series[0], y=series[1:2], smooth=0.05)[1][0] ** 0.5, origin="lower", cmap="magma")
axes[0].set(title="the gradient is the alignment", xlabel="second series", ylabel="first series")
for a, c in np.argwhere(path[0] > 0.5)[::3]:
    axes[1].plot([a, c], [series[0][a], series[1][c] - 2], color="0.8", lw=0.8)
axes[1].plot(series[0], lw=2)
axes[1].plot(series[1] - 2, lw=2)
axes[1].set(title="what is matched with what", yticks=[])
axes[2].plot(series.T, color="0.8", lw=1)
axes[2].plot(series.mean(axis=0), lw=2, label="mean")
axes[2].plot(mean, lw=2, label="soft-DTW barycentre")
axes[2].legend()
figure.savefig(PICTURES / "soft_dtw.png", dpi=120)
np.testing.assert_allclose(soft, hard, atol=1e-2)
assert path.min() > -1e-9 and path[0, 0, 0] > 0.99 and path[0, -1, -1] == 1 and value < start / 2
