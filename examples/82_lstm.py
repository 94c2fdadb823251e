"""An LSTM learns a chaotic series from examples, and goes on by itself.

The series is a recurrence as well: Mackey and Glass's equation of 1977, whose next value depends on the last one and on that 17 steps
before. Writes pictures/lstm.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from tqdm import trange

import graphc as gc

PICTURES, DELAY, WIDTH, LENGTH, BATCH, STEPS, AHEAD = Path("pictures"), 17, 32, 100, 16, 500, 120
T, B, i = gc.dim("T"), gc.dim("B"), gc.index("i")


def mackey_glass(steps, seed):
    """x[t] = x[t-1] + 0.2·x[t-17]/(1 + x[t-17]¹⁰) − 0.1·x[t-1], after a random start."""
    x, start, t = gc.tensor("x", dtype="float64"), gc.tensor("start", DELAY, dtype="float64"), gc.index("t", steps)
    for k in range(DELAY):
        x[-1 - k] = start[k]
    x[t] = 0.9 * x[t - 1] + 0.2 * x[t - DELAY] / (1 + x[t - DELAY] ** 10)
    series = gc.compile(x)(start=np.random.default_rng(seed).uniform(0.5, 1.3, DELAY))
    return (series[300:] - 0.93).astype("float32")


def model(x, width):
    """How the value changes next, at every step; h and c go into the next window."""
    h0, c0 = gc.tensor("h0", x.shape[1], width), gc.tensor("c0", x.shape[1], width)
    h, last = gc.nn.LSTM(width, name="lstm")(x, (h0, c0))
    out, (t, b) = gc.nn.Linear(1, name="change")(h), gc.indices("t b")
    guess, loss = gc.tensor("guess"), gc.tensor("loss")
    guess[t, b] = x[t, b, 0] + 0.1 * out[t, b, 0]
    t = gc.index("t", x.shape[0] - 1)
    loss[()] = gc.mean((guess[t, b] - x[t + 1, b, 0]) ** 2, over=(t, b))
    return guess, last, loss


x = gc.tensor("x", T, B, 1)
guess, (h, c), loss = model(x, WIDTH)
print(gc.loops(loss), end="\n\n")
step = gc.compile(loss, updates=gc.optim.adam(gc.optim.clip_grad_norm(loss, 1.0), lr=gc.optim.cosine_annealing_lr(1e-2, T_max=STEPS)))
run = gc.compile([guess, h, c])
known, unseen = mackey_glass(3000, 0), mackey_glass(1500, 1)
zeros, random = {name: np.zeros((BATCH, WIDTH), "float32") for name in ("h0", "c0")}, np.random.default_rng(0)
state, losses = step.init(seed=0), []
for _ in trange(STEPS):
    start = random.integers(0, len(known) - LENGTH, BATCH)
    losses.append(float(step(state, x=known[start + np.arange(LENGTH)[:, None]][:, :, None], **zeros)))

one = {name: np.zeros((1, WIDTH), "float32") for name in ("h0", "c0")}
series = unseen[:600]
next_values = run(state, x=series[:-1, None, None], **one)[0][:, 0]
error = float(np.sqrt(np.mean((next_values[50:] - series[51:]) ** 2)))
still = float(np.sqrt(np.mean((series[50:-1] - series[51:]) ** 2)))
print(f"one step ahead, on a series never seen: error {error:.5f}; if the value stayed: {still:.5f}, {still / error:.0f} times as much")

value, hidden, memory = run(state, x=series[:400, None, None], **one)
value, dreamt = value[-1:, 0], []
for _ in range(AHEAD):
    dreamt.append(float(value[0]))
    value, hidden, memory = run(state, x=value.reshape(1, 1, 1), h0=hidden, c0=memory)
    value = value[:, 0]
ahead = np.sqrt(np.mean((np.array(dreamt[:50]) - series[400:450]) ** 2)) / series.std()
print(f"by itself for 50 steps: error {ahead:.3f} of the spread of the series")

tiny = gc.tensor("x", 4, 2, 1)
_, _, small = model(tiny, 3)
point = {w.name: random.normal(size=w.shape) for w in [tiny, *gc.parameters(small)]}
point |= {"h0": random.normal(size=(2, 3)), "c0": random.normal(size=(2, 3))}
print(f"numeric check: {gc.check_grad(small, gc.parameters(small), **point):.1e} relative difference")

PICTURES.mkdir(exist_ok=True)
figure, (left, right) = plt.subplots(1, 2, figsize=(13, 4), width_ratios=(1, 3), layout="constrained")
left.semilogy(losses)
left.set(xlabel="step", ylabel="mean squared error")
right.plot(series[: 400 + AHEAD], color="0.6", lw=3, label="the series")
right.plot(np.arange(1, 401), next_values[:400], "C0", lw=1, label="one step ahead")
right.plot(np.arange(400, 400 + AHEAD), dreamt, "C3", lw=1.5, label="by itself")
right.axvline(400, color="k", lw=0.8, ls=":")
right.set(xlim=(250, 400 + AHEAD), xlabel="step")
right.legend(loc="lower left", ncols=3)
figure.savefig(PICTURES / "lstm.png", dpi=120)
assert still > 10 * error and ahead < 0.3
