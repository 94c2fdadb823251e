"""A perceptron with six layers learns handwritten digits, and the loops say how deep it is: six products forward, eleven backward.

Writes pictures/deep_mlp.png and pictures/deep_mlp_network.svg.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import graphc as gc

PICTURES = Path("pictures")
PICTURES.mkdir(exist_ok=True)
WIDTHS = (128, 128, 64, 64, 32, 10)

N = gc.dim("N")
n, i, j, c = gc.indices("n i j c")


def layer(number, source, inputs, outputs, last):
    """An affine map, and ReLU after all but the last."""
    W = gc.parameter(f"W{number}", outputs, inputs, init="he_normal")
    b, u = gc.parameter(f"b{number}", outputs, init="zeros"), gc.tensor(f"h{number}")
    value = gc.sum(W[i, j] * source[n, j], over=j) + b[i]
    u[n, i] = value if last else gc.relu(value)
    return u


def net(x, widths):
    h, inputs = x, x.shape[1]
    for number, outputs in enumerate(widths, 1):
        h, inputs = layer(number, h, inputs, outputs, number == len(widths)), outputs
    return h


def objective(scores, label):
    loss = gc.tensor("loss")
    loss[()] = gc.mean(gc.logsumexp(scores[n, c], over=c) - scores[n, label[n]], over=n)
    return loss


x, label = gc.tensor("x", N, 64), gc.tensor("label", N, dtype="int64")
scores = net(x, WIDTHS)
loss, accuracy = objective(scores, label), gc.tensor("accuracy")
accuracy[()] = gc.mean(gc.argmax(scores[n, c], over=c) == label[n], over=n)
gradients = gc.grad(loss, gc.parameters(loss))
print(f"{gc.loops(loss, *gradients)}\n\n{gc.summary(loss)}\n")
gc.draw(loss, *gradients).save(PICTURES / "deep_mlp_network.svg")

digits = load_digits()
order = np.random.default_rng(0).permutation(len(digits.data))
pixels, labels = (digits.data[order] / 16).astype("float32"), digits.target[order].astype("int64")
state, history = gc.fit(
    loss, gc.optim.adam(loss, lr=gc.optim.cosine_annealing_lr(2e-3, T_max=40 * 23)), {"x": pixels[:1437], "label": labels[:1437]},
    epochs=40, batch_size=64, validation={"x": pixels[1437:], "label": labels[1437:]}, metrics={"accuracy": accuracy}, progress=False,
)
right = history["val_accuracy"][-1]
print(f"after {history.epochs} epochs, {right:.2%} of {len(labels) - 1437} unseen digits are right")

figure, (left, middle) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
history.plot(left, "loss", "val_loss")
left.set(yscale="log", title="loss")
guess = gc.compile(scores)(state, x=pixels[1437:]).argmax(1)
confusion = np.zeros((10, 10), int)
np.add.at(confusion, (labels[1437:], guess), 1)
middle.imshow(np.sqrt(confusion), cmap="Blues")
for row, column in zip(*np.nonzero(confusion), strict=True):
    middle.text(column, row, confusion[row, column], ha="center", va="center", color="white" if row == column else "tab:red")
middle.set(title=f"{right:.1%} of unseen digits are right", xlabel="guess", ylabel="digit", xticks=range(10), yticks=range(10))
figure.savefig(PICTURES / "deep_mlp.png", dpi=120)

small, two = gc.tensor("x", 5, 4), gc.tensor("label", 5, dtype="int64")
tiny = objective(net(small, (3, 3, 3, 3, 3, 2)), two)
random = np.random.default_rng(0)
arrays = {w.name: random.normal(size=w.shape) + 0.3 for w in gc.parameters(tiny)}
difference = gc.check_grad(tiny, gc.parameters(tiny), x=random.normal(size=(5, 4)), label=np.array([0, 1, 1, 0, 1]), **arrays)
print(f"numeric check: {difference:.1e} relative difference")
products = [line for line in str(gc.loops(*gradients)).splitlines() if line.count("[i,j]")]
assert len(products) == 17
assert right >= 0.97, right
