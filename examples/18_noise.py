"""Noise that regularises: dropout, stochastic depth and fractional pooling. A key draws it anew in each step; the net in use has none.

One in four labels is wrong here, and a net that has learned them by heart is sure of its mistakes. Writes pictures/noise.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import graphc as gc

PICTURES = Path("pictures")
PICTURES.mkdir(exist_ok=True)
nn, N = gc.nn, gc.dim("N")
n, i, j = gc.indices("n i j")
x, label, key = gc.tensor("x", N, 64), gc.tensor("label", N, dtype="int64"), gc.tensor("key", (), dtype="int64")
first, last_layer = nn.Linear(256, name="first"), nn.Linear(10, name="last")
enter, leave = nn.Linear(64, name="enter"), nn.Linear(10, name="leave")
blocks = [nn.Linear(64, name=f"block{depth}") for depth in (1, 2, 3)]


def dropout(noise):
    """64 → 256 → 10, seven of ten hidden units left out."""
    h = nn.relu(first(x))
    return last_layer(nn.dropout(h, 0.7, key) if noise else h)


def stochastic_depth(noise):
    """Three blocks h + relu(Wh + b); the deeper the block, the more often an example goes round it."""
    h = enter(x)
    for depth, block in enumerate(blocks, 1):
        f, out = nn.relu(block(h)), gc.tensor(f"h{depth}")
        f = nn.stochastic_depth(f, 0.2 * depth, (key, depth)) if noise else f
        out[n, i] = h[n, i] + f[n, i]
        h = out
    return leave(h)


random, digits = np.random.default_rng(0), load_digits()
order = random.permutation(len(digits.data))
pixels, labels = (digits.data[order] / 16).astype("float32"), digits.target[order].astype("int64")
given = np.where(random.random(len(labels)) < 0.25, random.integers(0, 10, len(labels)), labels)
training_data, unseen = {"x": pixels[:300], "label": given[:300]}, {"x": pixels[1200:], "label": labels[1200:]}

figure, axes = plt.subplots(1, 3, figsize=(15, 4), layout="constrained", width_ratios=[1, 1, 1.1])
last = {}
for axis, net in zip(axes, (dropout, stochastic_depth), strict=False):
    name = net.__name__.replace("_", " ")
    noisy, quiet = (nn.cross_entropy(net(noise), label) for noise in (True, False))
    for title, loss in {"without": quiet, "with": noisy}.items():
        _, history = gc.fit(
            loss, gc.optim.adam(loss, lr=4e-3), training_data, epochs=50, batch_size=50, validation=unseen,
            arguments={"key": lambda step: step} if title == "with" else None,
            validation_metrics={"loss": quiet}, progress=False,
        )
        last[name, title] = history["val_loss"][-1]
        print(f"{title:7} {name}: loss {history['loss'][-1]:.3f} in training, {history['val_loss'][-1]:.3f} on unseen digits")
        colour = "tab:blue" if title == "with" else "tab:orange"
        axis.plot(range(1, 51), history["val_loss"], color=colour, label=f"{title}, unseen digits")
        axis.plot(range(1, 51), history["loss"], color=colour, ls=":", label=f"{title}, training")
    axis.set(title=name, xlabel="epoch", ylabel="loss", ylim=(0, 3))
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)

# Fractional pooling: 8 pixels become 6, not 4, and each key has other windows.
images, loss = gc.tensor("images", N, 1, 8, 8), gc.tensor("loss")
pooled = nn.fractional_max_pool2d(images, 2, 6, key)
loss[()] += pooled[n, 0, i, j] ** 2
pool, digit = gc.compile(pooled), (digits.images[4:5] / 16).astype("float32")[:, None]
views = [digit[0, 0], *(pool(images=digit, key=k)[0, 0] for k in range(3))]
for number, (title, view) in enumerate(zip(("8×8", "key 0: 6×6", "key 1", "key 2"), views, strict=True)):
    left, low = 1.1 * (number % 2), -1.25 * (number // 2)
    axes[2].imshow(view, cmap="gray_r", extent=(left, left + 1, low, low + 1))
    axes[2].text(left + 0.5, low + 1.02, title, ha="center")
axes[2].set(title="fractional pooling", xlim=(-0.05, 2.15), ylim=(-1.3, 1.15))
axes[2].set_axis_off()
figure.savefig(PICTURES / "noise.png", dpi=120)

difference = gc.check_grad(loss, images, images=digit, key=1)
arrays = {w.name: random.normal(size=w.shape) for w in gc.parameters(noisy)}
both = max(difference, gc.check_grad(noisy, gc.parameters(noisy), x=pixels[:4], label=labels[:4], key=7, **arrays))
print(f"numeric check, noise included: {both:.1e} relative difference")
for name in ("dropout", "stochastic depth"):
    assert last[name, "with"] < 0.95 * last[name, "without"], last
assert views[1].shape == (6, 6) and not np.array_equal(views[1], views[2])
assert np.array_equal(views[1], pool(images=digit, key=0)[0, 0]), "the same key has the same windows"
assert np.isin(views[1], digit).all()
