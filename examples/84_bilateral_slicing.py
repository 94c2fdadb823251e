"""Bilateral slicing, the layer of HDRnet: a photographer's edit is learned on a small picture and applied to the large one.

A coarse grid holds a 3×4 matrix of colours for every place and every brightness; each pixel takes the mean of the eight around it, found by
its own guide value (Gharbi et al., SIGGRAPH 2017). Writes pictures/bilateral_slicing.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_sample_image
from tqdm import trange

import graphc as gc

PICTURES, STEPS, DEPTH = Path("pictures"), 200, 8
c, j, y, x, k = gc.indices("c j y x k")
a, b, d = (gc.index(name, 2) for name in "abd")


def slicing(image, grid, mix, cell):
    """The image 3×H×W, each pixel by its own matrix; grid 3×4×depth×rows×columns, a cell of which covers cell×cell pixels."""
    depth, half = grid.shape[2], cell // 2
    guide, level, near, matrix, out = gc.tensor("guide"), gc.tensor("level", dtype="int64"), gc.tensor("near"), *gc.tensors("matrix out")
    guide[y, x] = (depth - 1) * gc.clip(gc.sum(mix[c] * image[c, y, x], over=c), 0, 1)
    level[y, x, a] = gc.clip(gc.floor(guide[y, x]), 0, depth - 2) + a
    near[y, x, a] = 1 - gc.abs(guide[y, x] - level[y, x, a])
    rows, columns = (1 - gc.abs(i - ((p + half) % cell + 0.5) / cell) for i, p in ((b, y), (d, x)))
    corner = grid[c, j, level[y, x, a], (y + half) // cell + b, (x + half) // cell + d]
    matrix[c, j, y, x] = gc.sum(near[y, x, a] * rows * columns * corner, over=(a, b, d))
    out[c, y, x] = matrix[c, 3, y, x]
    k = gc.index("k", 3)
    out[c, y, x] += matrix[c, k, y, x] * image[k, y, x]
    return out


def program(height, width, cell, depth=DEPTH):
    image, wanted, loss = gc.tensor("image", 3, height, width), gc.tensor("wanted", 3, height, width), gc.tensor("loss")
    identity = lambda shape, random: np.broadcast_to(np.eye(3, 4)[:, :, None, None, None], shape)  # noqa: E731
    grid = gc.parameter("grid", 3, 4, depth, height // cell + 2, width // cell + 2, init=identity)
    mix = gc.parameter("mix", 3, init=lambda shape, random: np.array([0.3, 0.6, 0.1]))
    out = slicing(image, grid, mix, cell)
    loss[()] = gc.mean((out[c, y, x] - wanted[c, y, x]) ** 2, over=(c, y, x))
    return out, loss


def edited(image):
    """What a photographer might do: open the shadows, raise local contrast, cool shadows and warm lights, darken the corners."""
    _, height, width = image.shape
    light = image.mean(axis=0)
    image = image * (1 + 1.5 * (1 - light) ** 4) + 0.5 * (light - gaussian_filter(light, height / 8))
    image = image + np.array([0.1, 0, -0.1])[:, None, None] * (light - 0.4)
    v, u = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return np.clip(image * (1 - 0.25 * (u**2 + v**2)), 0, 1).astype("float32")


def decibels(got, wanted):
    return float(-10 * np.log10(np.mean((got - wanted) ** 2)))


large = np.moveaxis(load_sample_image("china.jpg")[:384], 2, 0).astype("float32") / 255
small = large.reshape(3, 192, 2, 320, 2).mean(axis=(2, 4))
out, loss = program(192, 320, 32)
print(gc.loops(out, gc.grad(loss, gc.parameters(loss)[0])), end="\n\n")
step = gc.compile(loss, updates=gc.optim.adam(loss, lr=gc.optim.cosine_annealing_lr(0.03, T_max=STEPS)))
state = step.init(seed=0)
losses = [float(step(state, image=small, wanted=edited(small))) for _ in trange(STEPS)]

slow = gc.compile(program(384, 640, 64)[0])
result, wanted = slow(state, image=large), edited(large)
quality = {"as it was": decibels(large, wanted), "sliced": decibels(result, wanted)}
print(f"large picture: {quality['as it was']:.1f} dB from the edit as it was, {quality['sliced']:.1f} dB with the grid of the small one")

tiny, random = program(5, 6, 4, depth=3)[1], np.random.default_rng(0)
point = {p.name: random.normal(size=p.shape) for p in gc.parameters(tiny)} | {"mix": np.array([0.3, 0.5, 0.1])}
point |= {name: random.random((3, 5, 6)) for name in ("image", "wanted")}
print(f"numeric check: {gc.check_grad(tiny, gc.parameters(tiny), **point):.1e} relative difference")

PICTURES.mkdir(exist_ok=True)
figure, axes = plt.subplots(1, 3, figsize=(15, 3.4), layout="constrained")
for axis, (title, picture) in zip(axes, {"photograph": large, "edited": wanted, "sliced": result}.items(), strict=True):
    axis.imshow(np.clip(np.moveaxis(picture, 0, 2), 0, 1))
    axis.set_title(f"{title}, {quality['sliced']:.1f} dB" if title == "sliced" else title)
    axis.axis("off")
figure.savefig(PICTURES / "bilateral_slicing.png", dpi=120)
assert quality["sliced"] > 33 > quality["as it was"] + 10
