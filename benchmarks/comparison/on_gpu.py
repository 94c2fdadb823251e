"""What `benchmarks/cuda.py` measures: programs in graphc's notation beside the same in PyTorch, and the memory and arithmetic they need."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import graphc as gc
from comparison import cases as on_cpu
from comparison import programs

Arrays = dict[str, np.ndarray]
Sizes = tuple[int, ...]
Outputs = list[gc.Tensor]


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Attributes:
        name, title: short, and for people; the title is formatted with the sizes.
        sizes: on a GPU.
        dry: where nothing is measured; None if the case is left out there.
        arrays: makes the arguments.
        program: outputs in graphc's notation and, for a training step, its updates.
        peer: the same in PyTorch, from tensors by name: a value.
        wanted: arguments that are differentiated; the seed is the argument ``seed``, or 1 for a scalar.
        bytes: that have to be read and written at least, by sizes.
        operations: additions and multiplications at least; 0 where memory is the limit.
        goal: share of eager PyTorch's time that is to be reached.
        step: name of a training step of `comparison.cases`; most other attributes are then unused.
    """

    name: str
    title: str
    sizes: Sizes
    dry: Sizes | None
    arrays: Callable[[np.random.Generator, Sizes], Arrays]
    program: Callable[[Arrays], Outputs] = lambda arrays: []
    peer: Callable[..., Any] | None = None
    wanted: tuple[str, ...] = ()
    bytes: Callable[[Sizes], float] = lambda sizes: 0
    operations: Callable[[Sizes], float] = lambda sizes: 0
    goal: float | None = None
    step: str = ""


def normal(random: np.random.Generator, *shape: int) -> np.ndarray:
    return random.standard_normal(shape, dtype=np.float32)


def tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """A tensor for each argument, of its shape."""
    return {name: gc.tensor(name, *array.shape, dtype=str(array.dtype)) for name, array in arrays.items()}


def with_gradients(Y: gc.Tensor, given: Mapping[str, gc.Tensor], wanted: Sequence[str]) -> Outputs:
    return [Y, *gc.grad(Y, [given[n] for n in wanted], **({"seed": given["seed"]} if "seed" in given else {}))]


# ------------------------------------------------------------------------------------------------------------ memory bound


def chain(arrays: Arrays) -> Outputs:
    a, (i, j), Y = tensors(arrays), gc.indices("i j"), gc.tensor("Y")
    Y[i, j] = gc.tanh(a["x"][i, j] * a["y"][i, j] + 1) * gc.sigmoid(a["x"][i, j] - a["y"][i, j])
    return with_gradients(Y, a, ["x", "y"])


def softmax(arrays: Arrays) -> Outputs:
    a, (i, j, k), Y = tensors(arrays), gc.indices("i j k"), gc.tensor("Y")
    Y[i, j] = gc.exp(a["x"][i, j]) / gc.sum(gc.exp(a["x"][i, k]), over=k)
    return with_gradients(Y, a, ["x"])


def layer_norm(arrays: Arrays) -> Outputs:
    a = tensors(arrays)
    return with_gradients(gc.nn.layer_norm(a["x"], a["x"].shape[-1:], a["gain"], a["bias"]), a, ["x", "gain", "bias"])


def cross_entropy(arrays: Arrays) -> Outputs:
    a = tensors(arrays)
    return with_gradients(gc.nn.cross_entropy(a["x"], a["labels"]), a, ["x"])


def rows_and_seed(random: np.random.Generator, sizes: Sizes) -> Arrays:
    return {"x": normal(random, *sizes), "seed": normal(random, *sizes)}


# --------------------------------------------------------------------------------------------------------- arithmetic bound


def pairs(random: np.random.Generator, sizes: Sizes) -> Arrays:
    rows, columns, depth = sizes
    return {"x": normal(random, rows, depth), "y": normal(random, columns, depth)}


def factors(random: np.random.Generator, sizes: Sizes) -> Arrays:
    return {"x": normal(random, sizes[0], sizes[2]), "y": normal(random, sizes[2], sizes[1])}


def product(arrays: Arrays) -> Outputs:
    a, (i, j, k), Y = tensors(arrays), gc.indices("i j k"), gc.tensor("Y")
    Y[i, j] += a["x"][i, k] * a["y"][k, j]
    return [Y]


