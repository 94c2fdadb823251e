"""XOR is AND of OR and NAND: two hidden units by hand, and a net of two tanh units that finds its own.

Writes pictures/xor.png and pictures/xor_network.svg.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import graphc as gc

PICTURES = Path("pictures")
PICTURES.mkdir(exist_ok=True)
CORNERS, XOR = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], "float32"), np.array([0, 1, 1, 0])

# By hand: a hidden unit for OR, one for NAND, and AND of both.
N = gc.dim("N")
n, i, j, h, c = gc.indices("n i j h c")
x = gc.tensor("x", N, 2)
either, not_both, y = gc.tensors("either not_both y")
either[n] = gc.sigmoid(20 * x[n, 0] + 20 * x[n, 1] - 10)
not_both[n] = gc.sigmoid(30 - 20 * x[n, 0] - 20 * x[n, 1])
y[n] = gc.sigmoid(20 * either[n] + 20 * not_both[n] - 30)
by_hand = gc.compile(y)
print(f"{gc.loops(y)}\n\nby hand: {by_hand(x=CORNERS).round(4)}\n")

# Learned: 2 inputs, 2 tanh units, softmax of 2 classes; SGD with momentum 0.1, rate 0.01, batches of 10, L2 0.001.
label = gc.tensor("label", N, dtype="int64")
W1, b1 = gc.parameter("W1", 2, 2, init="normal"), gc.parameter("b1", 2, init="zeros")
W2, b2 = gc.parameter("W2", 2, 2, init="normal"), gc.parameter("b2", 2, init="zeros")
hidden, scores, probability, loss = gc.tensors("hidden scores probability loss")
hidden[n, h] = gc.tanh(gc.sum(W1[h, j] * x[n, j], over=j) + b1[h])
scores[n, c] = gc.sum(W2[c, h] * hidden[n, h], over=h) + b2[c]
probability[n, c] = gc.exp(scores[n, c]) / gc.sum(gc.exp(scores[n, i]), over=i)
loss[()] = -gc.mean(gc.log(probability[n, label[n]]), over=n)
updates = gc.optim.sgd(loss, lr=0.01, momentum=0.1, weight_decay=0.001)
print(gc.loops(loss, *updates.values()))
gc.draw(loss, *gc.grad(loss, [W1, b1, W2, b2])).save(PICTURES / "xor_network.svg")
look = gc.compile([probability, hidden])

random = np.random.default_rng(0)
kind = random.integers(0, 4, 400)
points = (2 * CORNERS[kind] - 1 + 0.25 * random.normal(size=(400, 2))).astype("float32")
labels = XOR[kind].astype("int64")
state, history = gc.fit(loss, updates, {"x": points, "label": labels}, epochs=400, batch_size=10, seed=3, progress=False)
found, warped = look(state, x=points)
right = float((found.argmax(1) == labels).mean())
corners = look(state, x=2 * CORNERS - 1)[0].argmax(1)
print(f"\nlearned: loss {history['loss'][0]:.3f} → {history['loss'][-1]:.4f}, {right:.1%} right, the corners are {corners}")

figure, axes = plt.subplots(1, 3, figsize=(13.5, 4.2), layout="constrained")
side = np.linspace(-1.9, 1.9, 200, dtype="float32")
plane = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
values = [by_hand(x=(plane + 1) / 2), look(state, x=plane)[0][:, 1]]
for axis, value, title in zip(axes, values, ["OR, NAND and AND by hand", f"learned: {right:.0%} right"], strict=False):
    axis.contourf(side, side, value.reshape(200, 200), levels=np.linspace(0, 1, 11), cmap="RdBu_r", alpha=0.8)
    axis.contour(side, side, value.reshape(200, 200), levels=[0.5], colors="black", linewidths=1.5)
    axis.scatter(*points.T, c=labels, cmap="RdBu_r", vmin=-0.2, vmax=1.2, s=16, edgecolors="black", linewidths=0.4)
    axis.set(title=title, xlabel="x1", ylabel="x2", xlim=(-1.9, 1.9), ylim=(-1.9, 1.9), aspect="equal")
axes[2].scatter(*warped.T, c=labels, cmap="RdBu_r", vmin=-0.2, vmax=1.2, s=16, edgecolors="black", linewidths=0.4)
(w, v), offset = state["W2"][1] - state["W2"][0], state["b2"][1] - state["b2"][0]
axes[2].axline((0, -offset / v), slope=-w / v, color="black", lw=1.5)
axes[2].set(title="what the hidden units make of the points", xlabel="h1", ylabel="h2", xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal")
figure.savefig(PICTURES / "xor.png", dpi=120)

arrays = {w.name: random.normal(size=w.shape) for w in (W1, b1, W2, b2)}
print(f"numeric check: {gc.check_grad(loss, [W1, b1, W2, b2], x=points[:5], label=labels[:5], **arrays):.1e} relative difference")
assert np.abs(by_hand(x=CORNERS) - XOR).max() < 1e-4
assert np.array_equal(corners, XOR) and right > 0.99, right
