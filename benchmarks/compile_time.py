"""How long it takes to import graphc, to differentiate and print VGG-16 and a transformer, and to get LeNet's training step ready.

    python benchmarks/compile_time.py

Every number is measured in a process of its own. LeNet's first process starts with an empty kernel cache, the second one finds it filled.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import graphc as gc

ROOT = Path(__file__).parents[1]


def vgg16(size: int = 224, classes: int = 1000) -> tuple[gc.Tensor, list[gc.Tensor]]:
    """VGG-16 in 38 statements, and the loss: 13 convolutions with a relu each, 5 poolings, 3 linear layers, 2 of them with a relu,
    a flattening and the loss."""
    n, f, c, y, x, r, s, i, j = gc.indices("n f c y x r s i j")
    image, label = gc.tensor("image", gc.dim("N"), 3, size, size), gc.tensor("label", gc.dim("N"), dtype="int64")
    parameters: list[gc.Tensor] = []
    count = 0

    def parameter(name: str, *shape: int) -> gc.Tensor:
        parameters.append(gc.parameter(name, *shape, init="he_uniform" if len(shape) > 1 else "zeros"))
        return parameters[-1]

    here, channels = image, 3
    for block, (layers, kernels) in enumerate([(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)]):
        p, q = gc.index("p", size >> block), gc.index("q", size >> block)
        for _ in range(layers):
            count += 1
            w, b = parameter(f"conv{count}.weight", kernels, channels, 3, 3), parameter(f"conv{count}.bias", kernels)
            u, h = gc.tensor(f"conv{count}.out"), gc.tensor(f"relu{count}")
            u[n, f, p, q] = gc.sum(gc.pad(here, 0)[n, c, p + r - 1, q + s - 1] * w[f, c, r, s], over=(c, r, s)) + b[f]
            h[n, f, p, q] = gc.relu(u[n, f, p, q])
            here, channels = h, kernels
        p, q, r2, s2 = gc.index("p", size >> block + 1), gc.index("q", size >> block + 1), gc.index("r", 2), gc.index("s", 2)
        pooled = gc.tensor(f"pool{block + 1}")
        pooled[n, f, p, q] = gc.max(here[n, f, 2 * p + r2, 2 * q + s2], over=(r2, s2))
        here = pooled
    side = size >> 5
    y, x = gc.index("y", side), gc.index("x", side)
    flat = gc.tensor("flat")
    flat[n, side * side * f + side * y + x] = here[n, f, y, x]
    here, width = flat, channels * side * side
    for layer, outputs in enumerate((4096, 4096, classes), 1):
        w, b = parameter(f"fc{layer}.weight", outputs, width), parameter(f"fc{layer}.bias", outputs)
        u = gc.tensor(f"fc{layer}.out")
        u[n, i] = gc.sum(here[n, j] * w[i, j], over=j) + b[i]
        here, width = u, outputs
        if layer < 3:
            here = gc.tensor(f"fc{layer}.relu")
            here[n, i] = gc.relu(u[n, i])
    loss = gc.tensor("loss")
    loss[()] = gc.mean(gc.logsumexp(here[n, i], over=i) - here[n, label[n]], over=n)
    return loss, parameters


def measure_vgg() -> None:
    started = time.perf_counter()
    loss, parameters = vgg16()
    built = time.perf_counter()
    gradients = gc.grad(loss, parameters)
    derived = time.perf_counter()
    source = gc.compile([loss, *gradients]).source
    done = time.perf_counter()
    forward, both = (len(str(gc.loops(*tensors)).splitlines()) for tensors in ([loss], [loss, *gradients]))
    print(f"VGG-16: {forward} statements written in {built - started:.3f} s, differentiated in {derived - built:.3f} s "
          f"({both} statements), {len(source.splitlines())} lines of source in {done - derived:.3f} s")


def measure_transformer() -> None:
    from transformer import transformer

    started = time.process_time()
    loss, parameters = transformer(12)
    built = time.process_time()
    gradients = gc.grad(loss, parameters)
    derived = time.process_time()
    lines = len(gc.loops(loss, *gradients).splitlines())
    done = time.process_time()
    print(f"Transformer of 12 layers: written in {built - started:.2f} s, differentiated in {derived - built:.2f} s, "
          f"{lines} loops as text in {done - derived:.2f} s; together {done - started:.2f} s of processor time")


def measure_lenet() -> None:
    import numpy as np

    spec = importlib.util.spec_from_file_location("digits", ROOT / "examples" / "00_digits.py")
    assert spec is not None and spec.loader is not None
    digits: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(digits)
    random = np.random.default_rng(0)
    images, labels = random.random((64, 1, 28, 28), dtype="float32"), random.integers(0, 10, 64)
    started = time.perf_counter()
    image, label = gc.tensor("image", digits.N, 1, 28, 28), gc.tensor("label", digits.N, dtype="int64")
    scores, parameters = digits.lenet(image, 28)
    loss = digits.cross_entropy(scores, label)
    step = gc.compile(loss, updates=digits.momentum(parameters, gc.grad(loss, parameters)))
    state = step.init(seed=0)
    built = time.perf_counter()
    step(state, image=images, label=labels)
    ready = time.perf_counter()
    times = []
    for _ in range(20):
        begin = time.perf_counter()
        step(state, image=images, label=labels)
        times.append(time.perf_counter() - begin)
    median = sorted(times)[10] * 1e3
    print(f"built and lowered in {built - started:.2f} s, first step {ready - built:.2f} s, then {median:.1f} ms per step of 64")


def child(what: str, **environment: str) -> str:
    environment = {**os.environ, "MPLBACKEND": "Agg", **environment}
    done = subprocess.run([sys.executable, __file__, what], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def main() -> None:
    if len(sys.argv) > 1:
        {"vgg": measure_vgg, "transformer": measure_transformer, "lenet": measure_lenet}[sys.argv[1]]()
        return
    code = "import time; t = time.perf_counter(); import graphc; print(f'{time.perf_counter() - t:.2f}')"
    imports = [float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout) for _ in range(3)]
    print(f"import graphc: {min(imports):.2f} s")
    with tempfile.TemporaryDirectory() as cache:
        print(child("vgg", GRAPHC_CACHE_DIR=cache))
        print(child("transformer"))
        print("LeNet, empty cache:    ", child("lenet", GRAPHC_CACHE_DIR=cache))
        print("LeNet, second process: ", child("lenet", GRAPHC_CACHE_DIR=cache))


if __name__ == "__main__":
    main()
