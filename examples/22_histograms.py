"""Two classical features of a picture: a histogram of its colours, and histograms of oriented gradients, both scatters.

A picture of 320×240 has 40×30 cells of 8×8 pixels with 9 directions each: 10,800 numbers. Writes pictures/histograms.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import hsv_to_rgb, rgb_to_hsv
from PIL import Image
from sklearn.datasets import load_sample_image

import graphc as gc

PICTURES = Path("pictures")
PICTURES.mkdir(exist_ok=True)
BINS, DIRECTIONS = 36, 9

H, W = gc.dims("H W")
y, x = gc.index("y", H), gc.index("x", W)

# Each pixel votes for its hue, by how colourful it is.
hue, weight = gc.tensor("hue", H, W), gc.tensor("weight", H, W)
bin_, colours = gc.tensor("bin", dtype="int64"), gc.tensor("colours", BINS)
bin_[y, x] = gc.minimum(gc.floor(BINS * hue[y, x]), BINS - 1)
colours[bin_[y, x]] += weight[y, x]
print(gc.loops(colours))

# Each pixel votes for the direction of its gradient in its cell, shared by the two nearest directions.
grey = gc.tensor("grey", H, W)
dx, dy, size, angle = gc.tensors("dx dy size angle")
low, high, cells = gc.tensor("low", dtype="int64"), gc.tensor("high", dtype="int64"), gc.tensor("cells", H // 8, W // 8, DIRECTIONS)
dx[y, x] = gc.clamp(grey)[y, x + 1] - gc.clamp(grey)[y, x - 1]
dy[y, x] = gc.clamp(grey)[y + 1, x] - gc.clamp(grey)[y - 1, x]
size[y, x] = gc.hypot(dx[y, x], dy[y, x])
angle[y, x] = DIRECTIONS * (1 + gc.atan2(dy[y, x], dx[y, x]) / np.pi)  # 0 … 18: opposite directions are 9 apart
low[y, x] = gc.floor(angle[y, x]) - DIRECTIONS * gc.floor(gc.floor(angle[y, x]) / DIRECTIONS)
high[y, x] = gc.where(low[y, x] == DIRECTIONS - 1, 0, low[y, x] + 1)
cells[y // 8, x // 8, low[y, x]] += size[y, x] * (1 - angle[y, x] + gc.floor(angle[y, x]))
cells[y // 8, x // 8, high[y, x]] += size[y, x] * (angle[y, x] - gc.floor(angle[y, x]))
print(f"\n{gc.loops(cells)}\n")

picture = Image.fromarray(load_sample_image("china.jpg")).resize((320, 240), box=(35, 0, 604, 427))
rgb = np.asarray(picture, "float32") / 255
hsv = rgb_to_hsv(rgb).astype("float32")
shades = rgb @ np.array([0.299, 0.587, 0.114], "float32")
colour_votes = gc.compile(colours)(hue=hsv[..., 0], weight=hsv[..., 1] * hsv[..., 2])
hog, sizes = gc.compile([cells, size])(grey=shades)
print(f"histogram of colours: {colour_votes.size} numbers; of oriented gradients: {'×'.join(map(str, hog.shape))} = {hog.size:,} numbers")

loss = gc.tensor("loss")
i, j, d = gc.indices("i j d")
loss[()] += cells[i, j, d] ** 2
difference = gc.check_grad(loss, grey, grey=np.random.default_rng(0).random((16, 8)))  # a net may be trained through these features
print(f"numeric check: {difference:.1e} relative difference")

figure, axes = plt.subplots(1, 3, figsize=(15, 4), layout="constrained", width_ratios=[1, 0.8, 1])
axes[0].imshow(rgb)
axes[1].bar(np.arange(BINS), colour_votes, width=1, color=hsv_to_rgb([((k + 0.5) / BINS, 0.9, 0.9) for k in range(BINS)]))
axes[1].set(title="votes for hues", xticks=[], yticks=[])
centres = np.arange(DIRECTIONS) * np.pi / DIRECTIONS + np.pi / 2  # an edge is at right angles to its gradient
turn = np.stack([np.cos(centres), np.sin(centres)], axis=-1)
row, column = np.meshgrid(8 * np.arange(30) + 3.5, 8 * np.arange(40) + 3.5, indexing="ij")
middle = np.stack([column, row], axis=-1)[:, :, None, :]
strength = (hog / np.linalg.norm(hog, axis=-1, keepdims=True).clip(2))[..., None]
lines = np.stack([middle - 5 * strength * turn, middle + 5 * strength * turn], axis=-2).reshape(-1, 2, 2)
axes[2].set_facecolor("black")
axes[2].add_collection(LineCollection(lines, colors="white", linewidths=0.7, alpha=strength.ravel().clip(0, 1)))
axes[2].set(title="10,800 numbers: 40×30 cells, 9 directions", xlim=(0, 320), ylim=(240, 0), aspect="equal")
for axis in axes[::2]:
    axis.set(xticks=[], yticks=[])
figure.savefig(PICTURES / "histograms.png", dpi=120)

assert hog.shape == (30, 40, 9) and hog.size == 10_800
np.testing.assert_allclose(hog.sum(), sizes.sum(), rtol=1e-4)  # no vote is lost
counts, _ = np.histogram(hsv[..., 0], bins=BINS, range=(0, 1), weights=hsv[..., 1] * hsv[..., 2])
np.testing.assert_allclose(colour_votes.sum(), counts.sum(), rtol=1e-4)
