"""A team whose members are PyTorch's threads."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import graphc as gc
from graphc.runtime.openmp import openmp
from graphc.runtime.pool import Team
from tests.teams import start_fail, start_twice

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    if openmp(2) is None:
        pytest.skip("PyTorch does not use GNU's OpenMP here")
    yield
    torch.set_num_threads(before)


def test_every_member_takes_part_in_every_run():
    team, X, members = Team(2), np.zeros(10), np.zeros(2, np.int64)
    for run in range(1, 201):
        team.run(start_twice, X, members, 3)
        np.testing.assert_array_equal(X, 6 * run)
        np.testing.assert_array_equal(members, 2 * run)
        if run % 50 == 0:
            assert torch.ones(1_000_000).sum() == 1_000_000  # the same threads
    assert not team._crew.members


@pytest.mark.parametrize("culprit", [0, 1])
def test_a_failure_of_any_member_is_raised_and_the_next_run_works(culprit):
    team, X, members = Team(2), np.zeros(4), np.zeros(2, np.int64)
    for run in range(1, 4):
        with pytest.raises(ValueError, match="culprit"):
            team.run(start_fail, culprit)
        team.run(start_twice, X, members, 1)
        assert (members == 2 * run).all()


def test_other_numbers_of_threads_have_threads_of_their_own():
    torch.set_num_threads(1)
    assert openmp(2) is None
    team, members = Team(2), np.zeros(2, np.int64)
    team.run(start_twice, np.zeros(2), members, 1)
    assert (members == 2).all() and len(team._crew.members) == 1


def test_from_several_threads_at_once():
    team, done = Team(2), []

    def work():
        X, members = np.zeros(8), np.zeros(2, np.int64)
        for _ in range(50):
            team.run(start_twice, X, members, 1)
        done.append((X == 100).all())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [True] * 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_has_threads_of_its_own():
    team, X, members = Team(2), np.zeros(2), np.zeros(2, np.int64)
    team.run(start_twice, X, members, 1)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            team.run(start_twice, X, members, 1)
            status = 0 if (members == 4).all() and len(team._crew.members) == 1 else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0) == (child, 0)


def test_a_training_step_beside_operations_of_pytorch():
    n, i, j = gc.indices("n i j")
    x, w, y = gc.tensor("x", gc.dim("N"), 200), gc.tensor("w", 200, 100), gc.tensor("y")
    y[n, j] = gc.tanh(gc.sum(x[n, i] * w[i, j], over=i))
    layer = gc.to_torch(y, inputs=[x, w], name="layer")
    a, b = torch.randn(1000, 200), torch.randn(200, 100, requires_grad=True)
    for _ in range(3):
        (gradient,) = torch.autograd.grad((layer(a, b) ** 2).sum(), b)
    (want,) = torch.autograd.grad((torch.tanh(a @ b) ** 2).sum(), b)
    torch.testing.assert_close(gradient, want, rtol=1e-3, atol=1e-3)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_that_compiles_first_does_not_wait_for_threads_that_are_gone():
    """OpenMP's, which PyTorch has started in its parent."""
    program = """
import os, sys
import numpy as np, torch
import graphc as gc
torch.set_num_threads(2)
torch.exp(torch.randn(3_000_000)).sum()
child = os.fork()
if child == 0:
    i, j = gc.indices("i j")
    X, y = gc.tensor("X", gc.dim("N"), gc.dim("M")), gc.tensor("y")
    y[i] = gc.sum(gc.exp(X[i, j]), over=j)
    gc.compile(y)(X=np.ones((1000, 1000), np.float32))
    os._exit(0)
assert os.waitpid(child, 0) == (child, 0)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120, env={**os.environ, "GRAPHC_NUM_THREADS": "2"})


def test_an_interrupt_leaves_no_job_behind():
    """It is raised between two bytecodes; beginning, work and end are one call."""
    library, X, members = openmp(2), np.zeros(4), np.zeros(2, np.int64)
    assert library is not None
    library.run(2, start_twice, (X, members, 1))

    def raised(*_: object) -> None:
        raise InterruptedError

    before = signal.signal(signal.SIGALRM, raised)
    try:
        for _ in range(40):
            signal.setitimer(signal.ITIMER_REAL, 2e-4)
            with contextlib.suppress(InterruptedError):
                while True:
                    library.run(2, start_twice, (X, members, 1))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    members[:] = 0
    library.run(2, start_twice, (X, members, 1))
    assert (members == 2).all()