def distances(arrays: Arrays) -> Outputs:
    a, (i, j, k), Y = tensors(arrays), gc.indices("i j k"), gc.tensor("Y")
    Y[i, j] += abs(a["x"][i, k] - a["y"][j, k])
    return [Y]


def max_plus(arrays: Arrays) -> Outputs:
    a, (i, j, k), Y = tensors(arrays), gc.indices("i j k"), gc.tensor("Y")
    Y[i, j] = gc.max(a["x"][i, k] + a["y"][k, j], over=k)
    return [Y]


def max_plus_in_torch(torch: Any, x: Any, y: Any) -> Any:
    """By 16 rows at a time: all of them would not fit."""
    return torch.cat([(part[:, :, None] + y[None]).amax(1) for part in x.split(16)])


def convolution(arrays: Arrays) -> Outputs:
    a = tensors(arrays)
    return with_gradients(gc.nn.conv2d(a["x"], a["w"], padding=1), a, ["x", "w"])


def images(random: np.random.Generator, sizes: Sizes) -> Arrays:
    batch, channels, width, filters = sizes
    return {"x": normal(random, batch, channels, width, width), "w": normal(random, filters, channels, 3, 3) / np.float32(30),
            "seed": normal(random, batch, filters, width, width)}


def flat_products(sizes: Sizes) -> float:
    return 2.0 * math.prod(sizes)


# --------------------------------------------------------------------------------------------------------- bilateral slicing


def slicing(arrays: Arrays) -> Outputs:
    """Affine colours from a grid over place and brightness (Gharbi et al., "Deep bilateral learning", 2017), three channels.

    A pixel is the s-th of the u-th cell of its row, so that the eight corners around it have affine subscripts in the plane; along
    brightness all layers are summed, with weights that vanish for all but two.
    """
    a = tensors(arrays)
    u, v, r, s, c, d = gc.indices("u v r s c d")
    (e, f), k = (gc.index(n, 2) for n in "ef"), gc.indices("k")
    grid, guide, image = a["grid"], a["guide"], a["image"]
    cell, depth = arrays["guide"].shape[1], arrays["grid"].shape[2]
    near = [1 - abs((2 * x + 1) / (2 * cell) - y) for x, y in ((r, e), (s, f))]
    light = gc.maximum(0, 1 - abs(guide[u, r, v, s] * (depth - 1) - k))
    A, Y = gc.tensors("A Y")
    A[c, d, u, r, v, s] = gc.sum(near[0] * near[1] * light * grid[c, d, k, u + e, v + f], over=(e, f, k))
    Y[c, u, r, v, s] = gc.sum(A[c, d, u, r, v, s] * image[d, u, r, v, s], over=d)
    return with_gradients(Y, a, ["grid", "guide", "image"])


def scene(random: np.random.Generator, sizes: Sizes) -> Arrays:
    cells, cell, depth = sizes
    plane = (cells, cell, cells, cell)
    return {"grid": normal(random, 3, 4, depth, cells + 1, cells + 1), "guide": random.random(plane, dtype=np.float32),
            "image": np.concatenate([normal(random, 3, *plane), np.ones((1, *plane), np.float32)]), "seed": normal(random, 3, *plane)}


def slicing_in_torch(torch: Any, grid: Any, guide: Any, image: Any) -> Any:
    cells, cell = guide.shape[:2]
    pixels, depth = cells * cell, grid.shape[2]
    place = (torch.arange(pixels, device=grid.device) + 0.5) / pixels * 2 - 1
    y, x = torch.meshgrid(place, place, indexing="ij")
    coordinates = torch.stack([x, y, guide.reshape(pixels, pixels) * 2 - 1], -1)[None, None]
    sliced = torch.nn.functional.grid_sample(grid.reshape(1, 12, depth, cells + 1, cells + 1), coordinates, align_corners=True)
    colours = sliced.reshape(3, 4, pixels, pixels) * image.reshape(1, 4, pixels, pixels)
    return colours.sum(1).reshape(3, cells, cell, cells, cell)


# ------------------------------------------------------------------------------------------------------------------- table


