"""Spirals and rings with 3, 6 and 20 hidden units, and with 20 units and an ever stronger L2 penalty, which smooths the boundary.

The number of hidden units is a size like any other: one compiled step trains all nets. Writes pictures/spiral.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import graphc as gc

PICTURES = Path("pictures")
PICTURES.mkdir(exist_ok=True)

N, H = gc.dims("N H")
n, h, g, j = gc.indices("n h g j")
x, t, strength = gc.tensor("x", N, 2), gc.tensor("t", N), gc.tensor("strength", ())
W1, b1 = gc.parameter("W1", H, 2, init="normal"), gc.parameter("b1", H, init="normal")
W2, b2 = gc.parameter("W2", H, H, init="glorot_normal"), gc.parameter("b2", H, init="zeros")
w3, b3 = gc.parameter("w3", H, init="zeros"), gc.parameter("b3", init="zeros")
first, second, p, loss = gc.tensors("first second p loss")
first[n, h] = gc.tanh(gc.sum(W1[h, j] * x[n, j], over=j) + b1[h])
second[n, h] = gc.tanh(gc.sum(W2[h, g] * first[n, g], over=g) + b2[h])
p[n] = gc.sigmoid(gc.sum(w3[h] * second[n, h], over=h) + b3[()])
loss[()] += -(t[n] * gc.log(p[n]) + (1 - t[n]) * gc.log(1 - p[n])) / N
loss[()] += strength[()] * W1[h, j] ** 2
loss[()] += strength[()] * W2[h, g] ** 2
loss[()] += strength[()] * w3[h] ** 2
print(gc.loops(loss))
step, probability = gc.compile(loss, updates=gc.optim.adam(loss, lr=0.02)), gc.compile(p)


def spiral(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two arms, each with one and a half turns."""
    kind, along = np.arange(200) % 2, np.linspace(0.12, 1, 200)
    angle = 3 * np.pi * along + np.pi * kind
    points = np.stack([along * np.cos(angle), along * np.sin(angle)], axis=-1) + 0.015 * random.normal(size=(200, 2))
    return (2 * points).astype("float32"), kind


def rings(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    kind, angle = np.arange(200) % 2, random.uniform(0, 2 * np.pi, 200)
    radius = np.where(kind == 1, 1.6, 0.7) + 0.15 * random.normal(size=200)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1).astype("float32"), kind


def train(points, kind, units, penalty):
    state = step.init(seed=4, H=units)
    for _ in range(3000):
        step(state, x=points, t=kind.astype("float32"), strength=np.float32(penalty))
    return state, float(((probability(state, x=points) > 0.5) == kind).mean())


SETTINGS = [(3, 0), (6, 0), (20, 0), (20, 3e-4), (20, 1e-3), (20, 3e-3)]
side = np.linspace(-2.4, 2.4, 150, dtype="float32")
plane = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
figure, axes = plt.subplots(2, len(SETTINGS), figsize=(16, 5.8), layout="constrained", sharex=True, sharey=True)
right, weights = {}, {}
for row, shape in zip(axes, (spiral, rings), strict=True):
    points, kind = shape(np.random.default_rng(0))
    for axis, (units, penalty) in zip(row, SETTINGS, strict=True):
        state, rate = train(points, kind, units, penalty)
        key = (shape.__name__, units, penalty)
        right[key], weights[key] = rate, float(np.sqrt(sum((state[w] ** 2).sum() for w in ("W1", "W2", "w3"))))
        print(f"{shape.__name__:6} {units:2} units, L2 {penalty:<6g} {rate:6.1%} right, length of the weights {weights[key]:.1f}")
        shown = probability(state, x=plane).reshape(150, 150)
        axis.contourf(side, side, shown, levels=np.linspace(0, 1, 11), cmap="RdBu_r", alpha=0.5)
        axis.contour(side, side, shown, levels=[0.5], colors="black", linewidths=1)
        axis.scatter(*points.T, c=kind, cmap="RdBu_r", vmin=-0.2, vmax=1.2, s=12, edgecolors="black", linewidths=0.3)
        axis.set(title=f"{units} units, L2 {penalty:g}: {rate:.0%}", xticks=[], yticks=[], aspect="equal")
figure.savefig(PICTURES / "spiral.png", dpi=120)

random = np.random.default_rng(0)
arrays = {name: random.normal(size=a.shape) for name, a in step.init(H=3).items() if name in ("W1", "b1", "W2", "b2", "w3", "b3")}
data = {"x": random.normal(size=(5, 2)), "t": np.array([0, 1, 1, 0, 1]), "strength": 0.1}
print(f"numeric check: {gc.check_grad(loss, gc.parameters(loss), **arrays, **data):.1e} relative difference")
assert right["spiral", 20, 0] == 1 and right["rings", 20, 0] == 1
assert right["spiral", 3, 0] < 0.95
for name in ("spiral", "rings"):
    lengths = [weights[name, 20, penalty] for _, penalty in SETTINGS[2:]]
    assert lengths == sorted(lengths, reverse=True), "a stronger penalty leaves shorter weights"
