"""A process that runs one peer: it is asked by lines of JSON on its standard input and answers by lines on its standard output.

    python -m comparison.worker describe PEER          its version and its cases
    python -m comparison.worker serve PEER CASE ...    prepares the case when it is asked to, then runs a turn per request
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import time
import timeit
from collections.abc import Iterator
from typing import Any, TextIO

import numpy as np

from comparison.cases import CASES, Arrays
from comparison.registry import PEERS, module
from comparison.timed import Timed

LEAST = 1e-3
"""Seconds: calls that are shorter are timed several together."""
PAUSE = 0.03
"""Seconds before a turn, for the threads of the peer before to fall asleep."""


def describe(peer: str) -> dict[str, Any]:
    """The version of a peer, the names of the cases that it has, and the machine's limits if it measures them."""
    found = module(peer)
    limits = found.limits() if hasattr(found, "limits") else {}
    return {"version": found.VERSION, "cases": [name for name, case in CASES.items() if found.supports(peer, case)], "limits": limits}


def error(found: Arrays, wanted: Arrays) -> float:
    """The largest norm of a difference by the norm of what is wanted, over all results; infinite where a shape differs."""
    worst = 0.0
    for name, right in wanted.items():
        if found[name].shape != right.shape:
            return float("inf")
        difference = float(np.linalg.norm((found[name].astype(np.float64) - right).ravel()))
        size = float(np.linalg.norm(right.astype(np.float64).ravel()))
        worst = max(worst, difference / size if size else difference)
        if np.isnan(difference):
            return float("inf")
    return worst


class Session:
    """One case of one peer: prepared once, run in turns."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.case = CASES[options.case]
        self.timed: Timed | None = None
        self.estimate = 0.0

    def prepare(self) -> dict[str, Any]:
        """Compile and call once: how long that took, and how far the results are from the reference (or they become it)."""
        arrays = self.case.arrays(self.options.dtype)
        peer = module(self.options.peer)
        begin = time.perf_counter()
        self.timed = call, named = peer.prepare(self.options.peer, self.case, arrays, self.options.threads)
        results = call()
        ready = time.perf_counter() - begin
        found = named(results)
        if self.options.save:
            np.savez(self.options.save, **found)
        wrong = None
        if self.options.reference:
            with np.load(self.options.reference) as reference:
                wrong = error(found, dict(reference))
        return {"compile": ready, "error": wrong, "bytes": sum(a.nbytes for a in (*arrays.values(), *found.values()))}

    def turn(self, seconds: float) -> dict[str, Any]:
        """Call again and again for some time: the median time of a call."""
        assert self.timed is not None
        time.sleep(PAUSE)
        timer = timeit.Timer(self.timed[0])
        first = timer.timeit(1)
        count = max(1, round(LEAST / min(first, self.estimate or first)))
        times = []
        end = time.perf_counter() + seconds
        while not times or time.perf_counter() < end:
            times.append(timer.timeit(count) / count)
        self.estimate = statistics.median(times)
        return {"seconds": self.estimate, "calls": count * len(times)}


def serve(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """An answer per request."""
    session = Session(options)
    for line in sys.stdin:
        request = json.loads(line)
        yield session.turn(request["seconds"]) if "seconds" in request else session.prepare()


def answers(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    if options.what == "serve":
        yield from serve(options)
    else:
        yield describe(options.peer)


def say(channel: TextIO, options: argparse.Namespace) -> None:
    """Write all answers; what a peer prints goes to the standard error. A failure is an answer too."""
    with contextlib.redirect_stdout(sys.stderr):
        try:
            for answer in answers(options):
                print(json.dumps(answer), file=channel, flush=True)
        except Exception as failure:
            said = str(failure).strip().splitlines() or [""]
            print(json.dumps({"failure": f"{type(failure).__name__}: {said[0]}"[:200]}), file=channel, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("describe", "serve"))
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("case", nargs="?")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--save")
    parser.add_argument("--reference")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    say(sys.stdout, options)


if __name__ == "__main__":
    main()
