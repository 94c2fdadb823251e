"""graphc's programs of the workloads: loops, with the gradients derived."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import graphc as gc
from comparison.cases import ALEXNET, RADIUS, SPEED, STEPS, VGG, Arrays, Case
from comparison.timed import Timed, by_name
from graphc.runtime.limits import limits as measured_limits
from graphc.runtime.pool import default_team

VERSION = gc.__version__


@dataclass(frozen=True)
class Written:
    """A program in graphc's notation: what it returns, under which names, and for a training step what is updated."""

    outputs: list[gc.Tensor]
    names: list[str]
    updates: Mapping[gc.Tensor, gc.Tensor] | None = None
    parameters: Sequence[str] = ()

    def compiled(self, precision: str | None = None) -> Any:
        """The program, built and scheduled; machine code is made by its first call."""
        return gc.compile(self.outputs, updates=self.updates, precision=precision)

    def timed(self, inputs: Arrays) -> Timed:
        """A call with these arguments, in their precision, and its results by name."""
        program = self.compiled("float64" if any(a.dtype == np.float64 for a in inputs.values()) else None)
        if self.updates is None:
            given = {n: inputs[n] for n in program.inputs}
            return lambda: program(given), lambda results: dict(zip(self.names, results, strict=True))
        state = {**program.init(seed=0), **{n: inputs[n].copy() for n in self.parameters}}
        data = {n: a for n, a in inputs.items() if n not in self.parameters}

        def named(results: Any) -> Arrays:
            return {"loss": results[0], **{f"new_{n}": state[n].copy() for n in self.parameters}}

        return lambda: program(state, **data), named


Program = Callable[[Arrays, str], Written]
"""Of the inputs, whose shapes tell all sizes, and of the part of the workload."""


def _tensors(inputs: Arrays, parameters: Sequence[str] = ()) -> dict[str, Any]:
    """A tensor per array, of its shape; the `parameters` with an initialiser."""
    made = {}
    for name, array in inputs.items():
        kind = gc.parameter if name in parameters else gc.tensor
        keywords = {} if name in parameters else {"dtype": str(array.dtype)}
        made[name] = kind(name, *array.shape, **keywords)
    return made


def _gradients(loss: Any, tensors: dict[str, Any], wanted: Sequence[str]) -> Written:
    return Written([loss, *gc.grad(loss, [tensors[n] for n in wanted])], ["loss", *(f"d_{n}" for n in wanted)])


def _step(loss: Any, updates: Any, parameters: Sequence[str]) -> Written:
    return Written([loss], ["loss"], updates, parameters)


def _dot(*factors: Any, over: Any) -> Any:
    return gc.sum(math.prod(factors[1:], start=factors[0]), over=over)


def two_layers(inputs: Arrays, part: str) -> Written:
    a = _tensors(inputs, ["w1", "w2"])
    n, i, j, k = gc.indices("n i j k")
    h, z, loss = gc.tensors("h z loss")
    h[n, j] = gc.sigmoid(_dot(a["x"][n, i], a["w1"][i, j], over=i))
    z[n, k] = _dot(h[n, j], a["w2"][j, k], over=j) - a["y"][n, k]
    loss[()] += z[n, k] ** 2
    if part == "step":
        return _step(loss, gc.optim.sgd(loss, lr=1e-4), ["w1", "w2"])
    return _gradients(loss, a, ["w1", "w2"])


def _cross_entropy(z: Any, y: Any, rows: Any) -> Any:
    n, j = gc.indices("n j")
    loss = gc.tensor("loss")
    loss[()] += (gc.logsumexp(z[n, j], over=j) - z[n, y[n]]) / rows
    return loss


def perceptron(inputs: Arrays, part: str) -> Written:
    parameters = ["w1", "b1", "w2", "b2", "w3", "b3"]
    a = _tensors(inputs, parameters)
    n, i, j = gc.indices("n i j")
    h1, h2, z = gc.tensors("h1 h2 z")
    h1[n, j] = gc.relu(_dot(a["x"][n, i], a["w1"][i, j], over=i) + a["b1"][j])
    h2[n, j] = gc.relu(_dot(h1[n, i], a["w2"][i, j], over=i) + a["b2"][j])
    z[n, j] = _dot(h2[n, i], a["w3"][i, j], over=i) + a["b3"][j]
    loss = _cross_entropy(z, a["y"], len(inputs["y"]))
    if part == "step":
        return _step(loss, gc.optim.adam(loss, lr=1e-3), parameters)
    return _gradients(loss, a, parameters)


