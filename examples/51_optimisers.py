"""A race of optimisers down Beale's valley: random search, gradient descent, momentum, AdaGrad, RMSProp and Adam.

Each is a few loops, compiled into one call per step. Keywords are those of `torch.optim`; where PyTorch is installed, both take the same
path to 1e-5. In two dimensions even random search keeps up. Writes pictures/optimisers.png.
"""

import importlib.util
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import graphc as gc

PICTURES, STEPS, START, MINIMUM = Path("pictures"), 200, (1.0, 1.5), (3.0, 0.5)
OPTIMISERS = {
    "gradient descent": ("SGD", {"lr": 0.005}),
    "momentum": ("SGD", {"lr": 0.002, "momentum": 0.9}),
    "AdaGrad": ("Adagrad", {"lr": 0.5}),
    "RMSProp": ("RMSprop", {"lr": 0.03, "alpha": 0.99}),
    "Adam": ("Adam", {"lr": 0.2, "betas": (0.9, 0.999), "eps": 1e-7}),
}
i = gc.index("i")


def height(x, y):
    """Beale's function: steep walls, and a long flat valley to the minimum at (3, 1/2)."""
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


def valley(w, name="L"):
    loss = gc.tensor(name)
    loss[()] = height(w[0], w[1])
    return loss


def random_search(w, loss, width=0.1):
    """Look at a place nearby, and go there if it is lower: no gradient."""
    count, count_new, trial, w_new = gc.parameter("count", (), init="zeros", dtype="int64"), *gc.tensors("count_new trial w_new")
    trial[i] = w[i] + width * gc.normal(1, count[()], i)
    w_new[i] = gc.where(valley(trial, "L_trial")[()] < loss[()], trial[i], w[i])
    count_new[()] = count[()] + 1
    return {w: w_new, count: count_new}


def path(optimiser, **options):
    """The points that an optimiser visits, and the loops of its step."""
    w = gc.parameter("w", 2, init=lambda shape, random: START, dtype="float64")
    loss = valley(w)
    updates = optimiser(w, loss) if optimiser is random_search else getattr(gc.optim, optimiser.lower())(loss, **options)
    step = gc.compile(loss, updates=updates)
    state = step.init(seed=0)
    points = [state["w"].copy()]
    for _ in range(STEPS):
        step(state)
        points.append(state["w"].copy())
    return np.array(points), gc.loops(*updates.values())


def torch_path(optimiser, **options):
    """The same race in PyTorch."""
    import torch

    w = torch.tensor(START, dtype=torch.float64, requires_grad=True)
    stepper, points = getattr(torch.optim, optimiser)([w], **options), [w.tolist()]
    for _ in range(STEPS):
        stepper.zero_grad()
        height(*w).backward()
        stepper.step()
        points.append(w.tolist())
    return np.array(points)


w = gc.parameter("w", 2)
print(f"numeric check: {gc.check_grad(valley(w), w, w=START):.1e} relative difference\n")
paths = {"random search": path(random_search)[0]}
for name, (optimiser, options) in OPTIMISERS.items():
    paths[name], loops = path(optimiser, **options)
    if importlib.util.find_spec("torch"):
        np.testing.assert_allclose(paths[name], torch_path(optimiser, **options), rtol=1e-5, atol=1e-5)
        print(f"{name}: the path of torch.optim.{optimiser}")
distance = {name: np.hypot(*(points - MINIMUM).T) for name, points in paths.items()}
print(f"\nOne step of Adam:\n\n{loops}\n\ndistance from the minimum   50 steps   {STEPS} steps")
for name, d in distance.items():
    print(f"{name:27} {d[50]:8.4f} {d[-1]:11.4f}")

PICTURES.mkdir(exist_ok=True)
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5), width_ratios=(3, 2), layout="constrained")
x, y = np.meshgrid(np.linspace(-0.2, 4, 300), np.linspace(-1.6, 1.7, 200))
left.contourf(x, y, np.log10(height(x, y) + 1e-2), levels=24, cmap="YlGnBu_r", alpha=0.55)
for name, points in paths.items():
    left.plot(*points.T, lw=1.8, label=name)
    right.semilogy(distance[name], lw=1.8)
left.plot(*START, "ko")
left.plot(*MINIMUM, "k*", ms=15)
left.set_title("Beale's valley: dark is low", fontsize=11)
left.legend(loc="lower right")
right.set(xlabel="step", ylabel="distance from the minimum")
figure.savefig(PICTURES / "optimisers.png", dpi=120)

assert all(d[-1] < d[0] for d in distance.values())
assert distance["momentum"][-1] < distance["gradient descent"][-1] and distance["Adam"][-1] < 0.05
