"""The processes of the peers: started with equal threads and empty caches, asked one at a time."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from comparison.cases import Case

BENCHMARKS = Path(__file__).parents[1]
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "GRAPHC_NUM_THREADS", "NPROC")
CACHES = ("GRAPHC_CACHE_DIR", "NUMBA_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")
REFERENCES = ("torch", "jax", "numpy", "graphc")
"""Who computes the reference in float64: the first that has the case."""


class Failure(Exception):
    """A peer that could not do what it was asked to, with its reason."""


@dataclass(frozen=True)
class Setting:
    """How a comparison is run.

    Attributes:
        threads: that each peer may use.
        rounds: turns of each peer.
        seconds: of one turn.
        patience: seconds that a peer may take to get ready, and for a turn.
        interpreters: Python of a peer, where it is not this one.
    """

    threads: int
    rounds: int = 7
    seconds: float = 0.3
    patience: float = 120
    interpreters: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Measured:
    """What one peer did on one case.

    Attributes:
        seconds: median of its turns, None if it was not timed.
        turns: median of the calls of each turn.
        compile: seconds until the first result was there.
        error: relative to the reference.
        reason: why it was not timed.
    """

    seconds: float | None = None
    turns: list[float] = field(default_factory=list)
    compile: float | None = None
    error: float | None = None
    reason: str = ""


@dataclass
class Row:
    """A case and what every peer did on it; `limit` is the least time that the machine's arithmetic and memory allow."""

    name: str
    title: str
    limit: float | None
    peers: dict[str, Measured]

    def json(self) -> dict[str, Any]:
        return asdict(self)


def environment(threads: int, caches: str) -> dict[str, str]:
    """Variables of a peer's process: so many threads, caches in a directory of its own, modules found."""
    path = os.pathsep.join(filter(None, (str(BENCHMARKS), str(BENCHMARKS.parent), os.environ.get("PYTHONPATH", ""))))
    flags = f"--xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'}"
    return {**os.environ, **dict.fromkeys(THREADS, str(threads)), **{name: os.path.join(caches, name.lower()) for name in CACHES},
            "PYTHONPATH": path, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}


class Worker:
    """A process of `comparison.worker`, ended with the block."""

    def __init__(self, setting: Setting, what: str, peer: str, *case: str, **options: str) -> None:
        self._patience = setting.patience
        self._folder = TemporaryDirectory(ignore_cleanup_errors=True)
        words = [what, peer, *case, f"--threads={setting.threads}", *(f"--{name}={value}" for name, value in options.items())]
        command = [setting.interpreters.get(peer, sys.executable), "-m", "comparison.worker", *words]
        self._errors = (Path(self._folder.name) / "errors").open("w+", encoding="utf-8")
        try:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
                                             env=environment(setting.threads, self._folder.name))
        except OSError as failure:
            self._close()
            raise Failure(str(failure)) from None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._close()

    def _close(self) -> None:
        self._errors.close()
        self._folder.cleanup()

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request, if any, and return the answer.

        Raises ``Failure`` with what the peer said, or that it took too long.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        late = threading.Event()
        timer = threading.Timer(self._patience, lambda: (late.set(), self._process.kill()))
        timer.start()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        timer.cancel()
        if late.is_set():
            raise Failure(f"took longer than {self._patience:.0f} s")
        answer = json.loads(line) if line else {"failure": self._last_words()}
        if "failure" in answer:
            raise Failure(answer["failure"])
        return dict(answer)

    def _last_words(self) -> str:
        self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        return lines[-1][:200] if lines else f"ended with {self._process.returncode}"


def described(setting: Setting, peer: str) -> dict[str, Any]:
    """Version, cases and limits of a peer."""
    with Worker(setting, "describe", peer) as worker:
        return worker.ask()


def least(case: Case, volume: float, limits: Mapping[str, float]) -> float | None:
    """Seconds that the machine needs at least: for the operations, or to read all arguments and write all results once."""
    return max(case.operations / limits["operations"], volume / limits["bandwidth"]) if limits else None


def compared(case: Case, peers: Iterable[str], reference: str, setting: Setting, limits: Mapping[str, float]) -> Row:
    """Every peer on one case: compared with the reference, then timed in turns, in the opposite order every other round."""
    measured, volume = {peer: Measured() for peer in peers}, 0.0
    with TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        saved = os.path.join(folder, "reference.npz")
        with Worker(setting, "serve", reference, case.name, dtype="float64", save=saved) as worker:
            worker.ask()
        workers = {}
        for peer, found in measured.items():
            try:
                worker = stack.enter_context(Worker(setting, "serve", peer, case.name, reference=saved))
                answer = worker.ask()
            except Failure as failure:
                found.reason = str(failure)
                continue
            found.compile, found.error, volume = answer["compile"], answer["error"], answer["bytes"]
            if answer["error"] > case.tolerance:
                found.reason = f"wrong by {answer['error']:.0e}"
            else:
                workers[peer] = worker
        take_turns(workers, measured, setting)
    return Row(case.name, case.title, least(case, volume, limits), measured)


def take_turns(workers: Mapping[str, Worker], measured: Mapping[str, Measured], setting: Setting) -> None:
    """Ask one worker after the other, round by round; the time is the median of its turns."""
    for number in range(setting.rounds):
        for peer in list(workers)[:: 1 if number % 2 == 0 else -1]:
            if not measured[peer].reason:
                try:
                    measured[peer].turns.append(workers[peer].ask(seconds=setting.seconds)["seconds"])
                except Failure as failure:
                    measured[peer].reason = str(failure)
    for found in measured.values():
        if found.turns and not found.reason:
            found.seconds = statistics.median(found.turns)
