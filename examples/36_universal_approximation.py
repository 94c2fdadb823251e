"""Two layers approximate any function of one variable: n ReLU units bend a line n times, and four of them make a bump.

The nets are trained from 16 starts at once. The bumps are built, and their error is at most max |f'| times their width.
Writes pictures/universal_approximation.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import graphc as gc

PICTURES = Path("pictures")
PICTURES.mkdir(exist_ok=True)
STARTS = 16

R, N, H = gc.dims("R N H")  # starts, points, hidden units
r, n, h = gc.indices("r n h")
x, t = gc.tensor("x", N), gc.tensor("t", N)
w, b, v, c = gc.parameter("w", R, H), gc.parameter("b", R, H), gc.parameter("v", R, H), gc.parameter("c", R, init="zeros")
y, error, loss = gc.tensors("y error loss")
y[r, n] = gc.sum(v[r, h] * gc.relu(w[r, h] * x[n] + b[r, h]), over=h) + c[r]
error[r] = gc.mean((y[r, n] - t[n]) ** 2, over=n)
loss[()] += error[r]  # the rows do not mix: each start descends for itself
print(gc.loops(loss, *gc.grad(loss, [w, b, v, c])))
net = gc.compile(y)
step = gc.compile(error, updates=gc.optim.adam(loss, lr=gc.optim.cosine_annealing_lr(0.1, T_max=2000)))


def target(x):
    return (np.sin(2 * np.pi * x) + 0.5 * np.cos(5 * np.pi * x)).astype("float32")


def trained(units):
    """The best of the starts, which differ in where the lines are bent and to which side the units look."""
    random, state = np.random.default_rng(0), step.init(R=STARTS, H=units)
    sign, bends = random.choice([-16, 16], (STARTS, units)), (np.arange(units) + random.random((STARTS, units))) / units
    state |= {"w": sign.astype("float32"), "b": (-sign * bends).astype("float32")}
    state["v"][:] = 0.1 * random.normal(size=(STARTS, units))
    for _ in range(2000):
        errors = step(state, x=grid, t=target(grid))
    best = errors.argmin()
    return {name: state[name][best : best + 1] for name in "wbvc"}


def bumps(count):
    """f's middle value on each of `count` intervals: relu(s(x-l)) - relu(s(x-l)-1) - relu(s(x-r)) + relu(s(x-r)-1), times that value."""
    edges, steep = np.linspace(0, 1, count + 1), 4000.0
    left, right = edges[:-1, None], edges[1:, None]
    offsets = -steep * np.hstack([left, left, right, right]) - [0, 1, 0, 1]
    heights = target((left + right) / 2) * [1, -1, -1, 1]
    arrays = {"w": np.full(4 * count, steep), "b": offsets.ravel(), "v": heights.ravel()}
    return {name: a[None].astype("float32") for name, a in arrays.items()} | {"c": np.zeros(1, "float32")}


grid = np.linspace(0, 1, 200, dtype="float32")
fine = ((np.arange(8000) + 0.5) / 8000).astype("float32")
slope = float(np.abs(np.diff(target(fine))).max() * 8000)
learned, built = {}, {}
figure, axes = plt.subplots(2, 5, figsize=(16, 5.4), layout="constrained", sharex=True, sharey=True)
for axis, units in zip(axes[0], (3, 4, 6, 8, 20), strict=True):
    state = trained(units)
    learned[units] = float(np.sqrt(np.mean((net(state, x=fine)[0] - target(fine)) ** 2)))
    bends = -state["b"][0] / state["w"][0]
    bends = bends[(bends > 0) & (bends < 1)]
    axis.plot(fine, net(state, x=fine)[0], color="tab:orange", lw=2)
    axis.plot(bends, net(state, x=bends)[0], "o", color="tab:orange", ms=5)
    axis.set(title=f"{units} ReLU units, error {learned[units]:.3f}")
for axis, count in zip(axes[1], (5, 10, 20, 40, 80), strict=True):
    shown = net(bumps(count), x=fine)[0]
    flat = fine * count % 1 > 5e-4 * count  # beside the flanks, where one bump takes over from the other
    built[count] = float(np.abs(shown - target(fine))[flat].max())
    axis.plot(fine, shown, color="tab:green", lw=1.5)
    axis.set(title=f"{count} bumps, error ≤ {built[count]:.3f}", xlabel="x")
for axis in axes.flat:
    axis.plot(fine, target(fine), "k--", lw=0.8)
    axis.spines[["top", "right"]].set_visible(False)
figure.savefig(PICTURES / "universal_approximation.png", dpi=120)
print("\ntrained, root mean square error:", ", ".join(f"{units} units {error:.4f}" for units, error in learned.items()))
print("bumps, largest error:", ", ".join(f"{count}: {error:.3f} of at most {slope / count:.3f}" for count, error in built.items()))

random = np.random.default_rng(0)
arrays = {a.name: random.normal(size=(2, 5)[: a.ndim]) for a in (w, b, v, c)}
print(f"numeric check: {gc.check_grad(loss, [w, b, v, c], x=grid[::40], t=target(grid[::40]), **arrays):.1e} relative difference")
assert learned[20] < 0.03 and learned[8] < 0.08 and learned[3] > 0.1, learned
assert all(error <= slope / count for count, error in built.items()), built
