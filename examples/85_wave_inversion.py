"""What is inside? Waves are sent through a body and recorded at its edge; the speed of sound within is found from the records.

The wave equation is one statement that reads itself one and two steps before; its gradient runs backwards in time (Tarantola, Geophysics
1984). Writes pictures/wave_inversion.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from tqdm import trange

import graphc as gc

PICTURES, SIZE, TIME, SHOTS, STEPS = Path("pictures"), 64, 150, 12, 120
t, s, r = gc.indices("t s r")


def waves(speed, calm, pulse, shot_y, shot_x, size):
    """u[t,s,y,x] of every shot: u'' = c²·Δu + source, 0 before the first step and outside, absorbed where `calm` is less than 1."""
    u, y, x = gc.tensor("u"), gc.index("y", size), gc.index("x", size)
    v = gc.pad(u, 0)
    laplace = v[t - 1, s, y - 1, x] + v[t - 1, s, y + 1, x] + v[t - 1, s, y, x - 1] + v[t - 1, s, y, x + 1] - 4 * v[t - 1, s, y, x]
    source = gc.where((y == shot_y[s]) & (x == shot_x[s]), pulse[t], 0)
    u[t, s, y, x] = calm[y, x] * (2 * v[t - 1, s, y, x] - calm[y, x] * v[t - 2, s, y, x] + speed[y, x] ** 2 * laplace) + source
    return u


def program(size, time, shots, receivers):
    """The records at the receivers, and how far they are from those given; c is looked for."""
    speed = gc.parameter("speed", size, size, init=0.5)
    calm, pulse = gc.tensor("calm", size, size), gc.tensor("pulse", time)
    shot_y, shot_x = gc.tensors("shot_y shot_x", shots, dtype="int64")
    near_y, near_x = gc.tensors("near_y near_x", receivers, dtype="int64")
    given, record, loss = gc.tensor("given", time, shots, receivers), gc.tensor("record"), gc.tensor("loss")
    u = waves(speed, calm, pulse, shot_y, shot_x, size)
    record[t, s, r] = u[t, s, near_y[r], near_x[r]]
    loss[()] += (record[t, s, r] - given[t, s, r]) ** 2
    return speed, u, record, loss


def ring(count, radius, size):
    """Places on a circle."""
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return [np.rint(size / 2 + radius * f(angle)).astype("int64") for f in (np.sin, np.cos)]


def body(size):
    """Speeds: a disc that is slower, with a faster and a slower organ in it."""
    y, x = np.mgrid[:size, :size] / size - 0.5
    c = np.full((size, size), 0.5)
    for cy, cx, ry, rx, change in ((0, 0, 0.3, 0.26, -0.03), (-0.08, -0.1, 0.1, 0.07, 0.06), (0.1, 0.08, 0.08, 0.1, -0.04)):
        c += change / (1 + np.exp((np.hypot((y - cy) / ry, (x - cx) / rx) - 1) * 20))
    return c.astype("float32")


speed, u, record, loss = program(SIZE, TIME, SHOTS, 4 * SHOTS)
print(gc.loops(loss, gc.grad(loss, speed)), end="\n\n")
edge = np.minimum(np.arange(SIZE), np.arange(SIZE)[::-1])
sponge = np.minimum(1, 0.93 + 0.01 * np.minimum.outer(edge, edge)).astype("float32")
time = (np.arange(TIME) - 16) / 6
shots, receivers, truth = ring(SHOTS, 0.39 * SIZE, SIZE), ring(4 * SHOTS, 0.39 * SIZE, SIZE), body(SIZE)
setting = {"calm": sponge, "pulse": ((1 - 2 * time**2) * np.exp(-(time**2))).astype("float32")}
setting |= {"shot_y": shots[0], "shot_x": shots[1], "near_y": receivers[0], "near_x": receivers[1]}
see = gc.compile({"u": u, "record": record})
seen = see(speed=truth, **setting)

step = gc.compile(loss, updates=gc.optim.adam(loss, lr=gc.optim.cosine_annealing_lr(0.006, T_max=STEPS)))
state = step.init(seed=0) | setting | {"given": seen["record"]}
losses = [float(step(state)) for _ in trange(STEPS)]
found, inside = state["speed"], np.hypot(*(np.mgrid[:SIZE, :SIZE] - SIZE / 2)) < 0.34 * SIZE
error = [float(np.sqrt(np.mean((c - truth)[inside] ** 2))) for c in (np.float32(0.5), found)]
match = float(np.corrcoef(found[inside], truth[inside])[0, 1])
print(f"misfit of the records {losses[0]:.3g} → {losses[-1]:.3g}")
print(f"error of the speed {error[0]:.4f} → {error[1]:.4f}, correlation {match:.3f}")

tiny, _, _, misfit = program(5, 7, 2, 3)
random = np.random.default_rng(0)
point = {"speed": random.uniform(0.4, 0.6, (5, 5)), "calm": random.uniform(0.9, 1, (5, 5)), "pulse": random.normal(size=7)}
point |= {"shot_y": [1, 3], "shot_x": [2, 0], "near_y": [0, 4, 2], "near_x": [3, 1, 2]}
print(f"numeric check: {gc.check_grad(misfit, tiny, given=random.normal(size=(7, 2, 3)), **point):.1e} relative difference")

PICTURES.mkdir(exist_ok=True)
figure, axes = plt.subplots(1, 5, figsize=(16, 3.5), layout="constrained")
for axis, k in zip(axes, (60, 100), strict=False):
    limit = np.abs(seen["u"][k, 0]).max() / 2
    axis.imshow(seen["u"][k, 0], cmap="seismic", vmin=-limit, vmax=limit)
    axis.contour(truth, levels=[0.46, 0.49, 0.51], colors="0.5", linewidths=0.6)
    axis.plot(*receivers[::-1], "k.", ms=3)
    axis.set_title(f"a wave after {k} steps")
axes[2].imshow(seen["record"][:, 0], cmap="seismic", aspect="auto", vmin=-0.4, vmax=0.4)
axes[2].set(title="what the receivers hear", xlabel="receiver", ylabel="step")
for axis, (title, c) in zip(axes[3:], {"the body": truth, "found from the records": found}.items(), strict=True):
    shown = axis.imshow(c, cmap="viridis", vmin=truth.min(), vmax=truth.max())
    axis.set_title(title)
figure.colorbar(shown, ax=axes[4], label="speed of sound")
for axis in axes[[0, 1, 3, 4]]:
    axis.axis("off")
figure.savefig(PICTURES / "wave_inversion.png", dpi=120)
assert losses[-1] < losses[0] / 100 and match > 0.95
