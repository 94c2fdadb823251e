"""Pooling: the largest element or the mean of each window, what a shift by a pixel changes, and where the gradient goes in a tie.

Writes pictures/pooling.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import graphc as gc

PICTURES = Path("pictures")
n, p, q = gc.indices("n p q")


def pool(x, reduction, window, stride, name="pooled", **options):
    """One value per window: neighbouring windows overlap where `stride` is less than `window`."""
    r, s, out = gc.index("r", window), gc.index("s", window), gc.tensor(name)
    out[n, p, q] = reduction(x[n, stride * p + r, stride * q + s], over=(r, s), **options)
    return out


KINDS = {
    "2×2 maximum": (gc.max, 2, 2),
    "2×2 mean": (gc.mean, 2, 2),
    "3×3 maximum, stride 2": (gc.max, 3, 2),
    "4×4 mean": (gc.mean, 4, 4),
}
digits = (load_digits().images / 16).astype("float32")
digits = np.pad(digits.repeat(3, axis=1).repeat(3, axis=2), ((0, 0), (2, 2), (2, 2)))  # 28×28
x, N = gc.tensor("x", gc.dim("N"), 28, 28), gc.dim("N")
maps = {name: pool(x, *kind, name=f"pooled{k}") for k, (name, kind) in enumerate(KINDS.items())}
print(gc.loops(*maps.values()), end="\n\n")
pooled = gc.compile(maps)
still, moved = pooled(x=digits), pooled(x=np.roll(digits, 1, axis=2))


def change(a, b):
    """How far the maps of a shifted image are from those of the image, relative to their size."""
    return float(np.mean(np.linalg.norm((a - b).reshape(len(a), -1), axis=1) / np.linalg.norm(a.reshape(len(a), -1), axis=1)))


changes = {"no pooling": change(digits, np.roll(digits, 1, axis=2))} | {name: change(still[name], moved[name]) for name in KINDS}
for name, value in changes.items():
    print(f"{name:22} a shift by one pixel changes it by {value:.1%}")

# A window of equal elements: its maximum has no derivative, and the convention is stated.
flat, weight, slopes = gc.tensor("flat", 1, 4, 4), gc.tensor("weight", 1, 2, 2), {}
for ties in ("first", "split"):
    loss = gc.tensor("loss")
    loss[()] += weight[n, p, q] * pool(flat, gc.max, 2, 2, ties=ties)[n, p, q]
    slopes[ties] = gc.compile(gc.grad(loss, flat))(flat=np.ones((1, 4, 4), "float32"), weight=np.array([[[1, 2], [3, 4]]], "float32"))
    print(f"\nfour equal elements per window, output gradients 1, 2, 3, 4, ties={ties!r}:\n{slopes[ties][0]}")

random = np.random.default_rng(0)
small, total = gc.tensor("small", 1, 7, 7), gc.tensor("total")
for k, kind in enumerate([(gc.max, 2, 2), (gc.mean, 2, 2), (gc.max, 3, 2)]):
    total[()] += gc.tanh(pool(small, *kind, name=f"pooled{k}")[n, p, q])
print(f"\nnumeric check: {gc.check_grad(total, small, small=random.normal(size=(1, 7, 7))):.1e} relative difference")

PICTURES.mkdir(exist_ok=True)
figure, axes = plt.subplots(2, 6, figsize=(13, 4.6), layout="constrained")
for k, maps in enumerate(({"no pooling": digits, **still}, {"no pooling": np.roll(digits, 1, axis=2), **moved})):
    for axis, (name, images) in zip(axes[k], maps.items()):
        axis.imshow(images[3], cmap="gray_r")
        axis.set_title(f"shifted: changes by {changes[name]:.0%}" if k else name, fontsize=10)
for axis, (ties, slope) in zip(axes[:, 5], slopes.items(), strict=True):
    axis.imshow(slope[0], cmap="Blues", vmin=0, vmax=4)
    axis.set_title(f'ties="{ties}"', fontsize=10)
    for (y, x_), value in np.ndenumerate(slope[0]):
        axis.text(x_, y, f"{value:g}", ha="center", va="center", color="white" if value > 2 else "black")
for axis in axes.flat:
    axis.set(xticks=[], yticks=[])
figure.savefig(PICTURES / "pooling.png", dpi=120)

assert changes["no pooling"] > changes["2×2 maximum"] > changes["2×2 mean"] > changes["4×4 mean"]
assert slopes["first"][0].tolist() == [[1, 0, 2, 0], [0, 0, 0, 0], [3, 0, 4, 0], [0, 0, 0, 0]]
assert slopes["split"][0].tolist() == [[0.25, 0.25, 0.5, 0.5], [0.25, 0.25, 0.5, 0.5], [0.75, 0.75, 1, 1], [0.75, 0.75, 1, 1]]
