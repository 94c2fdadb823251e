"""Activations and their derivatives, which `gc.grad` derives; far out most of them are flat, and what is flat does not learn.

Writes pictures/activations.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import graphc as gc

PICTURES = Path("pictures")
PICTURES.mkdir(exist_ok=True)

ACTIVATIONS = {
    "sigmoid": gc.sigmoid,
    "tanh": gc.tanh,
    "1.7159·tanh(2x/3)": lambda x: 1.7159 * gc.tanh(2 * x / 3),
    "ReLU": gc.relu,
    "leaky ReLU 0.1": lambda x: gc.leaky_relu(x, 0.1),
    "leaky ReLU 0.2": lambda x: gc.leaky_relu(x, 0.2),
    "softplus": gc.softplus,
    "ELU": gc.elu,
    "maxout of 3 lines": lambda x: gc.max(line[k, 0] * x + line[k, 1], over=k),
}
N = gc.dim("N")
n, k = gc.indices("n k")
line, lines = gc.tensor("line", 3, 2, dtype="float64"), np.array([[-0.5, -1], [0.3, 0], [1.5, -1.5]])
x = gc.tensor("x", N, dtype="float64")
functions, slopes, total = {}, {}, gc.tensor("total")
for number, (name, activation) in enumerate(ACTIVATIONS.items()):
    y, loss = gc.tensors(f"y{number} loss{number}")
    y[n] = activation(x[n])
    loss[()] += y[n]
    total[()] += y[n] ** 2
    functions[name], slopes[name] = y, gc.grad(loss, x)
    print(f"{name:18} derivative {str(gc.loops(slopes[name])).split('x.grad[n] += ')[1].replace(f'y{number}', 'y')}")

f = gc.compile({"value": functions, "slope": slopes})
at = np.linspace(-4, 4, 801)
shown = f(x=at, line=lines)
figure, axes = plt.subplots(3, 3, figsize=(11, 8), layout="constrained", sharex=True)
for axis, name in zip(axes.flat, ACTIVATIONS, strict=True):
    axis.axhline(0, color="black", lw=0.5)
    axis.axvline(0, color="black", lw=0.5)
    axis.plot(at, shown["value"][name], lw=2, label="function")
    axis.plot(at, shown["slope"][name], lw=1.5, ls="--", label="derivative")
    axis.set(title=name, ylim=(-2.2, 3.2))
    axis.spines[["top", "right"]].set_visible(False)
axes[0, 0].legend(frameon=False)
figure.savefig(PICTURES / "activations.png", dpi=120)

points = f(x=np.array([-100.0, 0.0, 1.0, 100.0]), line=lines)
print("\nderivative at         -100          0          1        100")
for name in ACTIVATIONS:
    print(f"{name:18}", *(f"{slope:10.3g}" for slope in points["slope"][name]))
difference = gc.check_grad(total, x, x=np.random.default_rng(0).normal(size=50), line=lines)
print(f"numeric check: {difference:.1e} relative difference")

sigmoid, lecun, elu = (points["slope"][name] for name in ("sigmoid", "1.7159·tanh(2x/3)", "ELU"))
assert sigmoid[0] < 1e-40 and sigmoid[3] < 1e-40 and sigmoid[1] == 0.25  # saturated: nothing comes back
assert abs(points["value"]["1.7159·tanh(2x/3)"][2] - 1) < 1e-4 and lecun[3] < 1e-40
assert points["slope"]["ReLU"].tolist() == [0, 0, 1, 1] and points["slope"]["leaky ReLU 0.2"][0] == 0.2
assert float(gc.compile(slopes["sigmoid"])(x=np.array([100.0]))[0].astype("float32")) == 0
