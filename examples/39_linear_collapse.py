"""Linear layers collapse: W2(W1x + b1) + b2 = (W2W1)x + (W2b1 + b2). What graphc derives says so, symbol by symbol.

The Jacobian of the deep linear net is W2·W1 and reads no x; its second derivative vanishes. With one ReLU, neither holds.
Writes pictures/linear_collapse.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import graphc as gc

PICTURES = Path("pictures")
PICTURES.mkdir(exist_ok=True)

D, H, M = gc.dims("D H M")
i, j, h = gc.indices("i j h")
x, W1, b1, W2, b2 = gc.tensor("x", D), gc.tensor("W1", H, D), gc.tensor("b1", H), gc.tensor("W2", M, H), gc.tensor("b2", M)


def net(activation):
    hidden, y = gc.tensors("hidden y")
    hidden[h] = activation(gc.sum(W1[h, j] * x[j], over=j) + b1[h])
    y[i] = gc.sum(W2[i, h] * hidden[h], over=h) + b2[i]
    return y


def curvature(y):
    """The second derivative of Σ y² - Σ y²/2·2 … of Σ y with respect to x."""
    total = gc.tensor("total")
    total[()] += y[i]
    return gc.hessian(total, x)


linear, bent = net(lambda u: u), net(gc.relu)
deep, kinked = gc.jacobian(linear, x), gc.jacobian(bent, x)
for name, y, slope in (("linear", linear, deep), ("with ReLU", bent, kinked)):
    print(f"{name}:\n{gc.loops(y)}\nits Jacobian:\n{gc.loops(slope)}\n")