def lenet(inputs: Arrays, part: str) -> Written:
    parameters = ["w1", "b1", "w2", "b2", "w3", "b3", "w4", "b4"]
    a = _tensors(inputs, parameters)
    h = a["x"]
    for layer in "12":
        h = gc.nn.conv2d(h, a[f"w{layer}"], a[f"b{layer}"], padding=2, name=f"u{layer}")
        h = gc.nn.max_pool2d(gc.nn.relu(h, name=f"a{layer}"), 2, name=f"p{layer}")
    n, i, j = gc.indices("n i j")
    flat = gc.nn.flatten(h, name="flat")
    f, z = gc.tensors("f z")
    f[n, j] = gc.relu(_dot(flat[n, i], a["w3"][i, j], over=i) + a["b3"][j])
    z[n, j] = _dot(f[n, i], a["w4"][i, j], over=i) + a["b4"][j]
    loss = _cross_entropy(z, a["y"], len(inputs["y"]))
    if part == "step":
        return _step(loss, gc.optim.sgd(loss, lr=0.01, momentum=0.9), parameters)
    return _gradients(loss, a, parameters)


def convolution(inputs: Arrays, part: str) -> Written:
    a, way = _tensors(inputs), part.partition("_")[2]
    padding = inputs["w"].shape[-1] // 2
    out = gc.nn.conv2d(a["x"], a["w"], padding=padding, name="out")
    if way != "fwd":
        seeded, (n, o, p, q) = gc.tensor("seeded"), gc.indices("n o p q")
        seeded[()] += out[n, o, p, q] * a["g"][n, o, p, q]
        (out,) = gc.grad(seeded, [a["x" if way == "bwd_data" else "w"]])
    return Written([out], ["out"])


def bilinear(inputs: Arrays, part: str) -> Written:
    a = _tensors(inputs)
    h, i, j, k = gc.indices("h i j k")
    u, y, loss = gc.tensors("u y loss")
    u[h, i, j] += a["A"][h, i, k] * a["B"][h, j, k]
    y[h, i, j] = gc.sigmoid(u[h, i, j])
    loss[()] += y[h, i, j] * a["T"][h, i, j]
    return _gradients(loss, a, ["A", "B"])


def rows(inputs: Arrays, part: str) -> Written:
    a = _tensors(inputs)
    n, j = gc.indices("n j")
    if part == "softmax":
        return _gradients(_cross_entropy(a["z"], a["lab"], len(inputs["lab"])), a, ["z"])
    loss = gc.tensor("loss")
    if part == "gelu":
        loss[()] += gc.gelu(a["x"][n, j]) * a["T"][n, j]
        return _gradients(loss, a, ["x"])
    y = gc.nn.layer_norm(a["x"], inputs["x"].shape[1:], a["gain"], a["bias"], eps=1e-5, name="y")
    loss[()] += y[n, j] * a["T"][n, j]
    return _gradients(loss, a, ["x", "gain", "bias"])


def l1_distances(inputs: Arrays, part: str) -> Written:
    a = _tensors(inputs)
    i, j, k = gc.indices("i j k")
    d, loss = gc.tensors("d loss")
    d[i, j] += gc.abs(a["X"][i, k] - a["Y"][j, k])
    loss[()] += d[i, j] * a["T"][i, j]
    return _gradients(loss, a, ["X", "Y"])


def maxout(inputs: Arrays, part: str) -> Written:
    a = _tensors(inputs)
    n, i, c, o, r = *gc.indices("n i c o"), gc.index("r", 4)
    z, y, loss = gc.tensors("z y loss")
    z[n, c] = _dot(a["x"][n, i], a["w"][i, c], over=i) + a["b"][c]
    y[n, o] = gc.max(z[n, 4 * o + r], over=r)
    loss[()] += y[n, o] * a["T"][n, o]
    return _gradients(loss, a, ["x", "w", "b"])


def soft_dtw(inputs: Arrays, part: str) -> Written:
    a = _tensors(inputs)
    (batch, rows), columns = inputs["x"].shape, inputs["y"].shape[1]
    b, i, j = gc.index("b", batch), gc.index("i", rows), gc.index("j", columns)
    cost, loss = gc.tensors("cost loss")
    far = gc.pad(cost, 1e8, dims=[1, 2])
    near = [-far[b, i - 1, j - 1], -far[b, i - 1, j], -far[b, i, j - 1]]
    least = gc.maximum(gc.maximum(near[0], near[1]), near[2])
    soft = -least - gc.log(sum(gc.exp(v - least) for v in near))
    cost[b, i, j] = (a["x"][b, i] - a["y"][b, j]) ** 2 + gc.where((i == 0) & (j == 0), 0, soft)
    loss[()] += cost[b, rows - 1, columns - 1]
    return _gradients(loss, a, ["x", "y"])


