"""Programs that count, and fail, on every member of a team."""

from numba import njit

from graphc.kernels.team import launch, share, wait

__all__ = ["start_count", "start_fail", "start_twice"]


@njit(nogil=True)
def count(me, team, sync, X, members, rounds):
    first, last = share(me, team, X.size)
    for _ in range(rounds):
        for i in range(first, last):
            X[i] += 1
        wait(sync, team)
    members[me] += 1


@njit(nogil=True)
def start_count(sync, X, members, rounds):
    launch(count, sync, (X, members, rounds))


@njit(nogil=True)
def fail(me, team, sync, culprit):
    if me == culprit:
        raise ValueError("culprit")
    wait(sync, team)


@njit(nogil=True)
def start_fail(sync, culprit):
    launch(fail, sync, (culprit,))


@njit(nogil=True)
def start_twice(sync, X, members, rounds):
    launch(count, sync, (X, members, rounds))
    launch(count, sync, (X, members, rounds))
