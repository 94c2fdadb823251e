"""Many random programs: ``python -m tests.soak --minutes 60``; failures are printed as small programs that reproduce them.

Every program is compared with PyTorch (value and gradient; every eighth one to second order), every fourth one with the complex
step and after each pass, some with one pass left out, with every pass twice, one in sixteen as the plain Python that is
generated for the target "cpu", and as many with integers that may point outside, those with a recurrence more often with
checkpoints, one in sixty on that target (of one or two definitions), and as many on a simulated GPU. The report says how often
each check ran, and with which ``--statements`` and ``--checks`` such a failing seed is drawn again. ``--checks`` makes every
program go through the named checks instead.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import gc
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field

from graphc.ir.expr import undistributed
from tests import oracles
from tests.programs import RandomProgram, generate, shrunk

__all__ = ["main", "rotation", "verdict"]

CHUNK = 20
"""Seeds that a process treats at once."""
TOGETHER = 2
"""Programs of a chunk that are compiled for the target "cpu", together."""
COMPILED = 6
"""Of so many chunks, one is compiled: Numba takes longer for a program than all other checks for twenty."""
PATIENCE = 300
"""Seconds that one program may take."""
FINE = ("ok", "refused", "unsuitable")


def rotation(seed: int) -> tuple[str, ...]:
    """The checks of a seed: the oracle always, the expensive ones in turn."""
    first = ("torch",) if "torch" in oracles.CHECKS else ("values", "gradient")
    without = f"without {oracles.OPTIONAL[seed // 4 % len(oracles.OPTIONAL)]}"
    turns = {"values": 4, "gradient": 4, without: 4, "jvp": 8, "hvp": 16, "second order": 32, "twice": 16, "vmap": 16, "jacobian": 32,
             "hessian": 32, "unjitted": 16, "outside": 16, "checkpoint": 4, "cuda": 64, "c": 64, "custom_grad": 128}
    return tuple(dict.fromkeys((*first, *(kind for k, (kind, every) in enumerate(turns.items()) if (seed + k) % every == 0))))


def _run(case: oracles.Case, kind: str) -> None:
    if kind in oracles.CHECKS:
        oracles.CHECKS[kind](case)
    else:
        oracles.check_passes(case, [kind.removeprefix("without ")] if kind.startswith("without ") else [], twice=kind == "twice")


class _Slow(Exception):
    pass


def verdict(program: RandomProgram, kinds: Sequence[str]) -> tuple[str, str]:
    """ "ok", "refused", "unsuitable" or the check and the name of what went wrong, with the details."""
    kind = kinds[0]

    def run(case: oracles.Case) -> None:
        nonlocal kind
        for kind in kinds:
            try:
                _run(case.again(), kind)
            except oracles.Mismatch as error:
                if oracles.is_sensitive(case):
                    raise oracles.Unsuitable("rounding decides its values") from error
                raise

    try:
        with _limited():
            case = oracles.prepare(program)
            undistributed(lambda: run(case))  # SymPy's setting is changed once instead of by every stage: its change empties SymPy's caches
    except oracles.Refused as error:
        return "refused", str(error)
    except oracles.Unsuitable as error:
        return "unsuitable", str(error)
    except RecursionError:
        return f"{kind}: RecursionError", ""
    except Exception as error:
        return f"{kind}: {type(error).__name__}", "".join(traceback.format_exception(error)[-4:])
    return "ok", ""


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """`_Slow` after a while; where nothing of Python runs any more, as in LLVM, the end of the process."""
    signal.alarm(PATIENCE)
    faulthandler.dump_traceback_later(PATIENCE + 60, exit=True)
    try:
        yield
    finally:
        signal.alarm(0)
        faulthandler.cancel_dump_traceback_later()


Task = tuple[int, int, tuple[str, ...], int | None, float]
"""First seed, number of seeds, checks, statements, seconds for making a failure small."""


@dataclass
class Outcome:
    """Verdicts of some seeds, how often each check ran, and the failures: seed, verdict, text."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[int, str, str]] = field(default_factory=list)
    ran: Counter[str] = field(default_factory=Counter)
    refusals: list[str] = field(default_factory=list)


def _treated(task: Task) -> Outcome:
    """Runs in a process of its own."""
    first, count, kinds, statements, patience = task
    outcome = Outcome()
    for seed in range(first, first + count):
        try:
            program = generate(seed, statements)
        except Exception:
            outcome.counts["generator"] += 1
            outcome.failures.append((seed, "generator", traceback.format_exc()))
            continue
        chosen = kinds or rotation(seed)
        found, details = verdict(program, chosen)
        outcome.counts[found] += 1
        if found == "ok":
            outcome.ran.update(kind.split()[0] if kind.startswith("without") else kind for kind in chosen)
        if found == "refused":
            outcome.refusals.append(f"seed {seed}: {details}")
        if found not in FINE:
            outcome.failures.append((seed, found, _small(program, found, patience)))
    if not kinds and first // CHUNK % COMPILED == 0:
        _compiled(first, count, outcome, patience)
    return outcome


def _compiled_statements(seed: int) -> int:
    return 1 + seed % 2