def bilateral(inputs: Arrays, part: str) -> Written:
    radius, sharpness, width = RADIUS, 0.15, 2.0
    a = _tensors(inputs)
    (p, q), r, s = gc.indices("p q"), gc.index("r", 2 * radius + 1), gc.index("s", 2 * radius + 1)
    image, target = a["I"], a["T"]
    near = gc.tensor("near")
    near[r, s] = gc.exp(-((r - radius) ** 2 + (s - radius) ** 2) / (2 * width**2))
    seen, total, weight, loss = image[p + r, q + s], *gc.tensors("total weight loss")
    likeness = gc.exp(-((seen - image[p + radius, q + radius]) ** 2) / (2 * sharpness**2)) * near[r, s]
    total[p, q] = gc.sum(likeness * seen, over=(r, s))
    weight[p, q] = gc.sum(likeness, over=(r, s))
    loss[()] += total[p, q] / weight[p, q] * target[p, q]
    return _gradients(loss, a, ["I"])


def gaussian_kernel(inputs: Arrays, part: str) -> Written:
    a = _tensors(inputs)
    i, j, k = gc.indices("i j k")
    x2, y2, xy, kernel, loss = gc.tensors("x2 y2 xy kernel loss")
    x2[i] += a["X"][i, k] ** 2
    y2[j] += a["Y"][j, k] ** 2
    xy[i, j] += a["X"][i, k] * a["Y"][j, k]
    kernel[i, j] = gc.exp(-0.02 * (x2[i] + y2[j] - 2 * xy[i, j]))
    loss[()] += kernel[i, j] * a["T"][i, j]
    return _gradients(loss, a, ["X", "Y"])


def hinge(inputs: Arrays, part: str) -> Written:
    a = _tensors(inputs)
    n, j = gc.indices("n j")
    scores, label, loss = a["S"], a["lab"], gc.tensor("loss")
    margin = gc.relu(scores[n, j] - scores[n, label[n]] + 1)
    loss[()] += gc.where(j == label[n], 0, margin) / len(inputs["lab"])
    return _gradients(loss, a, ["S"])


def rnn(inputs: Arrays, part: str) -> Written:
    a = _tensors(inputs)
    t, b, i, j = gc.indices("t b i j")
    h, loss = gc.tensors("h loss")
    fed = gc.sum(a["x"][t, b, j] * a["Wx"][j, i], over=j) + a["b"][i]
    h[t, b, i] = gc.tanh(fed + gc.sum(gc.pad(h, 0, dims=[0])[t - 1, b, j] * a["Wh"][j, i], over=j))
    loss[()] += h[t, b, i] * a["G"][t, b, i]
    return _gradients(loss, a, ["Wx", "Wh", "b"])


def lstm(inputs: Arrays, part: str) -> Written:
    a = _tensors(inputs)
    width = inputs["G"].shape[2]
    t, b, k, i, j = *gc.indices("t b k"), gc.index("i", width), gc.index("j", width)
    z, h, c, loss = gc.tensors("z h c loss")
    fed = gc.sum(a["x"][t, b, j] * a["Wx"][j, k], over=j) + a["b"][k]
    z[t, b, k] = fed + gc.sum(gc.pad(h, 0, dims=[0])[t - 1, b, j] * a["Wh"][j, k], over=j)
    enter, forget, out = (gc.sigmoid(z[t, b, gate * width + i]) for gate in (0, 1, 3))
    c[t, b, i] = forget * gc.pad(c, 0, dims=[0])[t - 1, b, i] + enter * gc.tanh(z[t, b, 2 * width + i])
    h[t, b, i] = out * gc.tanh(c[t, b, i])
    loss[()] += h[t, b, i] * a["G"][t, b, i]
    return _gradients(loss, a, ["Wx", "Wh", "b"])


def cumulative_sum(inputs: Arrays, part: str) -> Written:
    a = _tensors(inputs)
    n, i = gc.indices("n i")
    s, loss = gc.tensors("s loss")
    s[n, i] = gc.pad(s, 0, dims=[1])[n, i - 1] + a["x"][n, i]
    loss[()] += s[n, i] * a["G"][n, i]
    return _gradients(loss, a, ["x"])


def wave(inputs: Arrays, part: str) -> Written:
    steps, speed = STEPS, SPEED
    a = _tensors(inputs)
    t, i = gc.index("t", steps), gc.index("i")
    u, loss = gc.tensors("u loss")
    near = gc.pad(u, 0, dims=[1])
    u[t, i] = 2 * u[t - 1, i] - u[t - 2, i] + speed * (near[t - 1, i - 1] - 2 * u[t - 1, i] + near[t - 1, i + 1])
    u[-1, i] = a["u0"][i]
    u[-2, i] = a["u0"][i]
    loss[()] += 0.5 * (u[steps - 1, i] - a["tgt"][i]) ** 2
    return _gradients(loss, a, ["u0"])


