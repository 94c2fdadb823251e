"""graphc beside PyTorch (eager and compiled), JAX, NumPy and Numba: one table with ratios, what each compiles, and the machine's limit.

    python benchmarks/peers.py                                        everything that is installed
    python benchmarks/peers.py --only W1,W7.l1dist --rounds 3         some cases
    python benchmarks/peers.py --peers torch,jax --python jax=/path/to/python
    python benchmarks/peers.py --json out.json --plot out.svg --write the table into docs/performance.md

Every peer of a case has a process of its own with the same number of threads; the processes take turns, and only one computes at a
time. Results are compared with a float64 reference first; a wrong one is not timed. The time is the median of the turns. The limit is
the longer of two times: the operations of the case at the machine's speed of multiply-adds, and all arguments read and all results
written once at its speed of copying.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

from comparison import report as reports
from comparison.cases import CASES, Case, selected
from comparison.registry import PEERS
from comparison.turns import REFERENCES, Failure, Measured, Row, Setting, compared, described
from rich.console import Console
from tqdm import tqdm

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"


def processors() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """The model of the processor, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def peer_list(text: str) -> list[str]:
    wanted = [word.strip() for word in text.split(",") if word.strip()]
    unknown = [word for word in wanted if word not in PEERS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]} is no peer; there are {', '.join(PEERS)}")
    return wanted


def case_list(text: str) -> list[Case]:
    try:
        return selected(text)
    except KeyError as unknown:
        raise argparse.ArgumentTypeError(f"{unknown.args[0]} is no case; there are {', '.join(CASES)}") from None


def interpreter(text: str) -> tuple[str, str]:
    peer, _, path = text.partition("=")
    if peer not in PEERS or not path:
        raise argparse.ArgumentTypeError("expected PEER=PATH")
    return peer, path


def arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=case_list, default="", help="cases or workloads, separated by commas")
    parser.add_argument("--peers", type=peer_list, default=",".join(PEERS), help=f"some of {', '.join(PEERS)}; graphc is always measured")
    parser.add_argument("--python", type=interpreter, action="append", default=[], metavar="PEER=PATH", help="interpreter of a peer")
    parser.add_argument("--threads", type=int, default=processors())
    parser.add_argument("--rounds", type=int, default=7, help="turns of each peer")
    parser.add_argument("--seconds", type=float, default=0.3, help="of one turn")
    parser.add_argument("--patience", type=float, default=120, help="seconds that a peer may take to compile")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE")
    parser.add_argument("--write", action="store_true", help=f"the table into {PAGE.name}")
    return parser.parse_args(words)


def installed(peers: Iterable[str], setting: Setting) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """What each peer that is there has, and the reason for each that is not."""
    found, missing = {}, {}
    for peer in peers:
        try:
            found[peer] = described(setting, peer)
        except Failure as failure:
            missing[peer] = str(failure)
    return found, missing


def row(case: Case, having: list[str], setting: Setting, limits: dict[str, float]) -> Row:
    """One case; if even the reference fails, the row says why."""
    reference = next(peer for peer in REFERENCES if peer in having)
    try:
        return compared(case, having, reference, setting, limits)
    except Failure as failure:
        return Row(case.name, case.title, None, {peer: Measured(reason=f"no reference: {failure}") for peer in having})


def measure(options: argparse.Namespace) -> reports.Report:
    """Run all cases with a bar that shows how far it is."""
    setting = Setting(options.threads, options.rounds, options.seconds, options.patience, dict(options.python))
    peers = [peer for peer in PEERS if peer == reports.OURS or peer in options.peers]
    found, missing = installed(peers, setting)
    if reports.OURS not in found:
        sys.exit(f"graphc does not start: {missing[reports.OURS]}")
    limits, rows = found[reports.OURS]["limits"], []
    with tqdm(options.only, unit="case", disable=None) as bar:
        for case in bar:
            bar.set_postfix_str(case.name)
            rows.append(row(case, [p for p, about in found.items() if case.name in about["cases"]], setting, limits))
    machine = {"processor": processor(), "threads": options.threads, "rounds": options.rounds, "date": date.today().isoformat(),
               "python": platform.python_version(), "system": platform.platform()}
    return reports.Report(tuple(rows), machine, {p: str(about["version"]) for p, about in found.items()}, missing, limits)


def main(words: list[str] | None = None) -> None:
    options = arguments(words)
    report = measure(options)
    table = reports.terminal(report)
    console = Console(width=Console(width=10_000).measure(table).maximum)
    console.print(table)
    for note in reports.notes(report):
        print(note)
    if options.json:
        reports.save_json(report, options.json)
    if options.plot:
        reports.save_plot(report, options.plot)
    if options.write:
        PAGE.write_text(reports.written(PAGE.read_text(encoding="utf-8"), report), encoding="utf-8")


if __name__ == "__main__":
    main()