def training(name: str, dry: Callable[[np.random.Generator], Arrays] | None = None) -> Case:
    """A training step of ``benchmarks/peers.py``, of which only those with small arguments run dry."""
    case = on_cpu.CASES[name]

    def arrays(random: np.random.Generator, sizes: Sizes) -> Arrays:
        return dry(random) if dry is not None and not sizes else case.inputs(random)

    return Case(name, case.title, (1,), () if dry is not None else None, arrays, goal=0.5, step=name,
                operations=lambda sizes: case.operations, wanted=case.wanted)


def few_neurons(random: np.random.Generator) -> Arrays:
    return {"x": normal(random, 3, 5), "y": normal(random, 3, 2), "w1": normal(random, 5, 4), "w2": normal(random, 4, 2)}


def program_of(case: Case, arrays: Arrays) -> programs.Written:
    """Outputs, updates and parameters of a case."""
    if case.step:
        return programs.written(on_cpu.CASES[case.step], arrays)
    outputs = case.program(arrays)
    return programs.Written(outputs, [t.name for t in outputs])


def matrix(count: float) -> Callable[[Sizes], float]:
    """So many passes over a matrix of float32."""
    return lambda sizes: 4 * count * math.prod(sizes)


CASES = (
    Case("chain", "tanh(x·y+1)·sigmoid(x-y) with gradients, {0}×{1}", (8192, 8192), (3, 5),
         lambda random, sizes: {**rows_and_seed(random, sizes), "y": normal(random, *sizes)}, chain,
         lambda torch, x, y: torch.tanh(x * y + 1) * torch.sigmoid(x - y), ("x", "y"), matrix(6), goal=0.8),
    Case("softmax", "softmax with gradient, {0}×{1}", (16384, 4096), (3, 5), rows_and_seed, softmax,
         lambda torch, x: torch.softmax(x, 1), ("x",), matrix(4), goal=0.8),
    Case("layernorm", "layer norm with gradients, {0}×{1}", (16384, 4096), (3, 5),
         lambda random, sizes: {**rows_and_seed(random, sizes), "gain": normal(random, sizes[1]), "bias": normal(random, sizes[1])},
         layer_norm, lambda torch, x, gain, bias: torch.nn.functional.layer_norm(x, x.shape[1:], gain, bias), ("x", "gain", "bias"),
         matrix(4), goal=0.8),
    Case("cross-entropy", "cross-entropy with gradient, {0}×{1}", (16384, 8192), (3, 5),
         lambda random, sizes: {"x": normal(random, *sizes), "labels": random.integers(0, sizes[1], sizes[0])}, cross_entropy,
         lambda torch, x, labels: torch.nn.functional.cross_entropy(x, labels), ("x",), matrix(2), goal=0.8),
    Case("product", "product, {0}×{1}×{2}", (4096, 4096, 4096), (3, 4, 5), factors, product, lambda torch, x, y: x @ y,
         operations=flat_products, goal=1 / 0.75),
    Case("l1", "L1 distances, {0}×{1}×{2}", (4096, 4096, 64), (3, 4, 5), pairs, distances,
         lambda torch, x, y: torch.cdist(x, y, p=1), operations=flat_products, goal=0.2),
    Case("max-plus", "max-plus product, {0}×{1}×{2}", (1024, 1024, 1024), (3, 4, 5), factors, max_plus, max_plus_in_torch,
         operations=flat_products, goal=0.2),
    Case("convolution", "3×3 convolution with gradients, batch {0}, {1} channels of {2}², {3} filters", (32, 128, 56, 128), (1, 2, 4, 3),
         images, convolution, lambda torch, x, w: torch.nn.functional.conv2d(x, w, padding=1), ("x", "w"),
         operations=lambda sizes: 3 * 18.0 * sizes[0] * sizes[1] * sizes[2] ** 2 * sizes[3]),
    Case("slicing", "bilateral slicing with gradients, ({0}·{1})² pixels, {2} layers", (32, 32, 8), (2, 2, 3), scene, slicing,
         slicing_in_torch, ("grid", "guide", "image"), goal=0.3),
    training("W1.step", few_neurons), training("W2.step"), training("W3.step"),
)
