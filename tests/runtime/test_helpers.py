"""Programs that several processes compile."""

import os
import subprocess
import sys

import pytest

from graphc.runtime.helpers import Task, processes, shares

PROGRAM = """
import numpy as np
import graphc as gc

i = gc.index("i")
x = gc.tensor("x", gc.dim("N"))
outputs = []
for k in range(12):
    y, z = gc.tensor(f"y{k}"), gc.tensor(f"z{k}")
    y[i] = gc.tanh(x[i] * (k + 1)) ** 2
    z[()] = gc.max(y[i] * (k + 2), over=i)
    outputs.append(z)
f = gc.compile(outputs)
found = f(x=np.linspace(-1, 1, 64, dtype=np.float32))
wanted = [(k + 2) * np.tanh(k + 1.0) ** 2 for k in range(12)]
np.testing.assert_allclose(found, wanted, rtol=1e-5)
"""


@pytest.mark.parametrize("count", ["1", "3"])
def test_result_does_not_depend_on_the_number_of_processes(count, tmp_path):
    surroundings = os.environ | {"GRAPHC_CACHE_DIR": str(tmp_path), "GRAPHC_COMPILE_PROCESSES": count}
    subprocess.run([sys.executable, "-c", PROGRAM], env=surroundings, check=True)
    kept = [path.name for path in tmp_path.glob("__pycache__/*.nbi")]
    assert any(".start-" in name for name in kept)
    assert any(".start-" not in name for name in kept) == (count != "1")


def test_helpers_that_die_do_no_harm(tmp_path, monkeypatch):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    surroundings = os.environ | {"GRAPHC_CACHE_DIR": str(tmp_path), "GRAPHC_COMPILE_PROCESSES": "2"}
    text = f"import sys; sys.executable = {str(broken)!r}\n{PROGRAM}"
    subprocess.run([sys.executable, "-c", text], env=surroundings, check=True)


def test_heavy_tasks_are_divided():
    tasks = [Task(str(k), (), weight) for k, weight in enumerate([9.0, 8.0, 1.0, 1.0, 30.0])]
    mine, theirs = shares(tasks, 2)
    assert [t.name for t in mine] == ["4"]
    assert [t.name for t in theirs] == ["0", "1", "2", "3"]


def test_number_of_processes(monkeypatch):
    monkeypatch.setenv("GRAPHC_COMPILE_PROCESSES", "5")
    assert processes() == 5
    monkeypatch.setenv("GRAPHC_COMPILE_PROCESSES", "none")
    assert 1 <= processes() <= 8
