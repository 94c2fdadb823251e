"""Two layers approximate any function of one variable: n ReLU units bend a line n times; four units make a bump, and K bumps a staircase.

The staircase is built, not trained: its error is at most that of K steps, max |f'|·width. Writes pictures/universal_approximation.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import graphc as gc

PICTURES = Path("pictures")
PICTURES.mkdir(exist_ok=True)

N, H = gc.dims("N H")
n, h = gc.indices("n h")
x, t = gc.tensor("x", N), gc.tensor("t", N)
w, b = gc.parameter("w", H), gc.parameter("b", H)
v, c = gc.parameter("v", H), gc.parameter("c", init="zeros")
y, loss = gc.tensors("y loss")
y[n] = gc.sum(v[h] * gc.relu(w[h] * x[n] + b[h]), over=h) + c[()]
loss[()] = gc.mean((y[n] - t[n]) ** 2, over=n)
print(gc.loops(loss, *gc.grad(loss, [w, b, v, c])))
net = gc.compile(y)
step = gc.compile(loss, updates=gc.optim.adam(loss, lr=gc.optim.cosine_annealing_lr(0.02, T_max=6000)))


def target(x):
    return np.sin(2 * np.pi * x) + 0.5 * np.cos(5 * np.pi * x)


def trained(units):
    """From evenly spaced bends, each unit with its own side."""
    state = step.init(H=units)
    sign, bends = np.where(np.arange(units) % 3 == 2, -1.0, 1.0), (np.arange(units) + 0.5) / units
    state["w"][:], state["b"][:] = sign, -sign * bends
    state["v"][:] = 0.1 * np.random.default_rng(units).normal(size=units)
    for _ in range(6000):
        step(state, x=grid, t=target(grid))
    return state


def bump(left, right, height, slope=2000.0):
    """ReLU(s(x - left)) - ReLU(s(x - left) - 1) - ReLU(s(x - right)) + ReLU(s(x - right) - 1), times the height: four units."""
    signs = np.array([1, -1, -1, 1])
    return np.full(4, slope), -slope * np.array([left, left, right, right]) - np.array([0, 1, 0, 1]), height * signs


def staircase(bumps):
    """The function's value in the middle of each of `bumps` intervals, as 4·bumps units."""
    edges = np.linspace(0, 1, bumps + 1) - 1e-3
    units = [bump(a, b, target((a + b) / 2)) for a, b in zip(edges[:-1], edges[1:], strict=True)]
    return {name: np.concatenate(part).astype("float32") for name, part in zip("wbv", zip(*units, strict=True), strict=True)}


grid = np.linspace(0, 1, 400, dtype="float32")
target_grid, slope = target(grid), np.abs(np.diff(target(np.linspace(0, 1, 10_000)))).max() * 9_999
target = np.vectorize(target, otypes=["float32"])
errors, steps = {}, {}
figure, axes = plt.subplots(2, 5, figsize=(16, 5.4), layout="constrained", sharex=True, sharey=True)
for axis, units in zip(axes[0], (3, 4, 6, 8, 20), strict=True):
    state = trained(units)
    shown = net(state, x=grid)
    errors[units] = float(np.sqrt(np.mean((shown - target_grid) ** 2)))
    bends = -state["b"] / state["w"]
    bends = bends[(bends > 0) & (bends < 1)]
    axis.plot(grid, shown, color="tab:orange", lw=2)
    axis.plot(bends, net(state, x=bends.astype("float32")), "o", color="tab:orange", ms=5)
    axis.set(title=f"{units} ReLU units: {len(bends)} bends, error {errors[units]:.3f}")
for axis, bumps in zip(axes[1], (5, 10, 20, 40, 80), strict=True):
    middle = (np.arange(2000, dtype="float32") + 0.5) / 2000
    shown = net({**staircase(bumps), "c": np.float32(0)}, x=middle)
    inside = np.abs((middle + 1e-3) * bumps % 1 - 0.0) * 1 / bumps > 1e-3  # away from the flanks of the bumps
    steps[bumps] = float(np.abs(shown - target(middle))[inside].max())
    axis.plot(middle, shown, color="tab:green", lw=1.5)
    axis.set(title=f"{bumps} bumps of 4 units: error {steps[bumps]:.3f}", xlabel="x")
for axis in axes.flat:
    axis.plot(grid, target_grid, "k--", lw=0.8)
    axis.spines[["top", "right"]].set_visible(False)
figure.savefig(PICTURES / "universal_approximation.png", dpi=120)
print("\nroot mean square error of trained nets:", {k: round(e, 4) for k, e in errors.items()})
print("largest error of bumps:", {k: round(e, 4) for k, e in steps.items()}, "bound:", {k: round(slope / k, 4) for k in steps})

random = np.random.default_rng(0)
arrays = {a.name: random.normal(size=(5,) if a.ndim else ()) for a in (w, b, v, c)}
print(f"numeric check: {gc.check_grad(loss, [w, b, v, c], x=grid[::40], t=target_grid[::40], **arrays):.1e} relative difference")
assert errors[20] < 0.05 and list(errors.values()) == sorted(errors.values(), reverse=True), errors
assert all(error <= slope / bumps for bumps, error in steps.items()), steps
