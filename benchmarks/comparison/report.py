"""What a comparison found: a table for the terminal and for Markdown, JSON, and a plot."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from comparison.turns import Measured, Row

BEGIN, END = "<!-- peers: begin -->", "<!-- peers: end -->"
COMPILERS = ("graphc", "torch.compile", "jax", "numba")
OURS = "graphc"


@dataclass(frozen=True)
class Report:
    """All rows, and what they were measured with.

    Attributes:
        machine: processor, threads, rounds, date, Python.
        versions: of each peer.
        missing: why a peer was left out.
        limits: operations and bytes per second.
    """

    rows: tuple[Row, ...]
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    missing: Mapping[str, str]
    limits: Mapping[str, float]

    @property
    def peers(self) -> list[str]:
        return [peer for peer in self.versions if any(peer in row.peers for row in self.rows)]


def ratio(row: Row, peers: Sequence[str]) -> float | None:
    """The time of graphc by the shortest of some peers', None where either is missing."""
    ours = row.peers.get(OURS, Measured()).seconds
    theirs = [m.seconds for peer, m in row.peers.items() if peer in peers and peer != OURS and m.seconds is not None]
    return ours / min(theirs) if ours is not None and theirs else None


def loses(row: Row) -> bool:
    """Whether some peer is faster than graphc, or graphc has no right result."""
    found = ratio(row, list(row.peers))
    return row.peers.get(OURS, Measured()).seconds is None or (found is not None and found > 1)


def milliseconds(found: Measured | None) -> str:
    """A time with three digits; nothing for a case that the peer does not have."""
    if found is None:
        return ""
    if found.seconds is None:
        return "wrong" if found.reason.startswith("wrong") else "–"
    time = 1e3 * found.seconds
    return f"{time:.0f}" if time >= 100 else f"{time:.3g}"


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def columns(peers: Sequence[str]) -> list[str]:
    compilers = " / ".join(p for p in COMPILERS if p in peers)
    return ["case", *(f"{p}, ms" for p in peers), "graphc / best", "graphc / torch", "of limit", f"compile, s: {compilers}"]


def cells(row: Row, peers: Sequence[str]) -> list[str]:
    """One row of the table as text."""
    ours = row.peers.get(OURS, Measured()).seconds
    share = f"{row.limit / ours:.0%}" if row.limit and ours else ""
    taken = [row.peers[p].compile if p in row.peers else None for p in COMPILERS if p in peers]
    compiled = " / ".join("–" if seconds is None else f"{seconds:.1f}" for seconds in taken)
    times = [milliseconds(row.peers.get(p)) for p in peers]
    return [f"{row.name} {row.title}", *times, number(ratio(row, peers)), number(ratio(row, ["torch"])), share, compiled]


def table(report: Report, style: box.Box, losing: Callable[[str], str | Text]) -> Table:
    """Rows and columns; the cells of rows that graphc loses pass through `losing`."""
    made = Table(box=style)
    for place, title in enumerate(columns(report.peers)):
        made.add_column(title, justify="left" if place == 0 else "right", no_wrap=place > 0)
    for row in report.rows:
        shown = cells(row, report.peers)
        made.add_row(*(losing(cell) if loses(row) and cell else Text(cell) for cell in shown))
    return made


def terminal(report: Report) -> Table:
    """The table with bold rows where graphc loses."""
    return table(report, box.SIMPLE, lambda cell: Text(cell, style="bold"))


def markdown(report: Report) -> str:
    """What was measured with, the table, and what is missing from it."""
    written = io.StringIO()
    Console(file=written, width=10_000).print(table(report, box.MARKDOWN, lambda cell: Text(f"**{cell}**")))
    lines = [line.rstrip() for line in written.getvalue().splitlines() if line.strip()]
    return "\n".join([introduction(report), "", *lines, "", *(f"- {note}" for note in notes(report))]).rstrip() + "\n"


def introduction(report: Report) -> str:
    m, versions = report.machine, ", ".join(f"{p} {v}" for p, v in report.versions.items())
    operations, bandwidth = report.limits["operations"] / 1e9, report.limits["bandwidth"] / 1e9
    return (f"{m['processor']}, {m['threads']} threads, {m['date']}; {versions}; median of {m['rounds']} turns. "
            f"Limits: {operations:.0f} GFLOP/s, {bandwidth:.1f} GB/s. Below 1 graphc is faster; rows that it loses are bold.")


def notes(report: Report) -> list[str]:
    """Peers that are not installed, and what was not timed, each with the reason."""
    absent = [f"not measured: {peer} ({reason})" for peer, reason in report.missing.items()]
    return absent + [f"{row.name}, {peer}: {found.reason}" for row in report.rows for peer, found in row.peers.items() if found.reason]


def written(page: str, report: Report) -> str:
    """A page of the docs with the table between its markers."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{markdown(report)}{END}{after}"


def save_json(report: Report, path: Path) -> None:
    path.write_text(json.dumps(asdict(report), indent=1) + "\n", encoding="utf-8")


def save_plot(report: Report, path: Path) -> None:
    """A line per case: how many times as long as graphc each peer takes, on a logarithmic axis."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = [row for row in report.rows if row.peers.get(OURS, Measured()).seconds]
    figure, axes = plt.subplots(figsize=(9, 1.5 + 0.28 * len(rows)), layout="constrained")
    for peer, marker in zip([p for p in report.peers if p != OURS], "osD^vPX"):
        places = [(1 / r, place) for place, row in enumerate(rows) if (r := ratio(row, [peer])) is not None]
        if places:
            axes.scatter(*zip(*places), marker=marker, label=peer, zorder=2)
    axes.axvline(1, color="black", linewidth=1, zorder=1)
    axes.set(xscale="log", xlabel="time by graphc's time; left of the line a peer is faster", ylim=(len(rows) - 0.5, -0.5))
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.grid(axis="x", which="both", linewidth=0.3)
    if axes.collections:
        axes.legend(loc="best", fontsize="small")
    figure.savefig(path, dpi=150)
    plt.close(figure)
