"""LeNet-5 and a multi-layer perceptron, written as loops over indices, trained on handwritten digits.

Prints the loops forward and backward, the table of layers, the time per step and the accuracy on digits that training never saw.
Writes pictures/digits_network.{svg,png}, pictures/digits_loss.png and pictures/digits_filters.png.
"""

import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from tqdm import trange

import graphc as gc

PICTURES, BATCH, EPOCHS = Path("pictures"), 64, 8
N = gc.dim("N")
n, f, c, i, j, y, x, r, s = gc.indices("n f c i j y x r s")


def conv(name, image, size, kernels, channels):
    """A 5×5 convolution that keeps the size, and relu."""
    w, b = gc.parameter(f"{name}.weight", kernels, channels, 5, 5, init="he_uniform"), gc.parameter(f"{name}.bias", kernels, init="zeros")
    p, q, out = gc.index("p", size), gc.index("q", size), gc.tensor(name)
    out[n, f, p, q] = gc.relu(gc.sum(gc.pad(image, 0)[n, c, p + r - 2, q + s - 2] * w[f, c, r, s], over=(c, r, s)) + b[f])
    return out, [w, b]


def pool(name, image, size):
    """The largest value of each 2×2 window."""
    p, q, r, s, out = gc.index("p", size), gc.index("q", size), gc.index("r", 2), gc.index("s", 2), gc.tensor(name)
    out[n, f, p, q] = gc.max(image[n, f, 2 * p + r, 2 * q + s], over=(r, s))
    return out


def linear(name, vector, outputs, inputs, function=lambda u: u):
    """A matrix product, a bias and a function."""
    w, b = gc.parameter(f"{name}.weight", outputs, inputs, init="he_uniform"), gc.parameter(f"{name}.bias", outputs, init="zeros")
    out = gc.tensor(name)
    out[n, i] = function(gc.sum(vector[n, j] * w[i, j], over=j) + b[i])
    return out, [w, b]


