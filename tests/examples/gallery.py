"""All examples, one after the other, with a table of their times: ``make gallery``, or ``python -m tests.examples.gallery 2 3``.

Each runs as a user runs it, with an empty cache of kernels, so that the times include compilation; its pictures go to ./pictures.
Arguments are the beginnings of names: ``2`` means all examples whose number is 20 to 29.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

__all__ = ["LONG", "SCRIPTS", "main", "missing_pictures", "run"]

SCRIPTS = sorted((Path(__file__).parents[2] / "examples").glob("[0-9][0-9]_*.py"))
LONG = frozenset({
    "16_nearest_neighbours",
    "17_penalties",
    "18_noise",
    "19_batch_norm",
    "23_visual_words",
    "31_twenty_lines",
    "33_spiral",
    "40_deep_mlp",
    "41_loss_landscape",
    "65_normalisation",
    "66_lenet",
    "67_alexnet_and_vgg",
    "71_deep_dream",
    "81_transformer",
    "82_lstm",
    "84_bilateral_slicing",
    "85_wave_inversion",
    "86_neural_ode",
    "87_graph_network",
    "89_attention_masks",
})
"""Examples of more than five seconds, which the test suite leaves to ``make gallery``; one name a line."""
LIMIT = 60.0
"""Seconds that an example may take on an idle machine with two cores."""


def run(script: Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The example in that folder, without a screen, warnings of invalid numbers being errors; killed where it takes far too long."""
    environment = {**os.environ, "MPLBACKEND": "Agg", "PYTHONWARNINGS": "error::RuntimeWarning", **environment}
    return subprocess.run([sys.executable, script], cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8",
                          timeout=4 * LIMIT, check=False)


def missing_pictures(script: Path, folder: Path) -> list[str]:
    """Those that the docstring promises and that the example has not written: ``pictures/name.png``, ``pictures/name.{svg,png}``."""
    promised = [word.strip(".,") for word in script.read_text(encoding="utf-8").split('"""')[1].split() if word.startswith("pictures/")]
    paths = []
    for name in promised:
        stem, _, endings = name.partition(".")
        paths += [folder / f"{stem}.{ending}" for ending in endings.strip("{}").split(",")]
    return [path.name for path in paths if not path.is_file() or path.stat().st_size <= 500]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the examples and prints the table; the number of those that failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("names", nargs="*", help="beginnings of names; all examples by default")
    parser.add_argument("--warm", action="store_true", help="with the user's cache of kernels instead of an empty one for each")
    options = parser.parse_args(arguments)
    chosen = [script for script in SCRIPTS if script.stem.startswith(tuple(options.names) or "")]
    failed, started, computed = 0, time.perf_counter(), _computed()
    print(f"{'':32}   time    processors")
    for script in chosen:
        remark, before = "", (time.perf_counter(), _computed())
        with tempfile.TemporaryDirectory() as cache:
            try:
                done = run(script, Path.cwd(), **({} if options.warm else {"GRAPHC_CACHE_DIR": cache}))
                missing = missing_pictures(script, Path.cwd())
                remark = f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}" if done.returncode else f"not written: {missing}" * bool(missing)
            except subprocess.TimeoutExpired as error:
                remark = str(error)
        passed = time.perf_counter() - before[0]
        mark = "  FAILED" if remark else "  long" if passed > LIMIT else ""
        print(f"{script.stem:32} {passed:6.1f} s    {_computed() - before[1]:6.1f} s{mark}", flush=True)
        if remark:
            failed += 1
            print(remark, flush=True)
    print(f"{f'{len(chosen)} examples, {failed} failed':32} {time.perf_counter() - started:6.1f} s    {_computed() - computed:6.1f} s")
    return failed


def _computed() -> float:
    """Seconds of processor time that all examples so far have taken."""
    times = os.times()
    return times.children_user + times.children_system


if __name__ == "__main__":
    sys.exit(min(main(), 1))
