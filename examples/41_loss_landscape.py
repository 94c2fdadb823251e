"""Slices of loss landscapes: along every line, the loss of a linear classifier is convex. That of a deep net looks so along random
lines, and is not; between two nets that were trained from different starts, it is a mountain.

A slice is the same program for many weights at once, by `gc.vmap`. Writes pictures/loss_landscape.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import graphc as gc

PICTURES = Path("pictures")
PICTURES.mkdir(exist_ok=True)
INPUTS, UNITS, CLASSES, POINTS = 10, 32, 10, 50

n, i, j, c = gc.indices("n i j c")
x, label = gc.tensor("x", POINTS, INPUTS, dtype="float64"), gc.tensor("label", POINTS, dtype="int64")
alpha = gc.tensor("alpha", (), dtype="float64")
SHAPES = {}


def weights(name, *shape):
    """The point at alpha on the line through `name` in the direction `name.way`."""
    start = gc.parameter(name, *shape, init="he_normal" if len(shape) == 2 else "zeros", dtype="float64")
    at, way, moved = (i, j)[: len(shape)], gc.tensor(f"{name}.way", *shape, dtype="float64"), gc.tensor(f"{name}.moved")
    SHAPES.update({start.name: shape, way.name: shape})
    moved[at] = start[at] + alpha[()] * way[at]
    return moved


def affine(source, name, outputs, inputs, function=lambda u: u):
    W, b, out = weights(f"{name}.W", outputs, inputs), weights(f"{name}.b", outputs), gc.tensor(name)
    out[n, i] = function(gc.sum(W[i, j] * source[n, j], over=j) + b[i])
    return out


def softmax(scores):
    loss = gc.tensor("loss")
    loss[()] = gc.mean(gc.logsumexp(scores[n, c], over=c) - scores[n, label[n]], over=n)
    return loss


def svm(scores):
    loss, margin = gc.tensors("loss margin")
    margin[n] = gc.sum(gc.where(c != label[n], gc.relu(scores[n, c] - scores[n, label[n]] + 1), 0), over=c)
    loss[()] = gc.mean(margin[n], over=n)
    return loss


def deep():
    h = x
    for number in (1, 2, 3):
        h = affine(h, f"layer{number}", UNITS, INPUTS if number == 1 else UNITS, gc.relu)
    return affine(h, "layer4", CLASSES, UNITS)


def drawn(loss, seed):
    """Weights and a direction, both at random and as large as He's initialiser makes them."""
    random, scale = np.random.default_rng(seed), {1: 0.1, 2: 1.0}
    return {name: scale[len(shape)] * np.sqrt(2 / shape[-1]) * random.normal(size=shape)
            for name, shape in SHAPES.items() if name in loss.inputs}


random = np.random.default_rng(0)
data = {"x": random.normal(size=(POINTS, INPUTS)), "label": random.integers(0, CLASSES, POINTS)}
LOSSES = {
    "softmax of a linear classifier": softmax(affine(x, "layer", CLASSES, INPUTS)),
    "SVM, a linear classifier": svm(affine(x, "layer", CLASSES, INPUTS)),
    "softmax of four layers with ReLU": softmax(deep()),
}
figure, axes = plt.subplots(1, 4, figsize=(17, 4), layout="constrained")
bends, steps = {}, np.linspace(-1.5, 1.5, 201)
for axis, (name, loss) in zip(axes, LOSSES.items(), strict=False):
    along = gc.vmap(loss, {alpha: gc.dim("steps")})
    cut = gc.compile(along)
    curves = [cut(alpha=steps, **data, **drawn(cut, seed)) for seed in range(6)]
    bends[name] = float((np.diff(curves, 2) / np.array(curves)[:, 1:-1]).min())
    axis.plot(steps, np.transpose(curves), lw=1.5)
    axis.set(title=name, xlabel="α")
    print(f"{name:32} smallest second difference {bends[name]:8.1e}: {'convex' if bends[name] > -1e-12 else 'not convex'}")

print(f"\n{gc.loops(along)}\n")

# From one trained net to another: `loss` and `cut` are those of the deep net.
train = gc.compile(loss, updates=gc.optim.adam(loss, lr=0.01))
still = {name: np.zeros(shape) for name, shape in SHAPES.items() if name in train.inputs and name.endswith("way")}
nets = [train.init(seed=seed) for seed in range(4)]
for state in nets:
    for _ in range(300):
        train(state, alpha=0.0, **data, **still)
between = np.linspace(-0.3, 1.3, 161)
for one, other in ((0, 1), (0, 2), (1, 2), (2, 3)):
    ways = {name: nets[other][name.removesuffix(".way")] - nets[one][name.removesuffix(".way")] for name in still}
    valley = cut(nets[one], alpha=between, **data, **ways)
    axes[3].plot(between, valley, lw=1.5)
ends, middle = valley[[30, 130]], valley[80]
axes[3].set(title="from one trained net to another", xlabel="α")
axes[0].set_ylabel("loss at W + α·direction")
for axis in axes:
    axis.spines[["top", "right"]].set_visible(False)
figure.savefig(PICTURES / "loss_landscape.png", dpi=120)
print(f"between two trained nets: loss {ends[0]:.4f} and {ends[1]:.4f} at the ends, {middle:.2f} in the middle")

difference = gc.check_grad(loss, alpha, alpha=0.3, **data, **drawn(cut, 0))
print(f"numeric check along a slice of the deep net: {difference:.1e} relative difference")
convex, also_convex, bent = bends.values()
assert convex > -1e-12 and also_convex > -1e-12 and bent < -1e-4, bends
assert max(ends) < 0.01 < 1 < middle
