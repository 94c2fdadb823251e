"""The benchmark for machines with a GPU: it runs through without one, and computes the same as PyTorch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import graphc as gc

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "benchmarks"))

from comparison import on_gpu  # noqa: E402

CASES = {case.name: case for case in on_gpu.CASES if not case.step}


def test_dry(tmp_path: Path) -> None:
    command = [sys.executable, "benchmarks/cuda.py", "--dry", "--only", "softmax,l1,W1.step", "--json", str(tmp_path / "found.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert [row["name"] for row in found["rows"]] == ["softmax", "l1", "W1.step"]
    assert all(row["error"] < 1e-5 and row["tf32"] == "open" and "eager" not in row for row in found["rows"])
    assert found["limits"]["bytes"] > 0


@pytest.mark.parametrize("name", CASES)
@pytest.mark.peers
def test_pytorch_computes_the_same(name: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    case = CASES[name]
    assert case.peer is not None and case.dry is not None
    arrays = case.arrays(np.random.default_rng(0), case.dry)
    given = {n: torch.tensor(a).requires_grad_(n in case.wanted) for n, a in arrays.items()}
    seed = given.pop("seed", None)
    value = case.peer(torch, **given)
    wanted = [value, *(torch.autograd.grad(value, [given[n] for n in case.wanted], seed) if case.wanted else ())]
    found = gc.compile(on_gpu.program_of(case, arrays).outputs, target="interpret")(arrays)
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_its_name_hides_no_package_of_nvidia(tmp_path: Path) -> None:
    """As the folder of a script is searched first, ``import cuda.core`` finds ``benchmarks/cuda.py``."""
    package = tmp_path / "cuda" / "core"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("found = 1", encoding="utf-8")
    code = f"import sys; sys.path[:0] = [{str(ROOT / 'benchmarks')!r}, {str(tmp_path)!r}]; import cuda.core; assert cuda.core.found"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
