"""Two convolutions in a row are one convolution with a larger filter; with relu between them they are more, over the same field.

What a pixel of the result sees is the gradient of that pixel with respect to the image. Writes pictures/stacked_convolutions.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import graphc as gc

PICTURES, SIZE = Path("pictures"), 33
f, g, c, p, q, r, s, u, v = gc.indices("f g c p q r s u v")


def convolution(image, filters, name="out"):
    out = gc.tensor(name)
    out[f, p, q] = gc.sum(image[c, p + r, q + s] * filters[f, c, r, s], over=(c, r, s))
    return out


def product(second, first):
    """The filters whose convolution is that of `first`, then that of `second`: a sum over a channel that disappears."""
    filters = gc.tensor("filters")
    filters[f, c, r + u, s + v] += second[f, g, r, s] * first[g, c, u, v]
    return filters


def field(function):
    """The pixel in the middle after a stack of 3×3 convolutions: a recurrence over their number, which is a size like any other."""
    image, filters = gc.tensor("image", SIZE, SIZE), gc.tensor("filters", gc.dim("depth"), 3, 3)
    p, q = gc.index("p", SIZE), gc.index("q", SIZE)
    layer, middle, d = gc.tensor("layer"), gc.tensor("middle"), gc.index("d")
    layer[-1, p, q] = image[p, q]
    layer[d, p, q] = function(gc.sum(gc.pad(layer, 0, dims=[1, 2])[d - 1, p + r - 1, q + s - 1] * filters[d, r, s], over=(r, s)))
    middle[()] = layer[gc.dim("depth") - 1, SIZE // 2, SIZE // 2]
    return middle, [image, filters]


random = np.random.default_rng(0)
image, first, second = gc.tensor("image", 3, 12, 12), gc.tensor("first", 4, 3, 3, 3), gc.tensor("second", 2, 4, 5, 5)
filters = product(second, first)
print(gc.loops(filters), end="\n\n")
twice, once = convolution(convolution(image, first, "between"), second), convolution(image, filters)
arrays = {t.name: random.normal(size=t.shape).astype("float32") for t in (image, first, second)}
a, b = gc.compile([twice, once])(**arrays)
print(f"3×3 and then 5×5, or once 7×7: both {a.shape}, largest difference {np.abs(a - b).max():.1e} of values up to {np.abs(a).max():.0f}")
print("multiply-adds:", *(f"{gc.summary(out).multiply_adds:,}" for out in (twice, once)))

PICTURES.mkdir(exist_ok=True)
figure, axes = plt.subplots(2, 5, figsize=(11, 4.8), layout="constrained")
for row, (name, function) in zip(axes, (("linear", lambda x: x), ("relu", gc.relu)), strict=True):
    middle, inputs = field(function)
    gradient = gc.compile(gc.grad(middle, inputs[0]))
    for axis, depth in zip(row, (1, 2, 4, 8, 12), strict=True):
        drawn = random.uniform(-0.2 if name == "relu" else 0, 1, (depth, 3, 3)).astype("float32")
        seen = gradient(image=random.random((SIZE, SIZE), "float32"), filters=drawn)
        width = int(np.ptp(np.nonzero(seen)[0])) + 1
        axis.imshow(np.cbrt(seen / np.abs(seen).max()), cmap="RdBu_r", vmin=-1, vmax=1)
        axis.set_title(f"{depth} × 3×3, {name}\nsees {width}×{width}", fontsize=10)
        axis.axis("off")
        print(f"{depth:2} convolutions of 3×3, {name:6}: a pixel sees {width}×{width} pixels, formula 1 + 2·{depth} = {1 + 2 * depth}")
        assert width == 1 + 2 * depth
figure.savefig(PICTURES / "stacked_convolutions.png", dpi=120)

middle, inputs = field(gc.tanh)
point = {"image": random.normal(size=(SIZE, SIZE)), "filters": random.normal(size=(3, 3, 3))}
print(f"numeric check: {gc.check_grad(middle, inputs, **point):.1e} relative difference")
assert filters.shape == (2, 3, 7, 7)
np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3)
