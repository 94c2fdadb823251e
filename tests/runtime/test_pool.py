"""A team runs programs from any thread, after failures, in forked children, and lets the interpreter end."""

import gc
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from graphc.runtime import pool
from graphc.runtime.collector import uncollected
from graphc.runtime.pool import Team, default_team
from tests.teams import start_count, start_fail


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_every_member_takes_part_in_every_run(threads: int) -> None:
    team, X, members = Team(threads), np.zeros(10), np.zeros(threads, np.int64)
    for run in range(1, 301):
        team.run(start_count, X, members, 2)
        np.testing.assert_array_equal(X, 2 * run)
        np.testing.assert_array_equal(members, run)
        if run % 100 == 0:
            time.sleep(0.005)  # long enough for the members to fall asleep


def test_falling_asleep_never_loses_a_run() -> None:
    team, X, members = Team(2), np.zeros(2), np.zeros(2, np.int64)
    for run in range(300):
        end = time.perf_counter() + pool.IDLE_SECONDS * (0.5 + run / 300)
        while time.perf_counter() < end:
            pass
        team.run(start_count, X, members, 1)
    assert (members == 300).all()


def test_several_callers_at_once_each_get_their_result() -> None:
    team, results = Team(2), [np.zeros(1000) for _ in range(4)]

    def call(X: np.ndarray) -> None:
        members = np.zeros(2, np.int64)
        for _ in range(200):
            team.run(start_count, X, members, 3)

    callers = [threading.Thread(target=call, args=(X,)) for X in results]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert all((X == 600).all() for X in results)


@pytest.mark.parametrize("culprit", [0, 1, 2])
def test_a_failure_of_any_member_is_raised_and_the_team_goes_on(culprit: int) -> None:
    team, X, members = Team(3), np.zeros(3), np.zeros(3, np.int64)
    for _ in range(3):
        with pytest.raises(ValueError, match="culprit"):
            team.run(start_fail, culprit)
        team.run(start_count, X, members, 1)
    assert (X == 3).all() and (members == 3).all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_its_own_threads() -> None:
    team, X, members = Team(2), np.zeros(4), np.zeros(2, np.int64)
    team.run(start_count, X, members, 1)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            team.run(start_count, X, members, 1)
            status = 0 if (X == 2).all() and (members == 2).all() else 2
        finally:
            os._exit(status)
    deadline = time.monotonic() + 10
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    if ended[0] == 0:
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert ended == (child, 0)
    team.run(start_count, X, members, 1)
    assert (members == 2).all()


def test_idle_members_sleep_and_a_forgotten_team_ends() -> None:
    team = Team(3)
    team.run(start_count, np.zeros(3), np.zeros(3, np.int64), 1)
    threads = [member.thread for member in team._crew.members]
    deadline = time.monotonic() + 10
    while not all(member.asleep for member in team._crew.members):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    before = time.process_time()
    time.sleep(0.2)
    assert time.process_time() - before < 0.05
    del team
    gc.collect()
    for thread in threads:
        thread.join(timeout=5)
    assert not any(thread.is_alive() for thread in threads)


PROGRAM = """
import atexit, numpy as np
from numba import njit
from graphc.kernels.team import launch, wait
def late():
    team.run(start, X)
    print(X[0], flush=True)
atexit.register(late)  # runs after graphc has ended its threads
from graphc.runtime.pool import Team
@njit(nogil=True)
def program(me, team, sync, X):
    wait(sync, team)
    if me == 0:
        X[0] += 1
@njit(nogil=True)
def start(sync, X):
    launch(program, sync, (X,))
team, X = Team(2), np.zeros(1)
team.run(start, X)
"""


def test_the_interpreter_ends_and_programs_still_run_meanwhile() -> None:
    result = subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=20, capture_output=True, text=True)
    assert result.stdout == "2.0\n" and result.stderr == ""


def test_the_environment_sizes_the_default_team(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        for wish, threads in (("3", 3), ("", len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())):
            monkeypatch.setenv("GRAPHC_NUM_THREADS", wish)
            default_team.cache_clear()
            assert default_team().threads == threads
            assert default_team() is default_team()
        for wrong in ("0", "two", "-1"):
            monkeypatch.setenv("GRAPHC_NUM_THREADS", wrong)
            default_team.cache_clear()
            with pytest.raises(ValueError, match="GRAPHC_NUM_THREADS"):
                default_team()
    finally:
        default_team.cache_clear()
    with pytest.raises(ValueError, match="at least one"):
        Team(0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_pythons_collector_runs_in_a_child_that_is_forked_during_a_compilation():
    with uncollected():
        assert not gc.isenabled()
        child = os.fork()
        if child == 0:
            os._exit(0 if gc.isenabled() else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert gc.isenabled()
