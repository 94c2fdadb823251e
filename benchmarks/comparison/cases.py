"""The workloads: name, inputs from a fixed seed, what is computed, and the arithmetic that it takes at least. Needs only NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray]
Inputs = Callable[[np.random.Generator], Arrays]


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Attributes:
        name: the workload and, after a dot, which part or size of it.
        title: what it is, for the table.
        inputs: makes the arguments.
        wanted: parameters that are differentiated, or updated by a step; none for a plain value.
        results: names of the results, in order.
        optimiser: of a training step: "sgd", "momentum" or "adam".
        operations: additions and multiplications (one each for elementary functions) that the value and its gradient need at least; 0
            where memory is the limit anyway.
        tolerance: the largest error, relative to the norm of a result, that counts as right.
    """

    name: str
    title: str
    inputs: Inputs
    wanted: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    optimiser: str | None = None
    operations: float = 0
    tolerance: float = 1e-3

    @property
    def workload(self) -> str:
        """The name without its part: W1 of W1.step."""
        return self.name.partition(".")[0]

    @property
    def part(self) -> str:
        """What stands behind the dot: step of W1.step."""
        return self.name.partition(".")[2]

    def arrays(self, dtype: str = "float32", seed: int = 0) -> Arrays:
        """The arguments; numbers are rounded to float32 and then converted, integers stay int64."""
        made = self.inputs(np.random.default_rng(seed))
        return {n: a.astype("float32", copy=False).astype(dtype, copy=False) if a.dtype.kind == "f" else a for n, a in made.items()}


def gradients(name: str, title: str, inputs: Inputs, wanted: str, operations: float = 0, tolerance: float = 1e-3) -> Case:
    """A scalar loss and its gradients."""
    names = tuple(wanted.split())
    return Case(name, title, inputs, names, ("loss", *(f"d_{n}" for n in names)), None, operations, tolerance)


def step(name: str, title: str, inputs: Inputs, wanted: str, optimiser: str, operations: float, tolerance: float = 1e-3) -> Case:
    """A training step: the loss, and what the parameters are afterwards."""
    names = tuple(wanted.split())
    return Case(name, title, inputs, names, ("loss", *(f"new_{n}" for n in names)), optimiser, operations, tolerance)


def scaled(random: np.random.Generator, *shape: int, fan: float = 1.0) -> NDArray:
    """Normal numbers with variance 1/fan."""
    return random.standard_normal(shape, dtype=np.float32) / np.float32(math.sqrt(fan))


def dense(random: np.random.Generator, *widths: int, prefix: str = "w", bias: str | None = "b", start: int = 1) -> Arrays:
    """Weights (inputs × outputs) and biases of linear layers, numbered from `start`."""
    made: Arrays = {}
    for layer, (before, after) in enumerate(pairwise(widths), start):
        made[f"{prefix}{layer}"] = scaled(random, before, after, fan=before / 2)
        if bias:
            made[f"{bias}{layer}"] = scaled(random, after, fan=100)
    return made


def dense_operations(rows: int, *widths: int) -> float:
    """Products of linear layers, forward and backward; the gradient of the input is not needed."""
    sizes = [a * b for a, b in pairwise(widths)]
    return 2.0 * rows * (3 * sum(sizes) - sizes[0])


# ---------------------------------------------------------------------------------------------------------------- nets


def two_layers(random: np.random.Generator) -> Arrays:
    return {"x": scaled(random, 64, 1000), "y": scaled(random, 64, 10), **dense(random, 1000, 100, 10, bias=None)}


def perceptron(random: np.random.Generator) -> Arrays:
    return {"x": scaled(random, 128, 784), "y": random.integers(0, 10, 128), **dense(random, 784, 512, 256, 10)}


LENET = "w1 b1 w2 b2 w3 b3 w4 b4"


