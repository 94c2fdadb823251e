"""Shares cover a loop exactly once; the barrier separates what is before from what is after; launch reports failures."""

import threading
from typing import Any

import numpy as np
import pytest
from numba import njit
from numba.core.errors import TypingError

from graphc.kernels.team import ARRIVED, FAILED, MEMBERS, PASSED, TEAM, launch, serve, share, slots, wait


@njit(nogil=True)
def rounds(me, team, sync, seen, errors, n):
    for k in range(1, n + 1):
        seen[me * 8] = k
        wait(sync, team)
        for other in range(team):
            if seen[other * 8] != k:
                errors[me] += 1
        wait(sync, team)


@njit(nogil=True)
def failing(me, team, sync, first, second):
    if me == first:
        raise ValueError("a member failed")
    wait(sync, team)
    if me == second:
        raise IndexError("a member failed later")


@njit(nogil=True)
def start_failing(sync, first, second):
    launch(failing, sync, (first, second))


@njit(nogil=True)
def every_type(me, team, sync, X, Z, flag, x, n):
    first, last = share(me, team, n)
    for i in range(first, last):
        X[i, 0] = x if flag else n
    if me == 0:
        Z[()] = team


@njit(nogil=True)
def start_every_type(sync, X, Z, flag, x, n):
    launch(every_type, sync, (X, Z, flag, x, n))


@njit(nogil=True)
def returning(me, team, sync):
    return me


@njit(nogil=True)
def start_returning(sync):
    launch(returning, sync, ())


class Helpers:
    """Threads that serve a team until told to stop."""

    def __init__(self, team: int) -> None:
        self.sync = np.zeros(slots(team), np.int64)
        self.sync[TEAM] = team
        self.over = False
        self.threads = [threading.Thread(target=self._live, args=(me,)) for me in range(1, team)]

    def _live(self, me: int) -> None:
        while not self.over:
            serve(self.sync, me, 1000)

    def __enter__(self) -> Any:
        for thread in self.threads:
            thread.start()
        return self.sync

    def __exit__(self, *failure: object) -> None:
        self.over = True
        for thread in self.threads:
            thread.join()


@pytest.mark.parametrize("team", [1, 2, 3, 7])
@pytest.mark.parametrize("n", [0, 1, 2, 6, 7, 8, 1000])
def test_shares_are_balanced_and_cover_the_range(team: int, n: int) -> None:
    parts = [share(me, team, n) for me in range(team)]
    assert [i for first, last in parts for i in range(first, last)] == list(range(n))
    sizes = [last - first for first, last in parts]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("team", "n"), [(1, 1000), (2, 20_000), (3, 1000), (5, 300)])
def test_barrier_separates_rounds_even_with_too_few_processors(team: int, n: int) -> None:
    sync, seen, errors = np.zeros(slots(team), np.int64), np.zeros(8 * team, np.int64), np.zeros(team, np.int64)
    for _ in range(2):
        members = [threading.Thread(target=rounds, args=(me, team, sync, seen, errors, n)) for me in range(team)]
        for member in members:
            member.start()
        for member in members:
            member.join()
    assert not errors.any()
    assert sync[ARRIVED] == 0 and sync[FAILED] == 0
    assert sync[PASSED] == (0 if team == 1 else 4 * n)


@pytest.mark.parametrize("team", [1, 2, 3])
def test_launch_hands_over_arguments_of_every_kind(team: int) -> None:
    X, Z = np.zeros((10, 1), np.float32), np.zeros((), np.int64)
    with Helpers(team) as sync:
        start_every_type(sync, X, Z, True, 2.5, 10)
        assert (X == 2.5).all() and Z.item() == team
        start_every_type(sync, X, Z, False, 2.5, 10)
        assert (X == 10).all()


@pytest.mark.parametrize("team", [1, 2, 3])
def test_launch_raises_the_first_failure_of_any_member(team: int) -> None:
    with Helpers(team) as sync:
        for member in range(team):
            with pytest.raises(ValueError, match="a member failed"):
                start_failing(sync, member, -1)
            with pytest.raises(IndexError, match="later"):
                start_failing(sync, -1, member)
            start_failing(sync, -1, -1)
        with pytest.raises(ValueError, match="a member failed"):
            start_failing(sync, 0, 0)


def test_a_program_returns_nothing() -> None:
    with pytest.raises(TypingError, match="a program returns nothing"):
        start_returning(np.ones(slots(1), np.int64))


def test_members_spin_on_their_own_cache_lines() -> None:
    assert slots(3) == MEMBERS + 3 * 8
    assert {ARRIVED % 8, PASSED % 8, FAILED % 8, TEAM % 8, MEMBERS % 8} == {0}
