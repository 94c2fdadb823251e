"""Programs on the ranks of a real MPI: the same losses and parameters as in one process, and errors that reach everybody."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import ranks

pytest.importorskip("mpi4py")

LAUNCHER = Path(sys.executable).parent / "mpiexec"
MPIEXEC = str(LAUNCHER) if LAUNCHER.exists() else shutil.which("mpiexec")

pytestmark = pytest.mark.skipif(MPIEXEC is None, reason="no mpiexec")


@pytest.fixture(scope="module")
def expected() -> dict[str, dict[str, np.ndarray]]:
    """Losses and state of one process without MPI."""
    found = {}
    for name, make in ranks.STEPS.items():
        step = make()
        state = step.init(seed=3)
        losses = [step(state, **batch) for batch in ranks.batches()]
        found[name] = {"losses": np.array(losses), **state}
    return found


@pytest.mark.parametrize("count", [1, 2, 4])
def test_ranks_equal_one_process(count: int, expected: dict[str, dict[str, np.ndarray]], tmp_path: Path) -> None:
    environment = {**os.environ, "GRAPHC_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [str(MPIEXEC), "-n", str(count), sys.executable, "-m", "mpi4py", str(Path(ranks.__file__)), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for name, wanted in expected.items():
        with np.load(tmp_path / f"{name}.npz") as found:
            for key, want in wanted.items():
                scale = np.abs(want).max()
                assert np.abs(found[key] - want).max() <= 1e-6 * scale, f"{key} of {name}"
    texts = [(tmp_path / f"{rank}.txt").read_text(encoding="utf-8") for rank in range(count)]
    if count == 1:
        assert texts[0].startswith("ArgumentError: labels[0] is 9")
    else:
        assert all(text.startswith(f"RankError: Rank {count - 1} of {count} failed;") and "labels[0] is 9" in text for text in texts)
