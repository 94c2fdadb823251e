"""What distribution costs: a training step of LeNet on ranks of MPI beside the same rows in a process of its own.

    python benchmarks/distribute.py [--ranks 1 2] [--batch 64 256]

Every rank has one thread and batch/ranks examples. "alone" is the step of one process with so many examples while the other ranks sleep,
"together" the same while all ranks compute, each for itself: what they take from each other in caches and memory is not the fault of
distribution. "overlapped" and "at once" are the distributed step with overlap=True and False, "exchange" is an Allreduce of as many bytes
by itself. The ways alternate step by step; a step takes as long as on its slowest rank, and the fastest of all steps counts, so that a
busy moment of the machine harms none. One rank, which waits for nobody, is measured by its time on the processor. The last columns are
what the distributed steps take more than "together".
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import graphc as gc

SECONDS = 20
"""For a row of the table."""


def lenet() -> gc.Program:
    """28×28 → 20 filters → 50 filters → 500 → 10: 431,080 parameters, gradient descent with momentum."""
    x, labels = gc.tensor("X", gc.dim("N"), 1, 28, 28), gc.tensor("labels", gc.dim("N"), dtype="int64")
    net = gc.nn.Sequential(
        gc.nn.Conv2d(20, 5, name="conv1"), gc.nn.MaxPool2d(2), gc.nn.Conv2d(50, 5, name="conv2"), gc.nn.MaxPool2d(2), gc.nn.Flatten(),
        gc.nn.Linear(500, name="fc1"), gc.nn.ReLU(), gc.nn.Linear(10, name="fc2"))
    loss = gc.nn.cross_entropy(net(x), labels)
    return gc.compile(loss, updates=gc.optim.sgd(loss, lr=0.01, momentum=0.9))


def seconds(call: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    start = clock()
    call()
    return clock() - start


def worker(batches: list[int]) -> None:
    """What every rank runs."""
    from mpi4py import MPI

    step = lenet()
    split, whole = (gc.distribute(step, MPI.COMM_WORLD, shard=gc.dim("N"), overlap=overlap) for overlap in (True, False))
    for batch in batches:
        measure(MPI, step, split, whole, batch)


def measure(MPI: Any, step: gc.Program, split: gc.Distributed, whole: gc.Distributed, batch: int) -> None:
    """Print a row of the table."""
    comm, rows = MPI.COMM_WORLD, batch // MPI.COMM_WORLD.size
    random = np.random.default_rng(comm.rank)
    arrays = {"X": random.normal(size=(rows, 1, 28, 28)).astype("float32"), "labels": random.integers(0, 10, rows)}
    own, one, other = (step.init(seed=0) for _ in range(3))
    volume = np.zeros(whole.volume() // 4, np.float32)
    ways: dict[str, Callable[[], Any]] = {
        "together": lambda: step(own, **arrays),
        "overlapped": lambda: split(one, **arrays),
        "at once": lambda: whole(other, **arrays),
        "exchange": lambda: comm.Allreduce(MPI.IN_PLACE, volume),
    }
    for call in ways.values():
        call()
    clock = time.process_time if comm.size == 1 else time.perf_counter
    rounds = comm.bcast(int(SECONDS / (5 * min(seconds(ways["together"]) for _ in range(5)))))
    alone = [seconds(ways["together"], clock) for _ in range(rounds // 4)] if comm.rank == 0 else []
    _quiet_barrier(comm)
    times = np.empty((rounds, len(ways)))
    for row in times:
        for position, call in enumerate(ways.values()):
            comm.Barrier()
            row[position] = seconds(call, clock)
    slowest = np.empty_like(times)
    comm.Reduce(times, slowest, MPI.MAX)
    if comm.rank == 0:
        together, *others = slowest.min(axis=0)
        print(f"{comm.size:5} {batch:6} {whole.volume() / 1e6:8.2f}" + "".join(f" {1e3 * t:10.2f}" for t in (min(alone), together, *others))
              + "".join(f" {t / together - 1:10.1%}" for t in others[:2]), flush=True)


def _quiet_barrier(comm: Any) -> None:
    """Wait without taking a core from who is measured."""
    request = comm.Ibarrier()
    while not request.Test():
        time.sleep(0.01)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    options.add_argument("--batch", type=int, nargs="+", default=[64, 256])
    options.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.worker:
        worker(given.batch)
        return
    launcher = Path(sys.executable).parent / "mpiexec"
    mpiexec = str(launcher) if launcher.exists() else shutil.which("mpiexec")
    if mpiexec is None:
        sys.exit("There is no mpiexec: pip install graphc[mpi].")
    columns = "alone", "together", "overlapped", "at once", "exchange", "overhead", "overhead"
    print(f"{'ranks':>5} {'batch':>6} {'MB sent':>8}" + "".join(f" {name:>10}" for name in columns) + "  (ms)", flush=True)
    for ranks in given.ranks:
        command = [mpiexec, "-n", str(ranks), sys.executable, __file__, "--worker", "--batch", *map(str, given.batch)]
        subprocess.run(command, env={**os.environ, "GRAPHC_NUM_THREADS": "1"}, check=True)


if __name__ == "__main__":
    main()