def lenet(random: np.random.Generator) -> Arrays:
    filters = {"w1": scaled(random, 20, 1, 5, 5, fan=12.5), "b1": scaled(random, 20, fan=400),
               "w2": scaled(random, 50, 20, 5, 5, fan=250), "b2": scaled(random, 50, fan=400)}
    return {"x": scaled(random, 64, 1, 28, 28), "y": random.integers(0, 10, 64), **filters, **dense(random, 2450, 500, 10, start=3)}


VGG = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Filters of VGG-16's convolutions, block by block; a pooling ends each block."""
ALEXNET = ((64, 11, 4, 2, True), (192, 5, 1, 2, True), (384, 3, 1, 1, False), (256, 3, 1, 1, False), (256, 3, 1, 1, True))
"""Filters, their width, stride, padding, and whether a pooling follows."""


def big_net(batch: int, filters: Iterable[tuple[int, int]], widths: tuple[int, ...]) -> Inputs:
    """Images of 224×224, convolutions given by the number and width of their filters, three linear layers."""

    def inputs(random: np.random.Generator) -> Arrays:
        made: Arrays = {"x": scaled(random, batch, 3, 224, 224)}
        channels = 3
        for layer, (count, width) in enumerate(filters):
            made[f"w{layer}"] = scaled(random, count, channels, width, width, fan=channels * width * width / 2)
            made[f"b{layer}"] = scaled(random, count, fan=400)
            channels = count
        return {**made, **dense(random, *widths, prefix="fw", bias="fb", start=0)}

    return inputs


def alexnet(random: np.random.Generator) -> Arrays:
    made = big_net(8, [(count, width) for count, width, *_ in ALEXNET], (9216, 4096, 4096, 1000))(random)
    return {**made, "y": random.integers(0, 1000, 8)}


def parameters(layers: int) -> str:
    """Names of the parameters of a big net with so many convolutions."""
    return " ".join([f"{k}{layer}" for layer in range(layers) for k in "wb"] + [f"f{k}{layer}" for layer in range(3) for k in "wb"])


def vgg_operations() -> float:
    total, channels = dense_operations(1, 25088, 4096, 4096, 1000) / 3, 3
    for block, counts in enumerate(VGG):
        for count in counts:
            total, channels = total + 2.0 * (224 >> block) ** 2 * 9 * channels * count, count
    return total


def alexnet_operations() -> float:
    sizes = [side**2 * before * width**2 * count
             for side, before, (count, width, *_) in zip((55, 27, 13, 13, 13), (3, 64, 192, 384, 256), ALEXNET)]
    linear = 9216 * 4096 + 4096 * 4096 + 4096 * 1000
    return 2.0 * 8 * (3 * (sum(sizes) + linear) - sizes[0])


NETS = (
    step("W1.step", "two sigmoid layers 64×1000×100×10, SGD", two_layers, "w1 w2", "sgd", dense_operations(64, 1000, 100, 10)),
    gradients("W1.grad", "two sigmoid layers, gradients", two_layers, "w1 w2", dense_operations(64, 1000, 100, 10)),
    step("W2.step", "perceptron 128×784×512×256×10, Adam", perceptron, "w1 b1 w2 b2 w3 b3", "adam",
         dense_operations(128, 784, 512, 256, 10), 1e-2),
    step("W3.step", "LeNet-5, batch 64, momentum", lenet, LENET, "momentum",
         2.0 * 64 * (2 * 784 * 500 + 3 * 196 * 25000) + dense_operations(64, 2450, 500, 10) + 2.0 * 64 * 2450 * 500),
)

BIG_NETS = (
    Case("W11.vgg16_fwd", "VGG-16 forward, one image", big_net(1, [(n, 3) for block in VGG for n in block], (25088, 4096, 4096, 1000)),
         results=("out",), operations=vgg_operations()),
    gradients("W11.alexnet_grad", "AlexNet, batch 8, gradients", alexnet, parameters(5), alexnet_operations(), 2e-2),
)

# ------------------------------------------------------------------------------------------- convolutions and products

