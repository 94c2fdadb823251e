"""What weights look like: the templates of a linear classifier of digits, and filters that learn to see edges in two photographs.

The filters minimise the reconstruction error of patches plus the size of the responses (Le et al., NeurIPS 2011): few of them answer
to a patch, and those that do become edges and colours, as in the first layer of a deep net. Writes pictures/filters.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits, load_sample_images

import graphc as gc

PICTURES, N = Path("pictures"), gc.dim("N")
FILTERS, SIDE, PATCHES, STEPS = 48, 10, 60_000, 1500
n, f, i = gc.indices("n f i")


def templates():
    """Softmax regression: one template per class, weighed against the image."""
    digits = load_digits()
    x, label = gc.tensor("x", N, 64), gc.tensor("label", N, dtype="int64")
    scores = gc.nn.Linear(10, init="zeros", name="linear")(x)
    loss = gc.tensor("loss")
    loss[()] = gc.nn.cross_entropy(scores, label)[()] + 0.005 * gc.nn.l2(gc.parameters(scores)[0])[()]
    step, classify = gc.compile(loss, updates=gc.optim.adam(loss, lr=0.01)), gc.compile(scores)
    state, arrays = step.init(seed=0), {"x": (digits.data / 16).astype("float32"), "label": digits.target.astype("int64")}
    for _ in range(300):
        step(state, **arrays)
    return state["linear.weight"].reshape(10, 8, 8), np.mean(classify(state, x=arrays["x"]).argmax(axis=1) == digits.target)


def sparse_code(patch, filters, weight=2.0):
    """Responses z = Wx, the reconstruction Wᵀz, and log cosh(z), which likes zeros."""
    count, z, error, loss = patch.shape[0], *gc.tensors("z error loss")
    z[n, f] += filters[f, i] * patch[n, i]
    error[n, i] = gc.sum(filters[f, i] * z[n, f], over=f) - patch[n, i]
    loss[()] += (error[n, i] ** 2) / count
    loss[()] += weight * (gc.abs(z[n, f]) + gc.log1p(gc.exp(-2 * gc.abs(z[n, f])))) / count
    return loss


def whitened(random):
    """Patches of the photographs whose pixels are uncorrelated, and the matrix that brings them back."""
    images = [image / 255 for image in load_sample_images().images]
    places = random.integers(0, (2, *(np.array(images[0].shape[:2]) - SIDE)), (PATCHES, 3))
    patches = np.stack([images[k][y : y + SIDE, x : x + SIDE].ravel() for k, y, x in places])
    patches -= patches.mean(axis=1, keepdims=True)
    patches = patches[np.argsort(patches.std(axis=1))[PATCHES // 2 :]]  # those with contrast, of which all have the same
    patches /= patches.std(axis=1, keepdims=True)
    values, vectors = np.linalg.eigh(np.cov(patches.T))
    values, vectors = values[::-1][:FILTERS], vectors[:, ::-1][:, :FILTERS]  # the directions that vary most
    return (patches @ vectors / np.sqrt(values)).astype("float32"), vectors * np.sqrt(values)


random = np.random.default_rng(0)
patches, colour = whitened(random)
patch, filters = gc.tensor("patch", N, FILTERS), gc.parameter("filters", FILTERS, FILTERS, init="orthogonal")
loss = sparse_code(patch, filters)
print(gc.loops(loss, gc.grad(loss, filters)), end="\n\n")
step = gc.compile(loss, updates=gc.optim.adam(loss, lr=gc.optim.cosine_annealing_lr(0.02, T_max=STEPS)))
state = step.init(seed=0)
losses = [float(step(state, patch=patches[random.integers(0, len(patches), 500)])) for _ in range(STEPS)]
z = patches @ state["filters"].T
before = patches @ np.linalg.qr(random.normal(size=(FILTERS, FILTERS)))[0]
kurtosis = [float(np.mean((r - r.mean(0)) ** 4, axis=0).mean() / np.mean(np.var(r, axis=0)) ** 2) for r in (before, z)]
print(f"loss {losses[0]:.1f} → {losses[-1]:.1f}")
print(f"kurtosis of the responses {kurtosis[0]:.1f} with random filters, {kurtosis[1]:.1f} with learned ones (a normal distribution has 3)")
weights, accuracy = templates()
print(f"the templates classify {accuracy:.1%} of the digits that they were made from")

w, p = gc.tensor("w", 5, 4), gc.tensor("p", 3, 4)
difference = gc.check_grad(sparse_code(p, w), w, w=random.normal(size=(5, 4)), p=random.normal(size=(3, 4)))
print(f"numeric check: {difference:.1e} relative difference")

PICTURES.mkdir(exist_ok=True)
figure = plt.figure(figsize=(13, 4.6), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=(6, 5))
for digit, (axis, template) in enumerate(zip(left.subplots(2, 5).flat, weights, strict=True)):
    axis.imshow(template, cmap="RdBu_r", vmin=-np.abs(weights).max(), vmax=np.abs(weights).max(), interpolation="bicubic")
    axis.set_title(digit)
    axis.axis("off")
seen = (state["filters"] @ colour.T).reshape(FILTERS, SIDE, SIDE, 3)
for axis, image in zip(right.subplots(6, 8).flat, seen[np.argsort(-seen.std(axis=3).mean(axis=(1, 2)))], strict=True):
    axis.imshow(0.5 + 0.5 * image / np.abs(image).max(), interpolation="bicubic")
    axis.axis("off")
left.suptitle("templates of a linear classifier: red counts for the digit, blue against it")
right.suptitle("filters for photographs")
figure.savefig(PICTURES / "filters.png", dpi=120)
assert accuracy > 0.94 and kurtosis[1] > 1.7 * kurtosis[0] > 6
