"""Absolute values fold space: |x| lays one half on the other, so that what a layer draws into one half appears in both.

K folds copy a drop 4^K times with 2K units, and bend a line 2^K times. Writes pictures/space_folding.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import label

import graphc as gc

PICTURES = Path("pictures")
PICTURES.mkdir(exist_ok=True)
FOLDS = 4

N = gc.dim("N")
k, n, d = gc.index("k", FOLDS), gc.index("n"), gc.index("d")
x = gc.tensor("x", N, 2)
fold, drop, loss = gc.tensors("fold drop loss")
fold[-1, n, d] = x[n, d]
fold[k, n, d] = 2 * gc.abs(fold[k - 1, n, d]) - 1  # [-1, 1] onto itself, twice
drop[k, n] = gc.where((fold[k, n, 0] - 0.1) ** 2 + (fold[k, n, 1] + 0.2) ** 2 < 0.3, 1, 0)
loss[()] += gc.sin(fold[FOLDS - 1, n, d])
dx = gc.grad(loss, x)
print(gc.loops(drop, dx))
look, slopes = gc.compile([fold, drop]), gc.compile(gc.jacobian(fold, x))

side = (np.arange(512, dtype="float32") + 0.5) / 256 - 1
plane = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
folded, drops = look(x=plane)
copies = [label(picture.reshape(512, 512))[1] for picture in drops]
along = np.linspace(-1, 1, 513, dtype="float32")
line = np.stack([along, np.zeros(513, "float32")], axis=-1)
waves = look(x=line)[0][:, :, 0]
pieces = [1 + int(np.count_nonzero(np.diff(np.sign(np.diff(wave))))) for wave in waves]
for number in range(FOLDS):
    print(f"{number + 1} folds, {2 * (number + 1)} units: {copies[number]:3} copies, {pieces[number]:2} linear pieces along a line")

figure, axes = plt.subplots(3, FOLDS, figsize=(13, 9.2), layout="constrained", height_ratios=[1, 1, 0.5])
checker = plt.get_cmap("twilight")
for number, (top, middle, bottom) in enumerate(axes.T):
    u, v = folded[number].reshape(512, 512, 2).transpose(2, 0, 1)
    top.imshow(checker((np.arctan2(v, u) / (2 * np.pi)) % 1), extent=(-1, 1, -1, 1), origin="lower")
    top.set(title=f"{number + 1} fold{'s' * (number > 0)}", xticks=[], yticks=[])
    middle.imshow(drops[number].reshape(512, 512), extent=(-1, 1, -1, 1), origin="lower", cmap="Blues", vmax=1.3)
    middle.set(title=f"{copies[number]} copies of one drop", xticks=[], yticks=[])
    bottom.plot(along, waves[number])
    bottom.set(title=f"{pieces[number]} linear pieces")
    bottom.spines[["top", "right"]].set_visible(False)
figure.savefig(PICTURES / "space_folding.png", dpi=120)

at = np.random.default_rng(0).uniform(-1, 1, (6, 2))
difference = gc.check_grad(loss, x, x=at)
print(f"numeric check: {difference:.1e} relative difference")
steep = np.abs(np.einsum("kndnd->knd", slopes(x=at.astype("float32"))))
assert copies == [4 ** (number + 1) for number in range(FOLDS)]
assert pieces == [2 ** (number + 1) for number in range(FOLDS)]
assert all((steep[number] == 2 ** (number + 1)).all() for number in range(FOLDS)), "each fold doubles the slope"