LAYERS = {"cifar": (64, 3, 32, 10, 5), "alex2": (8, 64, 27, 192, 5), "vgg31": (4, 128, 56, 256, 3)}
"""Convolutions: images, channels, side, filters, width of a filter."""
PASSES = {"fwd": "forward", "bwd_data": "gradient of the image", "bwd_w": "gradient of the filters"}


def convolution(layer: str, way: str) -> Case:
    batch, channels, side, filters, width = LAYERS[layer]

    def inputs(random: np.random.Generator) -> Arrays:
        weights = scaled(random, filters, channels, width, width, fan=channels * width**2)
        return {"x": scaled(random, batch, channels, side, side), "w": weights, "g": scaled(random, batch, filters, side, side)}

    title = f"convolution {batch}×{channels}×{side}², {filters} filters {width}×{width}, {PASSES[way]}"
    return Case(f"W4.{layer}_{way}", title, inputs, results=("out",), operations=2.0 * batch * channels * side**2 * filters * width**2)


def bilinear(random: np.random.Generator) -> Arrays:
    return {"A": scaled(random, 64, 64, 64, fan=10), "B": scaled(random, 64, 64, 64, fan=10), "T": scaled(random, 64, 64, 64)}


def product(size: int) -> Case:
    def inputs(random: np.random.Generator) -> Arrays:
        return {"A": scaled(random, size, size), "B": scaled(random, size, size)}

    return Case(f"product.{size}", f"square product, {size}", inputs, results=("out",), operations=2.0 * size**3)


PRODUCTS = (
    *(convolution(layer, way) for layer in LAYERS for way in PASSES),
    gradients("W5", "batched bilinear form and sigmoid, 64⁴", bilinear, "A B", 6.0 * 64**4),
    *map(product, (512, 1024, 2048)),
)

# ------------------------------------------------------------------------------------------------------ rows, elements


def labelled(rows: int, classes: int, scores: str) -> Inputs:
    """Scores of some classes, and a label per row."""
    return lambda random: {scores: scaled(random, rows, classes, fan=0.25), "lab": random.integers(0, classes, rows)}


def layer_norm(random: np.random.Generator) -> Arrays:
    return {"x": scaled(random, 4096, 1024), "gain": scaled(random, 1024), "bias": scaled(random, 1024), "T": scaled(random, 4096, 1024)}


def embedding(random: np.random.Generator) -> Arrays:
    """Few tokens are frequent, as words are."""
    tokens = np.minimum((random.pareto(1.0, 8192) * 50).astype(np.int64), 49_999)
    return {"E": scaled(random, 50_000, 256), "idx": tokens, "G": scaled(random, 8192, 256)}


def ten(random: np.random.Generator) -> Arrays:
    return {name: scaled(random, 10) for name in ("a", "x", "b", "g")}


ROWS = (
    gradients("W6.softmax", "softmax cross-entropy, 4096×10000", labelled(4096, 10_000, "z"), "z"),
    gradients("W6.layernorm", "layer norm, 4096×1024", layer_norm, "x gain bias"),
    gradients("W6.gelu", "gelu, 4096²", lambda random: {"x": scaled(random, 4096, 4096), "T": scaled(random, 4096, 4096)}, "x"),
)
SMALL = (
    gradients("W9", "embedding 50000×256, 8192 tokens", embedding, "E"),
    Case("W10.fwd", "ten elements of a·x + b", lambda random: {n: a for n, a in ten(random).items() if n != "g"}, results=("y",)),
    gradients("W10.grad", "ten elements, gradients", ten, "a x b"),
)

# ------------------------------------------------------------------------------------------------ no operation of its own

RADIUS = 4
"""Of the bilateral filter; its window is 2·4 + 1 wide."""


def pairs(rows: int, width: int) -> Inputs:
    """Two sets of points, and a weight for each pair."""
    return lambda random: {"X": scaled(random, rows, width), "Y": scaled(random, rows, width), "T": scaled(random, rows, rows)}