def _compiled(first: int, count: int, outcome: Outcome, patience: float) -> None:
    """Some programs on the target "cpu"; one by one if they fail together."""
    chosen = [generate(seed, _compiled_statements(seed)) for seed in range(first, first + count, max(count // TOGETHER, 1))]
    try:
        with _limited():
            failed = oracles.check_together(chosen) is not None
    except Exception:
        failed = True
    outcome.ran["cpu"] += len(chosen)
    if failed:
        for program in chosen:
            found, _ = verdict(program, ["cpu"])
            if found not in FINE:
                outcome.counts[found] += 1
                again = f"--statements {_compiled_statements(program.seed)} --checks cpu"
                outcome.failures.append((program.seed, f"{found}; {again}", _small(program, found, patience)))
        if not outcome.failures:
            outcome.failures.append((first, "cpu", "\n\n".join(map(str, [*chosen, "fail together, not alone"]))))


def _small(program: RandomProgram, found: str, patience: float) -> str:
    kinds = [found.split(":", maxsplit=1)[0]]
    small = shrunk(program, lambda p: verdict(p, kinds)[0] == found, patience)
    return f"{small}\n{'-' * 100}\n{found}\n{verdict(small, kinds)[1]}"


def _started(cache: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, _late)
    warnings.simplefilter("ignore")
    os.environ["GRAPHC_CACHE_DIR"] = cache
    os.environ["GRAPHC_NUM_THREADS"] = "1"
    gc.freeze()
    gc.set_threshold(100_000, 50, 1000)  # expressions are no garbage: SymPy and graphc remember them
    if oracles.torch is not None:
        oracles.torch.set_num_threads(1)


def _late(*_: object) -> None:
    raise _Slow(f"more than {PATIENCE} s")


def _tasks(options: argparse.Namespace, stop: float) -> Iterator[Task]:
    last = options.seed + options.programs if options.programs else sys.maxsize
    for first in range(options.seed, last, CHUNK):
        if time.monotonic() > stop:
            return
        yield first, min(CHUNK, last - first), tuple(options.checks), options.statements, options.patience


def _outcomes(options: argparse.Namespace, stop: float) -> Iterator[Outcome]:
    """In as many processes as asked, each of which ends after some work, since SymPy remembers what it has seen."""
    with tempfile.TemporaryDirectory() as cache:
        if options.jobs == 1:
            _started(cache)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            yield from map(_treated, _tasks(options, stop))
            return
        tasks = _tasks(options, stop)
        crashed = True
        while crashed:
            crashed = False
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(options.jobs, context, _started, (cache,), max_tasks_per_child=20) as pool:
                waiting: list[tuple[Task, Future[Outcome]]] = []
                while waiting or not crashed:
                    while not crashed and len(waiting) <= options.jobs and (task := next(tasks, None)) is not None:
                        waiting.append((task, pool.submit(_treated, task)))
                    if not waiting:
                        break
                    task, result = waiting.pop(0)
                    try:
                        yield result.result()
                    except BrokenProcessPool:
                        crashed = True
                        text = f"A process died at one of the seeds {task[0]} to {task[0] + task[1] - 1}, or near; --jobs 1 shows which."
                        yield Outcome(Counter({"crash": 1}), [(task[0], "crash", text)])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, help="stop after that time; without it and --programs: when it is interrupted")
    parser.add_argument("--programs", type=int, help="stop after that many")
    parser.add_argument("--seed", type=int, help="the first one; drawn by default")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--checks", nargs="+", default=[], choices=list(oracles.CHECKS), help="the same oracles for every program")
    parser.add_argument("--statements", type=int, help="definitions per program")
    parser.add_argument("--patience", type=float, default=120, help="seconds for making one failure small")
    parser.add_argument("--refusals", action="store_true", help="print why programs are refused")
    options = parser.parse_args(arguments)
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(10**6, 10**9)
    began = time.monotonic()
    stop = began + 60 * options.minutes if options.minutes else float("inf")
    total = Outcome()
    with contextlib.suppress(KeyboardInterrupt):
        for outcome in _outcomes(options, stop):
            total.counts += outcome.counts
            total.ran += outcome.ran
            total.failures += outcome.failures
            for text in outcome.refusals if options.refusals else ():
                print(text, flush=True)
            for seed, _, text in outcome.failures:
                print(f"{'=' * 100}\nseed {seed}, made small:\n{text}", flush=True)
    _report(total, options.seed, time.monotonic() - began)
    return bool(total.failures)


def _report(total: Outcome, seed: int, seconds: float) -> None:
    programs = sum(n for kind, n in total.counts.items() if not kind.startswith("cpu"))
    verdicts = ", ".join(f"{n} {kind}" for kind, n in total.counts.most_common())
    print(f"{programs} programs in {seconds / 60:.1f} minutes, seeds {seed} to {seed + programs - 1}: {verdicts};")
    print("checks:", ", ".join(f"{n} {kind} (one in {max(programs // n, 1)})" for kind, n in total.ran.most_common()) + ".")
    if total.failures:
        print("failing seeds:", ", ".join(f"{s} ({kind})" for s, kind, _ in total.failures))


if __name__ == "__main__":
    raise SystemExit(main())
