"""A neural differential equation: the law of a pendulum is learned from noisy observations of how it swings.

A small net gives the speed z' = f(z) of a state; the method of Runge and Kutta moves it on, a recurrence that asks the net four times
(Chen et al., NeurIPS 2018). The gradient goes back through all steps. Writes pictures/neural_ode.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from tqdm import trange

import graphc as gc

PICTURES, WIDTH, STEP, WINDOW, STEPS, NOISE = Path("pictures"), 24, 0.25, 8, 800, 0.02
N, T, n, i, j, k = *gc.dims("N T"), *gc.indices("n i j k")


def pendulum(state, t, name):
    """Angle and angular speed of a pendulum with friction."""
    out = gc.tensor(name)
    out[t, n, 0] = state(1)
    out[t, n, 1] = -gc.sin(state(0)) - 0.1 * state(1)
    return out


def net(width):
    """f(z) = B·tanh(A·z + a) + b."""
    A, a = gc.parameter("A", width, 2, init="normal"), gc.parameter("a", width, init="normal")
    B, b = gc.parameter("B", 2, width, init=lambda shape, random: random.normal(0, 0.1, shape)), gc.parameter("b", 2, init="zeros")

    def speed(state, t, name):
        hidden, out = gc.tensor(f"{name}.hidden"), gc.tensor(name)
        hidden[t, n, k] = gc.tanh(gc.sum(A[k, j] * state(j), over=j) + a[k])
        out[t, n, i] = gc.sum(B[i, k] * hidden[t, n, k], over=k) + b[i]
        return out

    return speed


def motion(start, speed, steps):
    """z[t,n,i] after t + 1 steps from the start, each with four looks at the speed."""
    z, t, slopes = gc.tensor("z", steps, *start.shape), gc.index("t", steps), []
    z[-1, n, i] = start[n, i]
    for part in (0, 0.5, 0.5, 1):
        before = slopes[-1:]
        slopes.append(speed(lambda j: z[t - 1, n, j] + sum(part * STEP * d[t, n, j] for d in before), t, f"slope{len(slopes)}"))  # noqa: B023
    z[t, n, i] = z[t - 1, n, i] + STEP / 6 * sum(w * d[t, n, i] for w, d in zip((1, 2, 2, 1), slopes, strict=True))
    return z


def loss_of(speed, batch, steps):
    """How far the motion is from what was seen, in the mean."""
    start, seen, loss = gc.tensor("start", batch, 2), gc.tensor("seen", steps, batch, 2), gc.tensor("loss")
    z, t = motion(start, speed, steps), gc.index("t", steps)
    loss[()] = gc.mean((z[t, n, i] - seen[t, n, i]) ** 2, over=(t, n, i))
    return z, loss


z, loss = loss_of(net(WIDTH), N, WINDOW)
print(gc.loops(loss), end="\n\n")
real, learned = (gc.compile(motion(gc.tensor("start", N, 2), speed, 120)) for speed in (pendulum, net(WIDTH)))
random = np.random.default_rng(0)
swings = real(start=(random.uniform(-1, 1, (12, 2)) * [2.2, 0.6]).astype("float32"))
observed = (swings + random.normal(0, NOISE, swings.shape)).astype("float32")

step = gc.compile(loss, updates=gc.optim.adam(loss, lr=gc.optim.cosine_annealing_lr(2e-2, T_max=STEPS)))
state, losses = step.init(seed=0), []
for _ in trange(STEPS):
    at, which = random.integers(0, len(observed) - WINDOW - 1, 64), random.integers(0, 12, 64)
    windows = observed[at + np.arange(WINDOW + 1)[:, None], which]
    losses.append(float(step(state, start=windows[0], seen=windows[1:])))
print(f"error of {WINDOW} steps: {losses[0] ** 0.5:.3f} → {np.mean(losses[-50:]) ** 0.5:.3f}; the noise in it is {NOISE * 2**0.5:.3f}")

fresh = np.array([[2.0, 0.0], [-1.0, 1.0], [0.2, -0.6]], "float32")
there, here = real(start=fresh), learned(state, start=fresh)
worst = float(np.abs(there - here).max())
print(f"three new swings of {len(there)} steps: largest difference {worst:.3f} of angles up to {np.abs(there[:, :, 0]).max():.1f}")

_, small = loss_of(net(3), 2, 3)
point = {w.name: random.normal(size=w.shape) for w in gc.parameters(small)}
point |= {"start": random.normal(size=(2, 2)), "seen": random.normal(size=(3, 2, 2))}
print(f"numeric check: {gc.check_grad(small, gc.parameters(small), **point):.1e} relative difference")

PICTURES.mkdir(exist_ok=True)
figure, (left, right) = plt.subplots(1, 2, figsize=(13, 4.6), width_ratios=(2, 3), layout="constrained")
x, y = np.meshgrid(np.linspace(-3, 3, 40), np.linspace(-2.6, 2.6, 40))
f = np.tanh(np.stack([x, y], axis=-1) @ state["A"].T + state["a"]) @ state["B"].T + state["b"]
left.streamplot(x, y, f[..., 0], f[..., 1], color="0.7", linewidth=0.7, arrowsize=0.7)
left.plot(*observed[::2].reshape(-1, 2).T, ".", color="0.4", ms=1.5)
for m in range(len(fresh)):
    left.plot(*here[:, m].T, f"C{m}", lw=1.5)
    right.plot(np.arange(len(there)) * STEP, there[:, m, 0], color="0.7", lw=4)
    right.plot(np.arange(len(here)) * STEP, here[:, m, 0], f"C{m}", lw=1.5)
left.set(title="learned field, and what was observed", xlabel="angle", ylabel="angular speed", xlim=(-3, 3), ylim=(-2.6, 2.6))
right.set(title="new swings: grey is the pendulum, coloured the net", xlabel="time", ylabel="angle")
figure.savefig(PICTURES / "neural_ode.png", dpi=120)
assert worst < 0.3 and np.mean(losses[-50:]) ** 0.5 < 0.04