def lenet(image, size, kernels=(20, 50), hidden=500, classes=10):
    conv1, a = conv("conv1", image, size, kernels[0], 1)
    pool1 = pool("pool1", conv1, size // 2)
    conv2, b = conv("conv2", pool1, size // 2, kernels[1], kernels[0])
    pool2 = pool("pool2", conv2, size // 4)
    side, flat = size // 4, gc.tensor("flat")
    y, x = gc.index("y", side), gc.index("x", side)
    flat[n, side * side * f + side * y + x] = pool2[n, f, y, x]
    fc1, d = linear("fc1", flat, hidden, kernels[1] * side * side, gc.relu)
    scores, e = linear("scores", fc1, classes, hidden)
    return scores, a + b + d + e


def mlp(image, size, hidden=64, classes=10):
    flat, y, x = gc.tensor("flat"), gc.index("y", size), gc.index("x", size)
    flat[n, size * y + x] = image[n, 0, y, x]
    fc1, a = linear("fc1", flat, hidden, size * size, gc.tanh)
    scores, b = linear("scores", fc1, classes, hidden)
    return scores, a + b


def cross_entropy(scores, labels):
    loss = gc.tensor("loss")
    loss[()] = gc.mean(gc.logsumexp(scores[n, i], over=i) - scores[n, labels[n]], over=n)
    return loss


def momentum(parameters, gradients, rate=0.02, friction=0.9):
    """Gradient descent with momentum: two more loops per parameter."""
    updates = {}
    for w, g in zip(parameters, gradients, strict=True):
        v, v_new, w_new = gc.parameter(f"{w.name}.v", *w.shape, init="zeros"), gc.tensor(f"{w.name}.v_new"), gc.tensor(f"{w.name}.new")
        at = (i, j, y, x)[: w.ndim]
        v_new[at] = friction * v[at] + g[at]
        w_new[at] = w[at] - rate * v_new[at]
        updates |= {v: v_new, w: w_new}
    return updates


def train(name, net, images, labels, test):
    image, label = gc.tensor("image", N, 1, 28, 28), gc.tensor("label", N, dtype="int64")
    scores, parameters = net(image, 28)
    loss = cross_entropy(scores, label)
    gradients = gc.grad(loss, parameters)
    print(f"\n{name}, forward and backward:\n\n{gc.loops(loss, *gradients)}\n\n{gc.summary(loss)}\n")
    started = time.perf_counter()
    step, classify = gc.compile(loss, updates=momentum(parameters, gradients)), gc.compile(scores)
    state, losses, random = step.init(seed=0), [], np.random.default_rng(0)
    step({key: value.copy() for key, value in state.items()}, image=images[:BATCH], label=labels[:BATCH])
    print(f"compiled in {time.perf_counter() - started:.1f} s")
    started = time.perf_counter()
    for _ in trange(EPOCHS, desc=name, unit="epoch"):
        order = random.permutation(len(images))[: len(images) // BATCH * BATCH]
        losses += [float(step(state, image=images[batch], label=labels[batch])) for batch in order.reshape(-1, BATCH)]
    passed = (time.perf_counter() - started) / len(losses)
    accuracy = float((classify(state, image=test[0]).argmax(1) == test[1]).mean())
    print(f"{name}: {passed * 1e3:.2f} ms per step of {BATCH} digits, {accuracy:.2%} of {len(test[1])} unseen digits are right")
    return (loss, gradients), losses, accuracy, state


def check(net, size, **widths):
    """The derived gradient of a tiny net of the same build against central differences."""
    image, label = gc.tensor("image", 1, 1, size, size), gc.tensor("label", 1, dtype="int64")
    scores, parameters = net(image, size, **widths, classes=3)
    loss, random = cross_entropy(scores, label), np.random.default_rng(1)
    arrays = {w.name: random.normal(size=w.shape) for w in parameters}
    return gc.check_grad(loss, parameters, image=random.normal(size=(1, 1, size, size)), label=np.array([2]), **arrays)


def main():
    PICTURES.mkdir(exist_ok=True)
    digits = load_digits()
    image, small, p, q = gc.tensor("image"), gc.tensor("small", N, 8, 8), gc.index("p", 28), gc.index("q", 28)
    image[n, 0, p, q] = gc.pad(small, 0)[n, (p + 1) // 3 - 1, (q + 1) // 3 - 1] / 16  # 8×8 pixels become 24×24, in a frame of 2
    images = gc.compile(image)(small=digits.images.astype("float32"))
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = images[order], digits.target[order].astype("int64")
    train_set, test_set = (images[:1440], labels[:1440]), (images[1440:], labels[1440:])

    print(f"numeric check: {check(lenet, 4, kernels=(1, 1), hidden=2):.1e} and {check(mlp, 2, hidden=2):.1e} relative difference")
    program, losses, accuracy, state = train("LeNet-5", lenet, *train_set, test_set)
    _, mlp_losses, mlp_accuracy, _ = train("MLP", mlp, *train_set, test_set)

    drawing = gc.draw(program[0], *program[1])
    for ending in ("svg", "png"):
        drawing.save(PICTURES / f"digits_network.{ending}")
    plt.figure(figsize=(6, 4))
    plt.semilogy(losses, label=f"LeNet-5, {accuracy:.1%}")
    plt.semilogy(mlp_losses, label=f"MLP, {mlp_accuracy:.1%}")
    plt.xlabel("step")
    plt.ylabel("loss")
    plt.legend()
    plt.savefig(PICTURES / "digits_loss.png", dpi=120)
    figure, axes = plt.subplots(4, 5, figsize=(5, 4))
    for axis, kernel in zip(axes.flat, state["conv1.weight"], strict=True):
        axis.imshow(kernel[0], cmap="gray")
        axis.axis("off")
    figure.savefig(PICTURES / "digits_filters.png", dpi=120)
    assert accuracy >= 0.97, accuracy
    assert mlp_accuracy >= 0.93, mlp_accuracy


if __name__ == "__main__":
    main()
