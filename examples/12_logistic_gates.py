"""Logistic regression learns OR, AND and NAND. XOR it learns as soon as x1·x2 is a third feature, and not before.

Writes pictures/gates.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import graphc as gc

PICTURES = Path("pictures")
PICTURES.mkdir(exist_ok=True)

G, N, K = gc.dims("G N K")  # gates, points, features
g, n, k = gc.indices("g n k")
psi, t, rate = gc.tensor("psi", N, K), gc.tensor("t", G, N), gc.tensor("rate", ())
w, b = gc.parameter("w", G, K, init="zeros"), gc.parameter("b", G, init="zeros")
p, loss, w_new, b_new = gc.tensors("p loss w_new b_new")
p[g, n] = gc.sigmoid(gc.sum(w[g, k] * psi[n, k], over=k) + b[g])
loss[()] += -(t[g, n] * gc.log(p[g, n]) + (1 - t[g, n]) * gc.log(1 - p[g, n])) / N
dw, db = gc.grad(loss, [w, b])
w_new[g, k] = w[g, k] - rate[()] * dw[g, k]
b_new[g] = b[g] - rate[()] * db[g]
print(gc.loops(loss, w_new, b_new))
step, probability = gc.compile(loss, updates={w: w_new, b: b_new}), gc.compile(p)

CORNERS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], "float32")
TRUTH = {"OR": [0, 1, 1, 1], "AND": [0, 0, 0, 1], "NAND": [1, 1, 1, 0], "XOR": [0, 1, 1, 0]}


def plain(x: np.ndarray) -> np.ndarray:
    return x


def with_product(x: np.ndarray) -> np.ndarray:
    """ψ(x) = (x1, x2, x1·x2)."""
    return np.column_stack([x, x[:, 0] * x[:, 1]])


def train(features, gates, steps=4000):
    """Weights of all gates at once: they are rows that do not mix."""
    given = {"psi": features(CORNERS), "t": np.array([TRUTH[gate] for gate in gates], "float32"), "rate": np.float32(1)}
    state = step.init(G=len(gates), K=given["psi"].shape[1])
    for _ in range(steps):
        last = float(step(state, **given))
    return state, last


def picture(axis, title, features, state):
    side = np.linspace(-0.4, 1.4, 100, dtype="float32")
    plane = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    shown = probability(state, psi=features(plane)).reshape(100, 100)
    axis.contourf(side, side, shown, levels=np.linspace(0, 1, 11), cmap="RdBu_r", alpha=0.8)
    if np.ptp(shown) > 0.1:
        axis.contour(side, side, shown, levels=[0.5], colors="black", linewidths=1.5)
    axis.scatter(*CORNERS.T, c=TRUTH[title.split()[0]], cmap="RdBu_r", vmin=-0.2, vmax=1.2, s=120, edgecolors="black", zorder=3)
    axis.set(title=title, xticks=[0, 1], yticks=[0, 1], xlabel="x1", aspect="equal")


# By hand, as on the blackboard: OR = σ(20·x1 + 20·x2 − 10), AND = σ(20·x1 + 20·x2 − 30), NAND = 1 − AND.
by_hand = {"w": np.array([[20, 20], [20, 20], [-20, -20]], "float32"), "b": np.array([-10, -30, 30], "float32")}
for row, gate in zip(probability(by_hand, psi=CORNERS), TRUTH, strict=False):
    print(f"{gate:4} by hand: {row.round(4)}")
    assert np.abs(row - TRUTH[gate]).max() < 1e-4

linear, _ = train(plain, ["OR", "AND", "NAND"])
alone, floor = train(plain, ["XOR"])
lifted, loss_lifted = train(with_product, ["XOR"])
print(f"XOR of x1, x2:        loss {floor:.6f} = ln 2, weights {alone['w'][0]}, probabilities {probability(alone, psi=CORNERS)[0]}")
print(f"XOR of x1, x2, x1·x2: loss {loss_lifted:.6f}, probabilities {probability(lifted, psi=with_product(CORNERS))[0].round(3)}")

figure, axes = plt.subplots(1, 5, figsize=(14, 3.2), layout="constrained", sharey=True)
for axis, gate, row in zip(axes, ("OR", "AND", "NAND"), range(3), strict=False):
    picture(axis, gate, plain, {name: a[row : row + 1] for name, a in linear.items()})
picture(axes[3], "XOR of x1, x2: impossible", plain, alone)
picture(axes[4], "XOR of x1, x2, x1·x2", with_product, lifted)
axes[0].set_ylabel("x2")
figure.savefig(PICTURES / "gates.png", dpi=120)

random = np.random.default_rng(0)
arrays = {"psi": CORNERS, "t": np.array(list(TRUTH.values())), "w": random.normal(size=(4, 2)), "b": random.normal(size=4)}
print(f"numeric check: {gc.check_grad(loss, [w, b], **arrays):.1e} relative difference")

assert np.array_equal(probability(linear, psi=CORNERS) > 0.5, np.array([TRUTH["OR"], TRUTH["AND"], TRUTH["NAND"]]) > 0)
assert abs(floor - np.log(2)) < 1e-6 and not alone["w"].any()  # the loss is convex: no weights are better than none
assert np.array_equal(probability(lifted, psi=with_product(CORNERS))[0] > 0.5, np.array(TRUTH["XOR"]) > 0)
