"""DeepDream: a net learns to tell places of two photographs apart, then a photograph is changed to excite the net's units more.

The gradient is taken with respect to the input: `gc.grad(excitement, image)`. The net is convolutional, and height and width are sizes, so
one compiled program serves patches, the photograph, and smaller versions of it. Writes pictures/deep_dream.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_images

import graphc as gc

PICTURES, nn = Path("pictures"), gc.nn
N, H, W = gc.dims("N H W")
STEPS, BATCH, PATCH, GRID = 250, 32, 40, 4


def texture(image):
    """The mean of 3×3 pixels less that of 11×11: the net sees shapes, neither colours nor dots."""
    (n, c, p, q), out = gc.indices("n c p q"), gc.tensor("texture", *image.shape)
    near, far = ((width, gc.index("r", width), gc.index("s", width)) for width in (3, 11))
    small, large = (gc.mean(gc.clamp(image)[n, c, p + r - w // 2, q + s - w // 2], over=(r, s)) for w, r, s in (near, far))
    out[n, c, p, q] = 3 * (small - large)
    return out


def features(widths=(16, 32, 48)):
    return nn.Sequential(
        texture, nn.Conv2d(widths[0], 5, 2, padding=2, name="conv1"), nn.ReLU(),
        nn.Conv2d(widths[1], 5, 2, padding=2, name="conv2"), nn.ReLU(),
        nn.Conv2d(widths[2], 3, padding=1, name="conv3"), nn.ReLU(name="units"),
    )


def excitement(units):
    """How much all units answer; the logarithm lets the weak ones have a say."""
    n, c, p, q = gc.indices("n c p q")
    total = gc.tensor("excitement")
    total[()] += gc.log1p(units[n, c, p, q])
    return total


def resized(image, height, width):
    """An image between its pixels, bilinear."""
    y, x = np.linspace(0, image.shape[0] - 1, height), np.linspace(0, image.shape[1] - 1, width)
    i, j = np.minimum(y.astype(int), image.shape[0] - 2), np.minimum(x.astype(int), image.shape[1] - 2)
    a, b = (y - i)[:, None, None], (x - j)[None, :, None]
    rows = image[i] * (1 - a) + image[i + 1] * a
    return (rows[:, j] * (1 - b) + rows[:, j + 1] * b).astype("float32")


def batch(photographs, random):
    """Patches, and which of the places of a grid over the photographs each is from."""
    k, y, x = random.integers(0, [len(photographs), photographs[0].shape[0] - PATCH, photographs[0].shape[1] - PATCH], (BATCH, 3)).T
    patches = np.stack([photographs[a][b : b + PATCH, c : c + PATCH] for a, b, c in zip(k, y, x)])
    height, width = photographs[0].shape[:2]
    place = (y + PATCH // 2) * GRID // height * GRID + (x + PATCH // 2) * GRID // width
    patches = np.rot90(patches, random.integers(4), axes=(1, 2))  # so that no direction is special
    return {"image": np.moveaxis(patches, 3, 1).copy(), "label": k * GRID**2 + place}


photographs = [resized(image / 127.5 - 1, 214, 320) for image in load_sample_images().images]
net, image, label = features(), gc.tensor("image", N, 3, H, W), gc.tensor("label", N, dtype="int64")
units = net(image)
scores = nn.Linear(len(photographs) * GRID**2, name="place")(nn.flatten(nn.adaptive_avg_pool2d(units, 1)))
loss = nn.cross_entropy(scores, label)
step = gc.compile(loss, updates=gc.optim.adam(loss, lr=3e-3))
climb = gc.compile([excitement(units), gc.grad(excitement(units), image)])

state, random = step.init(seed=0), np.random.default_rng(0)
losses = [float(step(state, **batch(photographs, random))) for _ in range(STEPS)]
print(f"{len(photographs) * GRID**2} places: loss {losses[0]:.2f} → {np.mean(losses[-20:]):.2f}, guessing has {np.log(32):.2f}")

dreams, gains = [], []
for photograph in photographs:
    dream = photograph
    for octave in (0.35, 0.5, 0.7, 1.0):
        height, width = int(214 * octave), int(320 * octave)
        there, lost = resized(photograph, height, width), resized(resized(photograph, *dream.shape[:2]), height, width)
        dream = resized(dream, height, width) + there - lost  # enlarged, with the details of the photograph that it has lost
        x = np.moveaxis(dream, 2, 0)[None].copy()
        for _ in range(12):
            jump = tuple(random.integers(-8, 8, 2))
            _, slope = climb(state, image=np.roll(x, jump, axis=(2, 3)))
            slope = np.roll(slope, (-jump[0], -jump[1]), axis=(2, 3))
            x = np.clip(x + 0.009 * slope / np.abs(slope).mean(), -1, 1)
        dream = np.moveaxis(x[0], 0, 2)
    start, end = (float(climb(state, image=np.moveaxis(a, 2, 0)[None].copy())[0]) for a in (photograph, dream))
    dreams.append(dream)
    gains.append(end / start)
    print(f"excitement {start:.3g} in the photograph, {end:.3g} in the dream")

small = gc.tensor("image", 1, 3, 9, 10)
total = excitement(features((2, 3, 2))(small))
point = {w.name: np.random.default_rng(1).normal(size=w.shape) for w in [small, *gc.parameters(total)]}
print(f"numeric check: {gc.check_grad(total, small, **point):.1e} relative difference")

PICTURES.mkdir(exist_ok=True)
figure, axes = plt.subplots(2, 2, figsize=(12, 8.2), layout="constrained")
for row, pair in zip(axes, zip(photographs, dreams), strict=True):
    for axis, picture in zip(row, pair, strict=True):
        axis.imshow(np.clip(picture / 2 + 0.5, 0, 1))
        axis.axis("off")
figure.savefig(PICTURES / "deep_dream.png", dpi=120)
assert np.mean(losses[-20:]) < 2.9 and min(gains) > 1.5
