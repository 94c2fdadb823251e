"""The comparison with other frameworks: its programs, the results they agree on, and what it writes."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "benchmarks"))

from comparison import by_numpy, losses, programs, report, turns, worker  # noqa: E402
from comparison.cases import CASES, selected  # noqa: E402

TORCH = importlib.util.find_spec("torch") is not None
EXACT = ("W1.step", "W1.grad", "W5", "W7.rbf", "W7.hinge", "W8.wave", "W10.fwd", "W10.grad")


@pytest.mark.parametrize("name", CASES)
def test_programs_are_built_for_the_arguments_of_their_case(name: str) -> None:
    case = CASES[name]
    arrays = case.arrays()
    written = programs.written(case, arrays)
    program = written.compiled()
    given = set(arrays) - set(written.parameters)
    needed = set(program.inputs) - set(program.init(seed=0) if written.updates else ())
    assert needed == given if case.wanted else needed <= given
    assert written.names == list(case.results) if written.updates is None else list(case.wanted) == list(written.parameters)
    assert name in losses.LOSSES


@pytest.mark.peers
@pytest.mark.skipif(not TORCH, reason="PyTorch is not installed")
@pytest.mark.parametrize("name", EXACT)
def test_gradients_by_hand_are_those_of_autograd(name: str) -> None:
    from comparison import in_torch

    case = CASES[name]
    found = []
    for peer, module in (("numpy", by_numpy), ("torch", in_torch)):
        call, named = module.prepare(peer, case, case.arrays("float64"), 1)
        found.append(named(call()))
    assert worker.error(*found) < 1e-12


def test_command_writes_table_json_and_plot(tmp_path: Path) -> None:
    peers = ["numpy", *(["torch"] if TORCH else [])]
    command = [sys.executable, "benchmarks/peers.py", "--only", "W10.fwd", "--peers", ",".join(peers), "--rounds", "1", "--seconds", "0.01",
               "--threads", "1", "--json", str(tmp_path / "found.json"), "--plot", str(tmp_path / "found.png")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shown = [line.split() for line in done.stdout.splitlines() if line.strip().startswith("W10.fwd")]
    assert len(shown) == 1 and {"graphc,", *(f"{p}," for p in peers)} <= set(done.stdout.split())
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    measured = found["rows"][0]["peers"]
    assert set(measured) == {"graphc", *peers} == set(found["versions"])
    assert all(m["seconds"] > 0 and m["error"] < 1e-6 and not m["reason"] for m in measured.values())
    assert (tmp_path / "found.png").read_bytes().startswith(b"\x89PNG")


def test_unknown_names_are_refused_with_what_there_is() -> None:
    for option, value, said in (("--only", "W99", "W10.fwd"), ("--peers", "torc", "torch.compile"), ("--python", "jax", "PEER=PATH")):
        done = subprocess.run([sys.executable, "benchmarks/peers.py", option, value], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr


def test_cases_are_selected_by_workload_and_by_name() -> None:
    assert [case.name for case in selected("W1, W7.hinge")] == ["W1.step", "W1.grad", "W7.hinge"]
    assert selected("") == list(CASES.values())


def made(**peers: Any) -> report.Report:
    measured = {p.replace("_", "."): m if isinstance(m, turns.Measured) else turns.Measured(m, [m], 0.5, 1e-7) for p, m in peers.items()}
    row = turns.Row("W0", "nothing", 0.001, measured)
    machine = {"processor": "a processor", "threads": 1, "rounds": 3, "date": "2000-01-01"}
    return report.Report((row,), machine, dict.fromkeys(measured, "1.0"), {"jax": "no module"}, {"operations": 1e11, "bandwidth": 1e10})


def test_ratios_and_share_of_the_limit() -> None:
    found = report.cells(made(graphc=0.002, torch=0.008, numpy=0.004).rows[0], ["graphc", "torch", "numpy"])
    assert found == ["W0 nothing", "2", "8", "4", "0.50", "0.25", "50%", "0.5"]


def test_losing_rows_are_bold_and_what_is_missing_is_named() -> None:
    lost = report.markdown(made(graphc=0.002, torch=0.001))
    assert "**2.00**" in lost and "- not measured: jax (no module)" in lost
    assert "**" not in report.markdown(made(graphc=0.001, torch=0.002))


def test_wrong_results_are_neither_timed_nor_compared() -> None:
    found = made(graphc=0.002, torch=0.004, torch_compile=turns.Measured(compile=1.0, error=0.3, reason="wrong by 3e-01"))
    text = report.markdown(found)
    assert "wrong" in text and "W0, torch.compile: wrong by 3e-01" in text and "**" not in text


def test_table_goes_between_its_markers() -> None:
    page = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    found = report.written(page, made(graphc=0.001, torch=0.002))
    assert found.startswith("before\n") and found.endswith("after\n") and "\nold\n" not in found and "| W0 nothing |" in found
    with pytest.raises(ValueError, match="the page has no"):
        report.written("nothing", made(graphc=0.001))
    assert report.BEGIN in (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")


def test_error_is_relative_and_infinite_for_what_is_not_a_number() -> None:
    right = {"a": np.full(4, 2.0)}
    assert worker.error({"a": np.full(4, 2.0)}, right) == 0
    assert worker.error({"a": np.full(4, 2.2)}, right) == pytest.approx(0.1)
    assert worker.error({"a": np.array([2, 2, 2, np.nan])}, right) == worker.error({"a": np.full(3, 2.0)}, right) == np.inf


def test_a_peer_that_does_not_start_fails_with_a_reason() -> None:
    setting = turns.Setting(1, 1)
    with pytest.raises(turns.Failure, match="No such file"):
        turns.described(replace(setting, interpreters={"numpy": "/nowhere/python"}), "numpy")
    with pytest.raises(turns.Failure, match="took longer than"):
        turns.described(replace(setting, patience=0.01), "numpy")
