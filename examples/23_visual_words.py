"""A bag of visual words: small patches of handwritten digits are clustered by k-means, and a digit is described by the words it contains.

k-means is Newton's method on Σ min |patch − word|²: each word moves by its gradient over twice the number of its patches, to their mean.
Writes pictures/visual_words.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits

import graphc as gc

PICTURES = Path("pictures")
PICTURES.mkdir(exist_ok=True)
WORDS, SIDE = 64, 4

# Patches: every 4×4 window of every 8×8 digit.
N = gc.dim("N")
n, p, q, r, s = *gc.indices("n p q"), gc.index("r", SIDE), gc.index("s", SIDE)
image, patches = gc.tensor("image", N, 8, 8), gc.tensor("patches")
patches[n, p, q, SIDE * r + s] = image[n, p + r, q + s]
cut = gc.compile(patches)

# k-means: assign, count, move.
M, D = gc.dims("M D")
m, k, d = gc.indices("m k d")
patch, word = gc.tensor("patch", M, D), gc.parameter("word", WORDS, D)
distance, nearest, count, loss, word_new = gc.tensors("distance nearest count loss word_new")
distance[m, k] += (patch[m, d] - word[k, d]) ** 2
nearest[m] = gc.argmin(distance[m, k], over=k)
count = gc.tensor("count", WORDS)
count[nearest[m]] += 1
loss[()] += gc.min(distance[m, k], over=k)
dword = gc.grad(loss, word)
word_new[k, d] = word[k, d] - dword[k, d] / (2 * gc.maximum(count[k], 1))
print(gc.loops(loss, word_new))
step = gc.compile(loss, updates={word: word_new})

# A digit as a histogram: how often each word occurs in each quarter.
words, y, x = gc.parameter("word", WORDS, SIDE**2), gc.index("y", 5), gc.index("x", 5)
near, bag = gc.tensor("near"), gc.tensor("bag", N, 2, 2, WORDS, dtype="float32")
near[n, p, q] = gc.argmin(gc.sum((patches[n, p, q, d] - words[k, d]) ** 2, over=d), over=k)
bag[n, y // 3, x // 3, near[n, y, x]] += 1
encode = gc.compile(bag)

digits = load_digits()
order = np.random.default_rng(0).permutation(len(digits.images))
images, labels = (digits.images[order] / 16).astype("float32"), digits.target[order].astype("int64")
pieces = cut(image=images[:1437]).reshape(-1, SIDE**2)
start = pieces[np.random.default_rng(1).choice(len(pieces), WORDS, replace=False)]
state, losses = {"word": start.copy()}, []
for _ in range(30):
    losses.append(float(step(state, patch=pieces)))
peer = KMeans(WORDS, init=start, n_init=1, max_iter=30, tol=0, algorithm="lloyd").fit(pieces)
print(f"\n{len(pieces)} patches, {WORDS} words: loss {losses[0]:.0f} → {losses[-1]:.0f}, scikit-learn's {peer.inertia_:.0f}")

bags = encode(state, image=images).reshape(len(images), -1)
inputs, label = gc.tensor("inputs", N, 4 * WORDS), gc.tensor("label", N, dtype="int64")
scores = gc.nn.Linear(10, name="linear")(inputs)
entropy = gc.nn.cross_entropy(scores, label)
weights, _ = gc.fit(entropy, gc.optim.adam(entropy, lr=0.02), {"inputs": bags[:1437], "label": labels[:1437]}, epochs=300, batch_size=None,
                    progress=False)
classify = gc.compile(scores)
right = float((classify(weights, inputs=bags[1437:]).argmax(1) == labels[1437:]).mean())
print(f"a linear classifier of the {bags.shape[1]} counts: {right:.1%} of {len(images) - 1437} unseen digits are right")

random = np.random.default_rng(2)
small = {"patch": random.normal(size=(9, 3)), "word": random.normal(size=(WORDS, 3))}
print(f"numeric check: {gc.check_grad(loss, word, **small):.1e} relative difference")

figure = plt.figure(figsize=(11, 4.6), layout="constrained")
left, right_part = figure.subfigures(1, 2, width_ratios=[1, 1.2])
left.suptitle(f"the {WORDS} words")
for axis, vector in zip(left.subplots(8, 8).flat, state["word"], strict=True):
    axis.imshow(vector.reshape(SIDE, SIDE), cmap="gray_r", vmin=0, vmax=1)
    axis.set_axis_off()
axis = right_part.subplots()
axis.plot(losses, "o-", ms=4)
axis.axhline(peer.inertia_, color="gray", ls="--", label="scikit-learn after 30 steps")
axis.set(xlabel="step of k-means", ylabel="Σ min |patch − word|²")
axis.legend()
figure.savefig(PICTURES / "visual_words.png", dpi=120)

assert (np.diff(losses) <= 1e-4 * losses[-1]).all(), "k-means never gets worse"
assert abs(losses[-1] / peer.inertia_ - 1) < 0.01
assert right >= 0.95, right
