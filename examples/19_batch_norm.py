"""Batch normalisation: six layers of sigmoids stand still, because each divides the gradient by four or more; normalised, they learn.

Writes pictures/batch_norm.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import graphc as gc

PICTURES = Path("pictures")
PICTURES.mkdir(exist_ok=True)
LAYERS, WIDTH = 6, 32

N = gc.dim("N")
n, i, c = gc.indices("n i c")
x, label = gc.tensor("x", N, 64), gc.tensor("label", N, dtype="int64")


def net(normalised):
    layers = []
    for _ in range(LAYERS):
        layers += [gc.nn.Linear(WIDTH), gc.nn.BatchNorm1d(), gc.nn.Sigmoid()] if normalised else [gc.nn.Linear(WIDTH), gc.nn.Sigmoid()]
    return gc.nn.Sequential(*layers, gc.nn.Linear(10))


# What a layer does: subtract the mean of the batch, divide by its deviation, scale and shift again.
u, L = gc.tensor("u", N, 3), gc.tensor("L")
weight, bias = gc.tensor("weight", 3), gc.tensor("bias", 3)
y = gc.nn.batch_norm(u, None, None, weight, bias, training=True)
L[()] += gc.sin(y[n, i])
print(gc.loops(y))
random = np.random.default_rng(0)
arrays = {"u": 5 + 2 * random.normal(size=(7, 3)), "weight": np.ones(3), "bias": np.zeros(3)}
print(f"\nnumeric check: {gc.check_grad(L, [u, weight, bias], **arrays):.1e} relative difference")
normal = gc.compile(y)(**{name: a.astype("float32") for name, a in arrays.items()})
print(f"means {np.abs(normal.mean(axis=0)).round(6)}, deviations {normal.std(axis=0).round(5)}\n")

digits = load_digits()
order = random.permutation(len(digits.data))
pixels, labels = (digits.data[order] / 16).astype("float32"), digits.target[order].astype("int64")
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
accuracy, sizes = {}, {}
for name, normalised in (("plain", False), ("batch norm", True)):
    mlp = net(normalised)
    loss, scores = gc.nn.cross_entropy(mlp(x), label), mlp(x, training=False)
    weights = [w for w in gc.parameters(loss) if w.name.startswith("linear") and w.name.endswith("weight")]
    updates = gc.optim.sgd(loss, lr=0.1, momentum=0.9) | mlp.updates
    state, history = gc.fit(loss, updates, {"x": pixels[:1437], "label": labels[:1437]}, epochs=20, batch_size=64, progress=False)
    slopes = gc.compile(gc.grad(loss, weights))
    sizes[name] = [float(np.sqrt((g**2).mean())) for g in slopes(slopes.init(seed=0), x=pixels[:64], label=labels[:64])]
    accuracy[name] = float((gc.compile(scores)(state, x=pixels[1437:]).argmax(1) == labels[1437:]).mean())
    print(f"{name:10} loss {history['loss'][-1]:.3f}, {accuracy[name]:.1%} of {len(labels) - 1437} unseen digits are right, "
          f"gradient of the first layer {sizes[name][0]:.1e}, of the last {sizes[name][-1]:.1e}")
    left.semilogy(range(1, LAYERS + 2), sizes[name], "o-", label=name)
    right.plot(range(1, 21), history["loss"], label=f"{name}: {accuracy[name]:.1%} of unseen digits")
left.set(xlabel="layer", ylabel="gradient before training (root mean square)")
right.set(xlabel="epoch", ylabel="loss in training")
for axis in (left, right):
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
figure.savefig(PICTURES / "batch_norm.png", dpi=120)

np.testing.assert_allclose(normal.mean(axis=0), 0, atol=1e-5)
np.testing.assert_allclose(normal.std(axis=0), 1, atol=1e-4)
assert sizes["plain"][0] < 1e-3 * sizes["plain"][-1] and sizes["batch norm"][0] > 1e-2 * sizes["batch norm"][-1], sizes
assert accuracy["plain"] < 0.5 and accuracy["batch norm"] > 0.95, accuracy
