"""LeNet-5 as a list of layers: the table of its sizes, and its training on handwritten digits.

Digits are shifted and turned a little by the program itself in each step. Writes pictures/lenet.svg and pictures/lenet_errors.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from tqdm import trange

import graphc as gc

PICTURES, BATCH, EPOCHS = Path("pictures"), 32, 10
N, nn = gc.dim("N"), gc.nn
TABLE = [(20, 28, 28), (20, 14, 14), (50, 14, 14), (50, 7, 7), (2450,), (500,), (10,)]


def lenet(widths=(20, 50, 500), classes=10):
    return nn.Sequential(
        nn.Conv2d(widths[0], 5, padding=2, name="conv1"), nn.ReLU(), nn.MaxPool2d(2, name="pool1"),
        nn.Conv2d(widths[1], 5, padding=2, name="conv2"), nn.ReLU(), nn.MaxPool2d(2, name="pool2"),
        nn.Flatten(name="flat"), nn.Linear(widths[2], name="fc1"), nn.ReLU(), nn.Linear(classes, name="scores"),
    )


def shaken(image, key, size=28):
    """Every image moved by up to two pixels and sheared a little, by random numbers that depend on the key and its place in the batch."""
    n, p, q, k = gc.index("n"), gc.index("p", size), gc.index("q", size), gc.index("k", 4)
    move, y, x, out = gc.tensor("move"), gc.tensor("y", dtype="int64"), gc.tensor("x", dtype="int64"), gc.tensor("shaken")
    move[n, k] = 2 * gc.uniform(key[()], gc.index("n", N), k) - 1
    y[n, p, q] = gc.clip(gc.round(p + 2 * move[n, 0] + 0.15 * move[n, 1] * (q - size / 2)), 0, size - 1)
    x[n, p, q] = gc.clip(gc.round(q + 2 * move[n, 2] + 0.3 * move[n, 3] * (p - size / 2)), 0, size - 1)
    out[n, 0, p, q] = image[n, 0, y[n, p, q], x[n, p, q]]
    return out


def check():
    x, label, random = gc.tensor("x", 2, 1, 8, 8), gc.tensor("label", 2, dtype="int64"), np.random.default_rng(0)
    loss = nn.cross_entropy(lenet(widths=(2, 2, 3), classes=3)(x), label)
    point = {w.name: random.normal(size=w.shape) for w in [x, *gc.parameters(loss)]}
    return gc.check_grad(loss, gc.parameters(loss), label=np.array([2, 0]), **point)


def main():
    PICTURES.mkdir(exist_ok=True)
    small = load_digits().images.astype("float32") / 16
    images = np.pad(small.repeat(3, axis=1).repeat(3, axis=2), ((0, 0), (2, 2), (2, 2)))[:, None]  # 8×8 pixels become 28×28
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = images[order], load_digits().target[order].astype("int64")
    seen, unseen = slice(1440), slice(1440, None)

    net, image = lenet(), gc.tensor("image", N, 1, 28, 28)
    label, key = gc.tensor("label", N, dtype="int64"), gc.tensor("key", (), dtype="int64")
    loss, scores = nn.cross_entropy(net(shaken(image, key)), label), net(image)
    table = gc.summary(scores)
    print(f"{table}\n\nnumeric check: {check():.1e} relative difference")
    gc.draw(scores).save(PICTURES / "lenet.svg")

    rate = gc.optim.cosine_annealing_lr(1e-3, T_max=EPOCHS * (1440 // BATCH))
    step, classify = gc.compile(loss, updates=gc.optim.adam(loss, lr=rate)), gc.compile(scores)
    state, random = step.init(seed=0), np.random.default_rng(1)
    for epoch in trange(EPOCHS, unit="epoch"):
        for k, batch in enumerate(random.permutation(1440).reshape(-1, BATCH)):
            step(state, image=images[seen][batch], label=labels[seen][batch], key=1000 * epoch + k)
    found = classify(state, image=images[unseen])
    wrong = np.flatnonzero(found.argmax(axis=1) != labels[unseen])
    accuracy = 1 - len(wrong) / len(found)
    print(f"{accuracy:.2%} of {len(found)} unseen digits are right")

    figure, axes = plt.subplots(1, 8, figsize=(11, 1.9), layout="constrained")
    doubtful = np.argsort(np.partition(found, -2, axis=1)[:, -2:] @ [-1, 1])  # the smallest margin between the two best scores first
    for axis, k in zip(axes, [*wrong, *(d for d in doubtful if d not in wrong)]):
        axis.imshow(images[unseen][k, 0], cmap="gray_r")
        axis.set_title(f"{labels[unseen][k]} taken for {found[k].argmax()}" if k in wrong else f"{labels[unseen][k]}, in doubt", fontsize=9)
        axis.axis("off")
    figure.savefig(PICTURES / "lenet_errors.png", dpi=120)

    rows = {row.name: row for row in table.rows}
    assert [rows[n].shape[1:] for n in ("conv1.out", "pool1", "conv2.out", "pool2", "flat", "fc1.out", "scores.out")] == TABLE
    weights = {"conv1.weight": (20, 1, 5, 5), "conv2.weight": (50, 20, 5, 5), "fc1.weight": (500, 2450), "scores.weight": (10, 500)}
    assert all(rows[name].shape == shape for name, shape in weights.items())
    assert accuracy >= 0.985, accuracy


main()
