"""A graph network with gathers: digits are nodes, joined to those that look alike; 40 labels among 1797 teach the rest.

A small net gives each node scores, which then move along the edges for ten steps: `z[k-1, neighbour[n,j], c]` gathers them, in a recurrence
(Gasteiger, Bojchevski and Günnemann, ICLR 2019). Without the edges the same net knows less. Writes pictures/graph_network.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import LineCollection
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

import graphc as gc

PICTURES, STEPS = Path("pictures"), 150
N, J, M = gc.dims("N J M")
n, j, c, k, m = gc.indices("n j c k m")


def spread(h, neighbour, steps=10, own=0.1):
    """Scores after some steps: a node keeps a tenth of its own, and takes the rest from its neighbours' of the step before."""
    z, out, k = gc.tensor("z"), gc.tensor("spread"), gc.index("k", steps)
    z[-1, n, c] = h[n, c]
    z[k, n, c] = own * h[n, c] + (1 - own) * gc.mean(z[k - 1, neighbour[n, j], c], over=j)
    out[n, c] = z[steps - 1, n, c]
    return out


def program(nodes, features, neighbours, labels, classes=10, width=64):
    """Scores by a net of two layers, by themselves and spread over the graph, and the loss of either where the label is known."""
    x, neighbour = gc.tensor("x", nodes, features), gc.tensor("neighbour", nodes, neighbours, dtype="int64")
    known, label = gc.tensor("known", labels, dtype="int64"), gc.tensor("label", labels, dtype="int64")
    alone = gc.nn.Linear(classes, name="layer2")(gc.nn.relu(gc.nn.Linear(width, name="layer1")(x)))
    result = {}
    for name, scores in (("pixels alone", alone), ("with the graph", spread(alone, neighbour))):
        loss = gc.tensor("loss")
        loss[()] = gc.mean(gc.logsumexp(scores[known[m], c], over=c) - scores[known[m], label[m]], over=m)
        result[name] = scores, loss
    return result


digits = load_digits()
links = NearestNeighbors(n_neighbors=7).fit(digits.data).kneighbors(return_distance=False)
arrays = {"x": (digits.data / 16).astype("float32"), "neighbour": links}
random = np.random.default_rng(0)
known = np.concatenate([random.choice(np.flatnonzero(digits.target == c), 4, replace=False) for c in range(10)])
unknown = np.setdiff1d(np.arange(len(digits.target)), known)
arrays |= {"known": known, "label": digits.target[known].astype("int64")}

accuracy, guesses = {}, {}
for name, (scores, loss) in program(N, 64, J, M).items():
    step, predict = gc.compile(loss, updates=gc.optim.adamw(loss, lr=0.01, weight_decay=0.1)), gc.compile(scores)
    state = step.init(seed=0) | arrays
    losses = [float(step(state)) for _ in range(STEPS)]
    guesses[name] = predict(state).argmax(axis=1)
    accuracy[name] = np.mean(guesses[name][unknown] == digits.target[unknown])
    print(f"{name:15} loss {losses[0]:.2f} → {losses[-1]:.3f}, {accuracy[name]:.1%} of {len(unknown)} digits without a label are right")

_, loss = program(5, 3, 2, 2, classes=3, width=4)["with the graph"]
print(f"\n{gc.loops(gc.grad(loss, gc.parameters(loss)[0]))}\n")
point = {w.name: random.normal(size=w.shape) for w in gc.parameters(loss)} | {"x": random.normal(size=(5, 3))}
point |= {"neighbour": random.integers(0, 5, (5, 2)), "known": np.array([1, 4]), "label": np.array([0, 2])}
print(f"numeric check: {gc.check_grad(loss, gc.parameters(loss), **point):.1e} relative difference")

PICTURES.mkdir(exist_ok=True)
place = PCA(2).fit_transform(digits.data)
for _ in range(5):  # nodes move towards their neighbours, so that the drawing shows the graph
    place = 0.5 * place + 0.5 * place[links].mean(axis=1)
figure, axes = plt.subplots(1, 3, figsize=(14, 4.6), layout="constrained")
seen = [("40 labels", np.where(np.isin(np.arange(len(place)), known), digits.target, -1))]
for axis, (title, colours) in zip(axes, seen + [(f"{name}: {accuracy[name]:.1%}", guess) for name, guess in guesses.items()], strict=True):
    edges = np.stack([np.repeat(place, links.shape[1], axis=0), place[links.ravel()]], axis=1)
    axis.add_collection(LineCollection(edges, colors="0.85", linewidths=0.3, zorder=0))
    axis.scatter(*place[colours >= 0].T, c=colours[colours >= 0], cmap="tab10", s=40 if "labels" in title else 5)
    axis.set_title(title)
    axis.axis("off")
figure.savefig(PICTURES / "graph_network.png", dpi=120)
assert accuracy["with the graph"] > 0.87 and accuracy["with the graph"] > accuracy["pixels alone"] + 0.05