def embedding(inputs: Arrays, part: str) -> Written:
    a = _tensors(inputs)
    n, d = gc.indices("n d")
    loss = gc.tensor("loss")
    loss[()] += a["E"][a["idx"][n], d] * a["G"][n, d]
    return _gradients(loss, a, ["E"])


def overhead(inputs: Arrays, part: str) -> Written:
    a = _tensors(inputs)
    i = gc.index("i")
    y, loss = gc.tensors("y loss")
    y[i] = a["a"][i] * a["x"][i] + a["b"][i]
    if part == "fwd":
        return Written([y], ["y"])
    loss[()] += a["g"][i] * y[i]
    return _gradients(loss, a, ["a", "x", "b"])


def _head(h: Any, a: dict[str, Any]) -> Any:
    n, i, j = gc.indices("n i j")
    for layer in range(3):
        z = gc.tensor(f"z{layer}")
        value = _dot(h[n, i], a[f"fw{layer}"][i, j], over=i) + a[f"fb{layer}"][j]
        z[n, j] = gc.relu(value) if layer < 2 else value
        h = z
    return h


def vgg16(inputs: Arrays, part: str) -> Written:
    a = _tensors(inputs)
    h, layer = a["x"], 0
    for block, convolutions in enumerate(VGG):
        for _ in convolutions:
            u = gc.nn.conv2d(h, a[f"w{layer}"], a[f"b{layer}"], padding=1, name=f"u{layer}")
            h, layer = gc.nn.relu(u, name=f"h{layer}"), layer + 1
        h = gc.nn.max_pool2d(h, 2, name=f"p{block}")
    return Written([_head(gc.nn.flatten(h, name="flat"), a)], ["out"])


def alexnet(inputs: Arrays, part: str) -> Written:
    a = _tensors(inputs)
    h = a["x"]
    for layer, (_, _, stride, padding, pooled) in enumerate(ALEXNET):
        u = gc.nn.conv2d(h, a[f"w{layer}"], a[f"b{layer}"], stride=stride, padding=padding, name=f"u{layer}")
        h = gc.nn.relu(u, name=f"h{layer}")
        if pooled:
            h = gc.nn.max_pool2d(h, 3, 2, name=f"p{layer}")
    loss = _cross_entropy(_head(gc.nn.flatten(h, name="flat"), a), a["y"], len(inputs["y"]))
    wanted = [n for n in inputs if n not in ("x", "y")]
    return _gradients(loss, a, wanted)


def product(inputs: Arrays, part: str) -> Written:
    a, (i, j, k), out = _tensors(inputs), gc.indices("i j k"), gc.tensor("out")
    out[i, j] += a["A"][i, k] * a["B"][k, j]
    return Written([out], ["out"])


PROGRAMS: dict[str, Program] = {
    "W1": two_layers, "W2": perceptron, "W3": lenet, "W4": convolution, "W5": bilinear, "W6": rows, "W7.l1dist": l1_distances,
    "W7.maxout": maxout, "W7.softdtw": soft_dtw, "W7.bilateral": bilateral, "W7.rbf": gaussian_kernel, "W7.hinge": hinge, "W8.rnn": rnn,
    "W8.lstm": lstm, "W8.cumsum": cumulative_sum, "W8.wave": wave, "W9": embedding, "W10": overhead, "W11.vgg16_fwd": vgg16,
    "W11.alexnet_grad": alexnet, "product": product,
}
"""By workload, or by workload and part where each part is a program of its own."""


def written(case: Case, arrays: Arrays) -> Written:
    """The program of a case."""
    program = PROGRAMS.get(case.name) or PROGRAMS[case.workload]
    return program(arrays, case.part)


def limits() -> dict[str, float]:
    """Operations in float32 and bytes per second that graphc's team of threads reaches."""
    reached = measured_limits(default_team())
    return {"operations": reached.operations["float32"], "bandwidth": reached.bandwidth}


def supports(mode: str, case: Case) -> bool:
    return case.name in PROGRAMS or case.workload in PROGRAMS


def prepare(mode: str, case: Case, arrays: Arrays, threads: int) -> Timed:
    """What is timed. Threads are limited by the environment."""
    call, named = written(case, arrays).timed(arrays)
    return call, lambda results: by_name(case, [named(results)[n] for n in case.results])
