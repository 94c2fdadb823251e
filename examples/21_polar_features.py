"""Two rings: no line separates them, but r = hypot(x1, x2) and θ = atan2(x2, x1) do. The classifier stays linear, its features change.

Writes pictures/polar_features.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import graphc as gc

PICTURES = Path("pictures")
PICTURES.mkdir(exist_ok=True)

N = gc.dim("N")
n, k = gc.indices("n k")
x, t = gc.tensor("x", N, 2), gc.tensor("t", N)
w, b = gc.parameter("w", 2, init="zeros"), gc.parameter("b", init="zeros")
polar = gc.tensor("polar")
polar[n, 0] = gc.hypot(x[n, 0], x[n, 1])
polar[n, 1] = gc.atan2(x[n, 1], x[n, 0])


def classifier(features):
    """Logistic regression: probabilities and loss."""
    p, loss = gc.tensors("p loss")
    p[n] = gc.sigmoid(gc.sum(w[k] * features[n, k], over=k) + b[()])
    loss[()] = -gc.mean(t[n] * gc.log(p[n]) + (1 - t[n]) * gc.log(1 - p[n]), over=n)
    return p, loss


random = np.random.default_rng(0)
angle, kind = random.uniform(-np.pi, np.pi, 400), random.integers(0, 2, 400)
radius = np.where(kind == 1, 2.0, 0.8) + 0.15 * random.normal(size=400)
data = {"x": np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]).astype("float32"), "t": kind.astype("float32")}

right, shown = {}, {}
side = np.linspace(-2.8, 2.8, 200, dtype="float32")
plane = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
for name, features in {"x1, x2": x, "r, θ": polar}.items():
    p, loss = classifier(features)
    step, probability = gc.compile(loss, updates=gc.optim.sgd(loss, lr=1.0)), gc.compile(p)
    state = step.init()
    for _ in range(1000):
        last = float(step(state, **data))
    right[name] = float(((probability(state, x=data["x"]) > 0.5) == kind).mean())
    shown[name] = probability(state, x=plane).reshape(200, 200)
    print(f"features {name}: loss {last:.4f}, {right[name]:.1%} right, weights {state['w'].round(2)}, bias {float(state['b']):.2f}")
print(f"\n{gc.loops(loss)}")

figure, axes = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
for axis, (name, values) in zip(axes[::2], shown.items(), strict=True):
    axis.contourf(side, side, values, levels=np.linspace(0, 1, 11), cmap="RdBu_r", alpha=0.7)
    axis.scatter(*data["x"].T, c=kind, cmap="RdBu_r", vmin=-0.2, vmax=1.2, s=14, edgecolors="black", linewidths=0.4)
    axis.set(title=f"linear in {name}: {right[name]:.0%} right", xlabel="x1", ylabel="x2", aspect="equal")
r, theta = gc.compile(polar)(x=data["x"]).T
axes[1].scatter(r, theta, c=kind, cmap="RdBu_r", vmin=-0.2, vmax=1.2, s=14, edgecolors="black", linewidths=0.4)
axes[1].axline((-float(state["b"]) / state["w"][0], 0), (-float(state["b"] + state["w"][1]) / state["w"][0], 1), color="black")
axes[1].set(title="the same points as r and θ", xlabel="r", ylabel="θ", xlim=(0, 2.8), ylim=(-3.3, 3.3))
figure.savefig(PICTURES / "polar_features.png", dpi=120)

arrays = {"x": random.normal(size=(5, 2)), "t": np.array([0, 1, 1, 0, 1]), "w": random.normal(size=2), "b": 0.3}
difference = gc.check_grad(loss, [w, b, x], **arrays)  # with respect to the points as well, through hypot and atan2
print(f"\nnumeric check: {difference:.1e} relative difference")
assert right["x1, x2"] < 0.65 and right["r, θ"] == 1
