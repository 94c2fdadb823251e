"""What 40,000 units on a picture of 200×200 pixels cost: fully connected, locally connected, and as a convolution.

The first has 1.6 billion weights. `gc.summary` counts them without making one. Writes pictures/costs.png.
"""

import tracemalloc
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import graphc as gc

PICTURES = Path("pictures")
f, i, j, p, q, r, s = gc.indices("f i j p q r s")


def full(image, size):
    """Every unit sees every pixel: a weight for each pair."""
    weight, out = gc.parameter("weight", size, size, size, size), gc.tensor("out")
    out[p, q] += image[i, j] * weight[p, q, i, j]
    return out


def local(image, size, window=10):
    """Every unit sees a window, by weights of its own."""
    weight, out = gc.parameter("weight", size, size, window, window), gc.tensor("out")
    out[p, q] += gc.pad(image, 0)[p + r - window // 2, q + s - window // 2] * weight[p, q, r, s]
    return out


def convolution(image, size, window=10, filters=20):
    """The same weights for all windows, so that twenty different filters cost next to nothing."""
    weight, out = gc.parameter("weight", filters, window, window), gc.tensor("out")
    u, v = gc.index("u", size), gc.index("v", size)
    out[f, u, v] += gc.pad(image, 0)[u + r - window // 2, v + s - window // 2] * weight[f, r, s]
    return out


KINDS = {"fully connected": full, "locally connected, 10×10": local, "convolution, 20 filters 10×10": convolution}
tracemalloc.start()
tables = {}
for name, layer in KINDS.items():
    out = layer(gc.tensor("image", 200, 200), 200)
    tables[name] = gc.summary(out)
    print(f"{name}\n{gc.loops(out)}\n{tables[name]}\n")
peak = tracemalloc.get_traced_memory()[1] / 1e6
tracemalloc.stop()
weights = {name: table.parameters for name, table in tables.items()}
print(f"counted with {peak:.1f} MB; the weights of the first would take {4 * weights['fully connected'] / 1e9:.1f} GB in float32")

random, worst = np.random.default_rng(0), 0.0
for layer in KINDS.values():
    image, loss = gc.tensor("image", 6, 6), gc.tensor("loss")
    out = layer(image, 6)
    loss[()] += gc.tanh(out[gc.indices("a b c")[: out.ndim]])
    inputs = [image, *gc.parameters(loss)]
    worst = max(worst, gc.check_grad(loss, inputs, **{t.name: random.normal(size=t.shape) for t in inputs}))
print(f"numeric check on 6×6 pixels: {worst:.1e} relative difference")

PICTURES.mkdir(exist_ok=True)
figure, axes = plt.subplots(1, 2, figsize=(11, 2.8), sharey=True, layout="constrained")
work = {name: table.multiply_adds for name, table in tables.items()}
for axis, counts, title, colour in zip(axes, (weights, work), ("weights", "multiply-adds"), ("C0", "C1"), strict=True):
    bars = axis.barh(list(counts), list(counts.values()), color=colour, log=True)
    axis.bar_label(bars, [f" {count:,}" for count in counts.values()])
    axis.set(title=title, xlim=(1e2, 1e13))
    axis.spines[["top", "right"]].set_visible(False)
axes[0].yaxis.set_inverted(True)
figure.savefig(PICTURES / "costs.png", dpi=120)

assert list(weights.values()) == [1_600_000_000, 4_000_000, 2_000]
assert peak < 50, "nothing was allocated"
