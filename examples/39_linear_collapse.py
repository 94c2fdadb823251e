"""Linear layers collapse: W2(W1x + b1) + b2 = (W2W1)x + (W2b1 + b2), and what graphc derives says so, symbol by symbol:
the Jacobian is W2·W1 and reads no x, the second derivative is 0. With tanh between the layers, neither holds.

Writes pictures/linear_collapse.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import graphc as gc

PICTURES = Path("pictures")
PICTURES.mkdir(exist_ok=True)

D, H, M = gc.dims("D H M")
i, j, k, h = gc.indices("i j k h")
x, W1, b1, W2, b2 = gc.tensor("x", D), gc.tensor("W1", H, D), gc.tensor("b1", H), gc.tensor("W2", M, H), gc.tensor("b2", M)


def net(activation):
    """Two layers, and the sum of the outputs."""
    u, y, total = gc.tensors("u y total")
    u[h] += W1[h, j] * x[j]
    u[h] += b1[h]
    y[i] += W2[i, h] * activation(u[h])
    y[i] += b2[i]
    total[()] += y[i]
    return y, total


linear, sum_of_linear = net(lambda u: u)
bent, sum_of_bent = net(gc.tanh)
texts = {}
for name, y, total in (("linear", linear, sum_of_linear), ("with tanh", bent, sum_of_bent)):
    texts[name] = str(gc.loops(gc.jacobian(y, x))), str(gc.loops(gc.hessian(total, x)))
    print(f"{name}:\n{gc.loops(y)}\n\nits Jacobian:\n{texts[name][0]}\n\nits second derivative:\n{texts[name][1]}\n")

# One layer with W = W2W1 and c = W2b1 + b2. Its gradient, given by hand to the two layers, is proved to be theirs at all small sizes.
W, c, one = gc.tensors("W c one")
W[i, j] += W2[i, h] * W1[h, j]
c[i] += W2[i, h] * b1[h]
c[i] += b2[i]
one[i] = gc.sum(W[i, j] * x[j], over=j) + c[i]


def collapsed_gradient(dy):
    dx = gc.tensor("dx")
    dx[j] += W[i, j] * dy[i]
    return dx


claimed, loss = net(lambda u: u)[0], gc.tensor("loss")
gc.custom_grad(claimed, {x: collapsed_gradient})
loss[()] += claimed[i] ** 2
proof = gc.verify(loss, x, largest=3)
print(f"{proof}\n")

random = np.random.default_rng(1)
arrays = {"x": random.normal(size=3), "W1": random.normal(size=(5, 3)), "b1": random.normal(size=5), "W2": random.normal(size=(2, 5))}
arrays["b2"] = random.normal(size=2)
print(f"numeric check: {gc.check_grad(sum_of_bent, [x, W1, b1, W2, b2], **arrays):.1e} relative difference")
two, single = gc.compile([linear, one])(**{name: a.astype("float32") for name, a in arrays.items()})
print(f"two layers {two}, one layer {single}")


# A picture: six random layers, as a recurrence over layers, on the plane.
LAYERS, WIDTH = 6, 32
layer, n = gc.index("layer", LAYERS), gc.index("n")
points, weight, bias = gc.tensor("points", gc.dim("N"), 2), gc.tensor("weight", LAYERS, WIDTH, WIDTH), gc.tensor("bias", LAYERS, WIDTH)


def deep(activation):
    state, height = gc.tensors("state height")
    state[-1, n, i] = weight[0, i, 0] * points[n, 0] + weight[0, i, 1] * points[n, 1]
    state[layer, n, i] = activation(gc.sum(weight[layer, i, j] * state[layer - 1, n, j], over=j) + bias[layer, i])
    height[n] = gc.sum(bias[0, i] * state[LAYERS - 1, n, i], over=i)
    return gc.compile(height)


random = np.random.default_rng(4)
given = {"weight": random.normal(size=(LAYERS, WIDTH, WIDTH)) * np.sqrt(2 / WIDTH), "bias": random.normal(size=(LAYERS, WIDTH))}
side = np.linspace(-2, 2, 200)
given["points"] = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
given = {name: a.astype("float32") for name, a in given.items()}
figure, axes = plt.subplots(1, 2, figsize=(9, 4.4), layout="constrained")
for axis, (title, activation) in zip(axes, {"six linear layers": lambda u: u, "six layers with ReLU": gc.relu}.items(), strict=True):
    values = deep(activation)(**given).reshape(200, 200)
    axis.contourf(side, side, values, levels=24, cmap="viridis")
    axis.contour(side, side, values, levels=24, colors="white", linewidths=0.4)
    axis.set(title=title, xlabel="x1", ylabel="x2", aspect="equal")
figure.savefig(PICTURES / "linear_collapse.png", dpi=120)

assert "x[" not in texts["linear"][0] and texts["linear"][1].endswith("total.hessian[i,j] = 0")
assert "x[" in texts["with tanh"][0] and not texts["with tanh"][1].endswith("= 0")
assert proof and proof.proved == proof.elements
np.testing.assert_allclose(two, single, rtol=1e-5)
