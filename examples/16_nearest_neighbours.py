"""k nearest neighbours on handwritten digits: a distance matrix, ranks and votes, four statements in all.

Writes pictures/nearest_neighbours.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

import graphc as gc

PICTURES = Path("pictures")
PICTURES.mkdir(exist_ok=True)

M, N, D = gc.dims("M N D")  # questions, known examples, pixels
m, n, q, d, c = *gc.indices("m n q d"), gc.index("c", 10)
x, known, label = gc.tensor("x", M, D), gc.tensor("known", N, D), gc.tensor("label", N, dtype="int64")
K = gc.tensor("K", (), dtype="int64")
distance, rank, vote, answer = gc.tensors("distance rank vote answer")
distance[m, n] += (x[m, d] - known[n, d]) ** 2
rank[m, n] = gc.sum(gc.where((distance[m, q] < distance[m, n]) | ((distance[m, q] == distance[m, n]) & (q < n)), 1, 0), over=q)
vote[m, c] = gc.sum(gc.where((rank[m, n] < K[()]) & (label[n] == c), 1, 0), over=n)
answer[m] = gc.argmax(vote[m, c], over=c)
print(gc.loops(answer))
ranks, classify = gc.compile(rank), gc.compile(answer)

digits = load_digits()
order = np.random.default_rng(0).permutation(len(digits.data))
pixels, labels = digits.data[order].astype("float32"), digits.target[order].astype("int64")
given = {"x": pixels[1437:], "known": pixels[:1437], "label": labels[:1437]}

choices = [1, 3, 5, 7, 9, 15, 25, 51, 101]
found = {k: classify(K=k, **given) for k in choices}
right = {k: float((found[k] == labels[1437:]).mean()) for k in choices}
for k in choices:
    print(f"K = {k:3}: {right[k]:.2%} of {len(pixels) - 1437} unseen digits are right")

# The distance to the nearest example is differentiable: its gradient goes to that example alone, which is how prototypes are learned.
loss = gc.tensor("loss")
loss[()] += gc.min(gc.sum((x[m, d] - known[n, d]) ** 2, over=d), over=n)
random = np.random.default_rng(0)
difference = gc.check_grad(loss, known, x=random.normal(size=(4, 3)), known=random.normal(size=(5, 3)))
print(f"\n{gc.loops(gc.grad(loss, known))}\n\nnumeric check: {difference:.1e} relative difference")

wrong = np.flatnonzero(found[5] != labels[1437:])[:3]
shown = [0, 1, 2, *wrong]
nearest = ranks(x=given["x"][shown], known=given["known"]).argsort(axis=1)[:, :5]
figure = plt.figure(figsize=(11, 5), layout="constrained")
left, right_part = figure.subfigures(1, 2, width_ratios=[1, 1])
grid = left.subplots(len(shown), 6)
for row, question, neighbours in zip(grid, shown, nearest, strict=True):
    for axis, image in zip(row, [given["x"][question], *given["known"][neighbours]], strict=True):
        axis.imshow(image.reshape(8, 8), cmap="gray_r")
        axis.set(xticks=[], yticks=[])
    for axis, neighbour in zip(row[1:], neighbours, strict=True):
        agrees = given["label"][neighbour] == labels[1437 + question]
        axis.set_xlabel(given["label"][neighbour], color="tab:green" if agrees else "tab:red", labelpad=1)
    row[0].set_ylabel(labels[1437 + question], rotation=0, labelpad=10, va="center", fontweight="bold")
grid[0, 0].set_title("unseen", fontsize=10)
grid[0, 3].set_title("five nearest", fontsize=10)
axis = right_part.subplots()
axis.semilogx(choices, [100 * right[k] for k in choices], "o-")
axis.set(xlabel="K", ylabel="unseen digits that are right / %", xticks=choices, xticklabels=choices)
axis.minorticks_off()
axis.grid(alpha=0.3)
figure.savefig(PICTURES / "nearest_neighbours.png", dpi=120)

for k in (1, 3):
    peer = KNeighborsClassifier(k, algorithm="brute").fit(given["known"], given["label"]).predict(given["x"])
    assert (peer == found[k]).mean() > 0.99, "scikit-learn's answers, but for ties"
assert right[1] >= 0.98, right