def maxout(random: np.random.Generator) -> Arrays:
    return {"x": scaled(random, 128, 512), "w": scaled(random, 512, 1024, fan=512), "b": scaled(random, 1024),
            "T": scaled(random, 128, 256)}


def curves(random: np.random.Generator) -> Arrays:
    """Random walks."""
    walks = np.cumsum(scaled(random, 2, 32, 128, fan=10), axis=2)
    return {"x": walks[0], "y": walks[1]}


def image(random: np.random.Generator) -> Arrays:
    """Squares of 8×8 pixels with noise, larger than the result by the window."""
    side = 512 + 2 * RADIUS
    squares = np.kron(random.random((side // 8, side // 8)), np.ones((8, 8)))
    return {"I": squares + scaled(random, side, side, fan=400), "T": scaled(random, 512, 512)}


CUSTOM = (
    gradients("W7.l1dist", "L1 distances, 1024²×64", pairs(1024, 64), "X Y", 6.0 * 1024**2 * 64),
    gradients("W7.maxout", "maxout 128×512, 256 outputs of 4 pieces", maxout, "x w b", 6.0 * 128 * 512 * 1024),
    gradients("W7.softdtw", "soft dynamic time warping, 32 of 128×128", curves, "x y", 30.0 * 32 * 128**2),
    gradients("W7.bilateral", "bilateral filter 512², radius 4", image, "I", 20.0 * 512**2 * (2 * RADIUS + 1) ** 2),
    gradients("W7.rbf", "Gaussian kernel matrix, 2048²×64", pairs(2048, 64), "X Y", 6.0 * 2048**2 * 64),
    gradients("W7.hinge", "multi-class hinge loss, 4096×1000", labelled(4096, 1000, "S"), "S"),
)

# --------------------------------------------------------------------------------------------------------- recurrences


def recurrent(gates: int) -> Inputs:
    """128 steps of a batch of 32 and a state of 128; G weights every state in the loss."""

    def inputs(random: np.random.Generator) -> Arrays:
        return {"Wx": scaled(random, 128, gates * 128, fan=256), "Wh": scaled(random, 128, gates * 128, fan=256),
                "b": scaled(random, gates * 128, fan=100), "x": scaled(random, 128, 32, 128), "G": scaled(random, 128, 32, 128)}

    return inputs


def string(random: np.random.Generator) -> Arrays:
    """A string plucked in the middle, and the shape it shall have in the end."""
    place = np.arange(4096.0)
    return {"u0": np.exp(-(((place - 2048) / 50) ** 2)), "tgt": np.sin(place / 80) / 4}


RECURRENCES = (
    gradients("W8.rnn", "tanh RNN, 128 steps, 32×128", recurrent(1), "Wx Wh b", 2.0 * 128 * 32 * 128 * 128 * 5),
    gradients("W8.lstm", "LSTM, 128 steps, 32×128", recurrent(4), "Wx Wh b", 8.0 * 128 * 32 * 128 * 128 * 5),
    gradients("W8.cumsum", "cumulative sums, 256×65536",
              lambda random: {"x": scaled(random, 256, 65_536), "G": scaled(random, 256, 65_536)}, "x"),
    gradients("W8.wave", "wave equation, 4096 points, 1000 steps", string, "u0", 2.0 * 5 * 4096 * 1000),
)
STEPS, SPEED = 1000, 0.25
"""Of the wave equation: steps in time, and the square of its speed."""

CASES = {case.name: case for case in (*NETS, *PRODUCTS, *ROWS, *CUSTOM, *RECURRENCES, *SMALL, *BIG_NETS)}


def selected(wanted: str) -> list[Case]:
    """Cases whose name or workload is in a list separated by commas; all for an empty one.

    Raises ``KeyError`` with the first entry that names nothing.
    """
    words = [w.strip() for w in wanted.split(",") if w.strip()]
    for word in words:
        if not any(word in (case.name, case.workload) for case in CASES.values()):
            raise KeyError(word)
    return [case for case in CASES.values() if not words or {case.name, case.workload} & set(words)]
