"""Peak memory of VGG-16's training step (SGD with momentum) beside PyTorch's: ``python benchmarks/memory.py [--batch 8]``.

Each system runs two steps in a process of its own; reported is the largest resident set, and what it exceeds that after the imports by.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Callable

BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
HIDDEN, CLASSES, SIDE = (4096, 4096), 1000, 224


def peak() -> float:
    """Megabytes of the largest resident set so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def graphc(batch: int) -> Callable[[], float]:
    import numpy as np

    import graphc as gc

    nn, n = gc.nn, gc.dim("N")
    layers = []
    for block in BLOCKS:
        layers += [layer for width in block for layer in (nn.Conv2d(width, 3, padding=1), nn.ReLU())] + [nn.MaxPool2d(2)]
    hidden = [layer for width in HIDDEN for layer in (nn.Linear(width), nn.ReLU())]
    net = nn.Sequential(*layers, nn.Flatten(), *hidden, nn.Linear(CLASSES))
    loss = nn.cross_entropy(net(gc.tensor("image", n, 3, SIDE, SIDE)), gc.tensor("label", n, dtype="int64"))

    def run() -> float:
        step = gc.compile(loss, updates=gc.optim.sgd(loss, lr=1e-3, momentum=0.9))
        state, random = step.init(seed=0), np.random.default_rng(0)
        image, label = random.standard_normal((batch, 3, SIDE, SIDE), "float32"), random.integers(0, CLASSES, batch)
        return [float(step(state, image=image, label=label)) for _ in range(2)][-1]

    return run


def torch(batch: int) -> Callable[[], float]:
    import torch
    from torch import nn

    def run() -> float:
        layers, inputs = [], 3
        for block in BLOCKS:
            for width in block:
                layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU(inplace=True)]
                inputs = width
            layers.append(nn.MaxPool2d(2))
        widths = (inputs * (SIDE // 32) ** 2, *HIDDEN)
        for before, width in zip(widths, HIDDEN):
            layers += [*([nn.Flatten()] if before == widths[0] else []), nn.Linear(before, width), nn.ReLU(inplace=True)]
        net = nn.Sequential(*layers, nn.Linear(HIDDEN[-1], CLASSES))
        descent = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9)
        image, label = torch.randn(batch, 3, SIDE, SIDE), torch.randint(0, CLASSES, (batch,))
        for _ in range(2):
            descent.zero_grad()
            loss = nn.functional.cross_entropy(net(image), label)
            loss.backward()
            descent.step()
        return float(loss)

    return run


SYSTEMS = {"graphc": graphc, "torch": torch}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--system", choices=SYSTEMS, help="only this one, in this process")
    options = parser.parse_args()
    if options.system:
        run = SYSTEMS[options.system](options.batch)
        imported = peak()
        loss = run()
        print(json.dumps({"peak": peak(), "imported": imported, "loss": loss}))
        return
    for name in SYSTEMS:
        command = [sys.executable, __file__, "--batch", str(options.batch), "--system", name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{name}: {done.stderr.splitlines()[-1]}")
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        print(f"{name:8} batch {options.batch}: peak {found['peak']:.0f} MB, {found['peak'] - found['imported']:.0f} MB above the imports")


if __name__ == "__main__":
    main()
