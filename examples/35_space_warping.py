"""What a hidden layer does to space: h = Wx + b turns and shears it, and no line separates what none separated before;
ReLU(Wx + b) folds three quadrants onto their edges, and then one line does.

Writes pictures/space_warping.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import graphc as gc

PICTURES = Path("pictures")
PICTURES.mkdir(exist_ok=True)

N = gc.dim("N")
n, i, j = gc.indices("n i j")
x, t = gc.tensor("x", N, 2), gc.tensor("t", N)
W, b = gc.parameter("W", 2, 2, init="he_normal"), gc.parameter("b", 2, init="zeros")
w, c = gc.parameter("w", 2, init="normal"), gc.parameter("c", init="zeros")


def net(activation):
    """Hidden layer, probabilities and loss."""
    h, p, loss = gc.tensors("h p loss")
    h[n, i] = activation(gc.sum(W[i, j] * x[n, j], over=j) + b[i])
    p[n] = gc.sigmoid(gc.sum(w[i] * h[n, i], over=i) + c[()])
    loss[()] += -(t[n] * gc.log(p[n]) + (1 - t[n]) * gc.log(1 - p[n])) / N
    return h, p, loss


random = np.random.default_rng(0)
points = random.uniform(-2, 2, (900, 2))
edge = np.maximum(points @ [1.0, 0.6], points @ [-1.0, 0.6]) - 0.7  # the classes meet along a bent line
points, kind = points[np.abs(edge) > 0.12].astype("float32"), (edge > 0)[np.abs(edge) > 0.12]

NETS = {"h = Wx + b": lambda u: u, "h = ReLU(Wx + b)": gc.relu}
side = np.linspace(-2, 2, 200, dtype="float32")
plane = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
ticks, fine = np.linspace(-2, 2, 17, dtype="float32"), np.linspace(-2, 2, 100, dtype="float32")
threads = [np.stack([np.full(100, at), fine], axis=-1) for at in ticks] + [np.stack([fine, np.full(100, at)], axis=-1) for at in ticks]
figure, axes = plt.subplots(2, 2, figsize=(9, 8.4), layout="constrained")
right = {}
for row, (name, activation) in zip(axes, NETS.items(), strict=True):
    h, p, loss = net(activation)
    step, look = gc.compile(loss, updates=gc.optim.adam(loss, lr=0.05)), gc.compile([p, h])
    state = step.init(seed=2)
    for _ in range(600):
        last = float(step(state, x=points, t=kind.astype("float32")))
    found, warped = look(state, x=points)
    right[name] = float(((found > 0.5) == kind).mean())
    print(f"{name:17} loss {last:.4f}, {right[name]:.1%} right")
    row[0].contourf(side, side, look(state, x=plane)[0].reshape(200, 200), levels=np.linspace(0, 1, 11), cmap="RdBu_r", alpha=0.6)
    for thread in threads:
        row[0].plot(*thread.T, color="gray", lw=0.5)
        row[1].plot(*look(state, x=thread)[1].T, color="gray", lw=0.5, zorder=0)
    for axis, places in zip(row, (points, warped), strict=True):
        axis.scatter(*places.T, c=kind, cmap="RdBu_r", vmin=-0.2, vmax=1.2, s=12, edgecolors="black", linewidths=0.3)
    low, high = warped.min(axis=0) - 0.3, warped.max(axis=0) + 0.3
    row[1].axline((0, -state["c"] / state["w"][1]), slope=-state["w"][0] / state["w"][1], color="black", lw=2)
    row[0].set(title=f"{name}: {right[name]:.0%} right", xlabel="x1", ylabel="x2", xlim=(-2, 2), ylim=(-2, 2))
    row[1].set(title=f"hidden space: {'a' if right[name] == 1 else 'no'} line separates", xlabel="h1", ylabel="h2")
    row[1].set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
figure.savefig(PICTURES / "space_warping.png", dpi=120)
print(f"\n{gc.loops(loss)}")

arrays = {a.name: random.normal(size=a.shape) for a in (W, b, w, c)}
difference = gc.check_grad(loss, [W, b, w, c], x=points[:9], t=kind[:9].astype(float), **arrays)
print(f"\nnumeric check: {difference:.1e} relative difference")
assert right["h = Wx + b"] < 0.9, right
assert right["h = ReLU(Wx + b)"] == 1, right
