"""What distribution costs: a training step of LeNet on ranks of MPI beside the same rows in a process of its own.

    python benchmarks/distribute.py [--ranks 1 2] [--batch 64 256]

Every rank has one thread and batch/ranks examples. "alone" is the step of one process with so many examples while the other ranks wait,
"together" the same while all ranks compute, each for itself: what they take from each other in caches and memory is not the fault of
distribution. "overlapped" and "at once" are the distributed step with overlap=True and False; all alternate, and medians are shown, the
last two columns those of their ratios to "together", less one. "exchange" is an Allreduce of as many bytes by itself.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import graphc as gc

ROUNDS = 15
SECONDS = 0.15


def lenet() -> gc.Program:
    """28×28 → 20 filters → 50 filters → 500 → 10: 431,080 parameters, gradient descent with momentum."""
    x, labels = gc.tensor("X", gc.dim("N"), 1, 28, 28), gc.tensor("labels", gc.dim("N"), dtype="int64")
    net = gc.nn.Sequential(
        gc.nn.Conv2d(20, 5, name="conv1"), gc.nn.MaxPool2d(2), gc.nn.Conv2d(50, 5, name="conv2"), gc.nn.MaxPool2d(2), gc.nn.Flatten(),
        gc.nn.Linear(500, name="fc1"), gc.nn.ReLU(), gc.nn.Linear(10, name="fc2"))
    loss = gc.nn.cross_entropy(net(x), labels)
    return gc.compile(loss, updates=gc.optim.sgd(loss, lr=0.01, momentum=0.9))


def seconds(call: Callable[[], Any], count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - start) / count


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
    count = comm.allreduce(max(1, round(SECONDS / seconds(ways["together"], 3))), MPI.MIN)
    times: dict[str, list[float]] = {name: [] for name in ("alone", *ways)}
    for _ in range(ROUNDS):
        comm.Barrier()
        if comm.rank == 0:
            times["alone"].append(seconds(ways["together"], count))
        _quiet_barrier(comm)
        for name, call in ways.items():
            comm.Barrier()
            times[name].append(comm.allreduce(seconds(call, count), MPI.MAX))
    if comm.rank == 0:
        shown = [statistics.median(values) * 1e3 for values in times.values()]
        overheads = [statistics.median(d / t - 1 for d, t in zip(times[name], times["together"], strict=True))
                     for name in ("overlapped", "at once")]
        print(f"{comm.size:5} {batch:6} {whole.volume() / 1e6:8.2f}" + "".join(f" {t:10.2f}" for t in shown)
              + "".join(f" {o:10.1%}" for o in overheads), flush=True)


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
