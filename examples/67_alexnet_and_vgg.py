"""AlexNet (one tower) and VGG-16: built, counted, drawn, and run forward and backward on a picture.

Where do the parameters sit, and where the work? Writes pictures/alexnet_and_vgg.png and pictures/vgg.svg.
"""

import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

import graphc as gc

PICTURES, N, nn = Path("pictures"), gc.dim("N"), gc.nn
VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
HE = {"init": "he_normal"}


def head(widths, classes):
    """Flat features to scores: two hidden layers with dropout."""
    hidden = [layer for width in widths for layer in (nn.Linear(width, **HE), nn.ReLU(), nn.Dropout(0.5, key=0))]
    return [nn.Flatten(), *hidden, nn.Linear(classes)]


def alexnet(widths=(64, 192, 384, 256, 256), hidden=(4096, 4096), classes=1000):
    """Krizhevsky, NeurIPS 2012, in the form for one GPU of Krizhevsky, 2014."""
    a, b, c, d, e = widths
    return nn.Sequential(
        nn.Conv2d(a, 11, stride=4, padding=2, **HE), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(b, 5, padding=2, **HE), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(c, 3, padding=1, **HE), nn.ReLU(), nn.Conv2d(d, 3, padding=1, **HE), nn.ReLU(),
        nn.Conv2d(e, 3, padding=1, **HE), nn.ReLU(), nn.MaxPool2d(3, 2), *head(hidden, classes),
    )


def vgg(blocks=VGG16, hidden=(4096, 4096), classes=1000):
    """Simonyan and Zisserman, ICLR 2015: 3×3 filters only, and half the size after every block."""
    layers = []
    for block in blocks:
        layers += [layer for width in block for layer in (nn.Conv2d(width, 3, padding=1, **HE), nn.ReLU())] + [nn.MaxPool2d(2)]
    return nn.Sequential(*layers, *head(hidden, classes))


def check(net, size):
    """The gradient of a narrow net of the same build against the complex step."""
    image, label, random = gc.tensor("image", 1, 3, size, size), gc.tensor("label", 1, dtype="int64"), np.random.default_rng(0)
    loss = nn.cross_entropy(net(image), label)
    point = {w.name: random.normal(size=w.shape) for w in [image, *gc.parameters(loss)]}
    return gc.check_grad(loss, gc.parameters(loss), label=np.array([2]), **point)


def run(name, net, picture):
    """The table of a net, and its loss and gradients on one picture."""
    image, label = gc.tensor("image", N, 3, 224, 224), gc.tensor("label", N, dtype="int64")
    loss = nn.cross_entropy(net(image), label)
    weights = gc.parameters(loss)
    table = gc.summary(loss, N=1)
    print(f"\n{name}\n{table}")
    program = gc.compile([loss, *gc.grad(loss, weights)])
    state, times = program.init(seed=0), []
    for _ in range(2):
        started = time.perf_counter()
        value, *gradients = program(state, image=picture, label=np.array([281]))
        times.append(time.perf_counter() - started)
    size = sum(g.nbytes for g in gradients) / 1e6
    print(f"loss {float(value):.3f}; {size:.0f} MB of gradients; {times[0]:.1f} s with compiling, {times[1]:.2f} s forward and backward")
    assert all(np.isfinite(g).all() and g.any() for g in gradients) and 0 < value < 100
    return table, loss


PICTURES.mkdir(exist_ok=True)
corner = load_sample_image("flower.jpg")[100:324, 200:424].astype("float32")
picture = np.moveaxis((corner - corner.mean()) / corner.std(), 2, 0)[None].copy()
small = {"AlexNet": check(lambda x: alexnet((2, 2, 2, 2, 2), (4, 4), 3)(x, training=False), 63),
         "VGG": check(lambda x: vgg(((2, 2), (3,)), (4, 4), 3)(x, training=False), 8)}
print("numeric check of small ones:", ", ".join(f"{name} {value:.1e}" for name, value in small.items()), "relative difference")
tables = {}
for name, net in {"AlexNet": alexnet(), "VGG-16": vgg()}.items():
    tables[name], loss = run(name, net, picture)
gc.draw(loss).save(PICTURES / "vgg.svg")

figure, axes = plt.subplots(2, 2, figsize=(12, 6), layout="constrained")
for row, (name, table) in zip(axes, tables.items(), strict=True):
    weights = {r.name.removesuffix(".weight"): r.parameters for r in table.rows if r.name.endswith(".weight")}
    work = {r.name.removesuffix(".out"): r.multiply_adds for r in table.rows if r.multiply_adds}
    for axis, counts, title in zip(row, (weights, work), ("parameters", "multiply-adds"), strict=True):
        axis.bar(list(counts), [count / 1e6 for count in counts.values()], color=["C0" if "conv" in layer else "C1" for layer in counts])
        axis.set(title=f"{name}: {sum(counts.values()) / 1e6:,.0f} million {title}", ylabel="million")
        axis.tick_params(axis="x", rotation=60, labelsize=8)
figure.savefig(PICTURES / "alexnet_and_vgg.png", dpi=120)
assert tables["AlexNet"].parameters == 61_100_840 and tables["VGG-16"].parameters == 138_357_544
