"""What the ranks of tests/distributed/test_mpi.py run: ``mpiexec -n 2 python ranks.py directory``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

import graphc as gc

Array = np.ndarray[Any, Any]

ROWS, CALLS = 10, 3


def lenet() -> gc.Program:
    x, labels = gc.tensor("X", gc.dim("N"), 1, 12, 12), gc.tensor("labels", gc.dim("N"), dtype="int64")
    net = gc.nn.Sequential(
        gc.nn.Conv2d(4, 3, name="conv1"), gc.nn.ReLU(), gc.nn.MaxPool2d(2), gc.nn.Conv2d(6, 2, name="conv2"), gc.nn.ReLU(),
        gc.nn.MaxPool2d(2), gc.nn.Flatten(), gc.nn.Linear(16, name="fc1"), gc.nn.ReLU(), gc.nn.Linear(5, name="fc2"))
    loss = gc.nn.cross_entropy(net(x), labels)
    return gc.compile(loss, updates=gc.optim.sgd(loss, lr=0.05, momentum=0.9))


def perceptron() -> gc.Program:
    """With batch norm, whose running statistics are updated as well."""
    x, labels = gc.tensor("X", gc.dim("N"), 1, 12, 12), gc.tensor("labels", gc.dim("N"), dtype="int64")
    updates: dict[gc.Tensor, gc.Tensor] = {}
    h = gc.nn.Linear(20, name="hidden")(gc.nn.flatten(x))
    mean, variance = gc.parameter("norm.mean", 20, init="zeros"), gc.parameter("norm.variance", 20, init="ones")
    weight, bias = gc.parameter("norm.weight", 20, init="ones"), gc.parameter("norm.bias", 20, init="zeros")
    h = gc.nn.ReLU()(gc.nn.batch_norm(h, mean, variance, weight, bias, training=True, updates=updates))
    loss = gc.nn.cross_entropy(gc.nn.Linear(5, name="last")(h), labels)
    return gc.compile(loss, updates={**gc.optim.sgd(loss, lr=0.05), **updates})


STEPS = {"lenet": lenet, "perceptron": perceptron}


def batches() -> list[dict[str, Array]]:
    random = np.random.default_rng(0)
    return [{"X": random.normal(size=(ROWS, 1, 12, 12)).astype("float32"), "labels": random.integers(0, 5, ROWS)} for _ in range(CALLS)]


def main(directory: Path) -> None:
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    cuts = np.linspace(0, ROWS, comm.size + 1).round().astype(int)
    mine = slice(cuts[comm.rank], cuts[comm.rank + 1])
    for name, make in STEPS.items():
        step = gc.distribute(make(), comm, shard=gc.dim("N"))
        state = step.init(seed=3)
        losses = [step(state, X=batch["X"][mine], labels=batch["labels"][mine]) for batch in batches()]
        others = comm.allgather({k: a.tobytes() for k, a in state.items()})
        assert all(other == others[0] for other in others), "the ranks have different parameters"
        if comm.rank == 0:
            np.savez(directory / f"{name}.npz", losses=losses, **state)
    before = {k: a.copy() for k, a in state.items()}
    labels = np.full(mine.stop - mine.start, 9 if comm.rank == comm.size - 1 else 0)
    try:
        step(state, X=batches()[0]["X"][mine], labels=labels)
    except gc.GraphcError as error:
        (directory / f"{comm.rank}.txt").write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
    assert all(np.array_equal(state[k], before[k]) for k in state), "a call that failed has changed the state"
    step(state, X=batches()[0]["X"][mine], labels=np.zeros(mine.stop - mine.start, np.int64))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
