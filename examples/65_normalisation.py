"""Normalisation: x̂ = (x − μ)/√(σ² + ε) keeps the signal alive through ten layers.

L1 and L2 normalisation put vectors on a diamond and on a circle. Writes pictures/normalisation.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import graphc as gc

PICTURES, DEPTH, STEPS = Path("pictures"), 10, 60
N, n, i = gc.dim("N"), *gc.indices("n i")


def standardised(x, eps=1e-5):
    """Each column of a batch with mean 0 and variance 1."""
    mean, variance, out = gc.tensor(f"{x.name}.mean"), gc.tensor(f"{x.name}.variance"), gc.tensor(f"{x.name}.hat")
    mean[i] = gc.mean(x[n, i], over=n)
    variance[i] = gc.mean((x[n, i] - mean[i]) ** 2, over=n)
    out[n, i] = (x[n, i] - mean[i]) / gc.sqrt(variance[i] + eps)
    return out


def net(x, normalise, width=64, depth=DEPTH, classes=10):
    """A deep net of tanh layers; its hidden layers, and its scores."""
    hidden = []
    for k in range(depth):
        x = gc.nn.Linear(width, name=f"fc{k}")(x)
        x = gc.nn.tanh(standardised(x) if normalise else x, name=f"h{k}")
        hidden.append(x)
    return hidden, gc.nn.Linear(classes, name="scores")(x)


x, label = gc.tensor("x", N, 64), gc.tensor("label", N, dtype="int64")
print(gc.loops(standardised(x)), end="\n\n")
digits = load_digits()
pixels, labels = (digits.data / 16).astype("float32"), digits.target.astype("int64")
spreads, curves = {}, {}
for name, normalise in (("plain", False), ("normalised", True)):
    hidden, scores = net(x, normalise)
    loss = gc.nn.cross_entropy(scores, label)
    step, look = gc.compile(loss, updates=gc.optim.sgd(loss, lr=0.2, momentum=0.9)), gc.compile(hidden)
    state, random = step.init(seed=0), np.random.default_rng(0)
    spreads[name] = look(state, x=pixels)
    batches = (random.choice(len(pixels), 128, replace=False) for _ in range(STEPS))
    curves[name] = [float(step(state, x=pixels[batch], label=labels[batch])) for batch in batches]
    first, last = (float(h.std(axis=0).mean()) for h in (spreads[name][0], spreads[name][-1]))
    print(f"{name:11} spread of a unit over the digits: layer 1 {first:.3f}, layer {DEPTH} {last:.5f}; trained loss {curves[name][-1]:.3f}")

ours, theirs = gc.compile([standardised(x), gc.nn.batch_norm(x, None, None, training=True)])(x=pixels)
v = gc.tensor("v", N, 2)
arrows = np.random.default_rng(1).normal(size=(400, 2)).astype("float32")
circles = gc.compile({f"L{p}": gc.nn.normalize(v, p=p, name=f"L{p}") for p in (1, 2)})(v=arrows)

tiny, target, random = gc.tensor("x", 4, 3), gc.tensor("label", 4, dtype="int64"), np.random.default_rng(2)
loss = gc.nn.cross_entropy(net(tiny, True, width=3, depth=2, classes=2)[1], target)
point = {w.name: random.normal(size=w.shape) for w in [tiny, *gc.parameters(loss)]}
print(f"numeric check: {gc.check_grad(loss, [tiny, *gc.parameters(loss)], label=np.array([0, 1, 1, 0]), **point):.1e} relative difference")

PICTURES.mkdir(exist_ok=True)
figure = plt.figure(figsize=(13, 4), layout="constrained")
grid = figure.add_gridspec(2, 8)
for row, (name, layers) in enumerate(spreads.items()):
    for column, k in enumerate((0, 3, 6, 9)):
        axis = figure.add_subplot(grid[row, column])
        axis.hist((layers[k] - layers[k].mean(axis=0)).ravel(), bins=41, range=(-1, 1), color=f"C{row}")
        axis.set(yticks=[], xlim=(-1, 1), title=f"layer {k + 1}" if row == 0 else None, ylabel=name if column == 0 else None)
axis = figure.add_subplot(grid[:, 4:6])
for name, curve in curves.items():
    axis.plot(curve, label=name)
axis.set(xlabel="step", title="loss")
axis.legend()
axis = figure.add_subplot(grid[:, 6:8], aspect="equal")
axis.plot(*arrows.T, ".", color="0.8", ms=3)
for name, points in circles.items():
    axis.plot(*points.T, ".", ms=4, label=name)
axis.set(xlim=(-2, 2), ylim=(-2, 2), title="v/‖v‖")
axis.legend(loc="upper right")
figure.savefig(PICTURES / "normalisation.png", dpi=120)

np.testing.assert_allclose(ours, theirs, atol=1e-5)  # gc.nn has it under the name of batch normalisation
np.testing.assert_allclose(np.abs(circles["L1"]).sum(axis=1), 1, rtol=1e-5)
np.testing.assert_allclose((circles["L2"] ** 2).sum(axis=1), 1, rtol=1e-5)
assert spreads["plain"][-1].std(axis=0).mean() < 0.01 < 0.5 < spreads["normalised"][-1].std(axis=0).mean()
assert curves["normalised"][-1] < 0.5 < 2 < curves["plain"][-1]
