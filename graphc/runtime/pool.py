"""Teams of threads that run compiled programs."""

import atexit
import os
import threading
import time
import weakref
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np
from numba import typeof
from numba.core.dispatcher import Dispatcher
from numpy.typing import NDArray

from graphc.kernels.team import TEAM, serve, slots
from graphc.runtime.openmp import openmp

IDLE_SECONDS = 100e-6
"""How long a member looks for the next job before it sleeps: longer than the gap between two steps of a training loop."""


class Team:
    """A number of threads that run programs together; the caller of `run` is one of them.

    The other ``threads - 1`` are daemons, started by the first `run`.  Between runs they look for work for about 100 µs
    and then sleep, so that a run costs some 2 µs in a loop and 10 to 50 µs after a pause.  A forked child starts its own.
    Where PyTorch is in the process, and uses as many threads, these are its threads (`graphc.runtime.openmp`).
    """

    def __init__(self, threads: int) -> None:
        """``threads`` counts the caller.  Raises ``ValueError`` unless it is at least 1."""
        if threads < 1:
            raise ValueError(f"a team needs at least one thread, not {threads}")
        self.threads = threads
        self._crew = _Crew(self)
        _teams.add(self)

    def __repr__(self) -> str:
        return f"Team({self.threads})"

    def run(self, start: Dispatcher, *arguments: Any) -> None:
        """Call ``start(sync, *arguments)``, which launches a program on the whole team; returns when it has finished.

        ``start`` is a compiled function as in `graphc.kernels.team`.  While the team is busy with the call of another
        thread, the program runs on the calling thread alone.  Raises what the program raises on any member.

        >>> import numpy as np
        >>> from numba import njit
        >>> from graphc.kernels.team import launch, share
        >>> @njit(nogil=True)
        ... def program(me, team, sync, X):
        ...     first, last = share(me, team, X.size)
        ...     X[first:last] = me
        >>> @njit(nogil=True)
        ... def start(sync, X):
        ...     launch(program, sync, (X,))
        >>> X = np.zeros(4)
        >>> Team(2).run(start, X)
        >>> X
        array([0., 0., 1., 1.])
        """
        if not start.overloads:
            # Compile while the members sleep, not while they look for the job.
            start.compile(tuple(map(typeof, (_sync(1), *arguments))))
        crew = self._crew
        if self.threads == 1 or crew.over or not crew.busy.acquire(blocking=False):
            start(_sync(1), *arguments)
            return
        try:
            if (library := openmp(self.threads)) is not None:
                library.run(self.threads, start, arguments)
                return
            crew.call()
            start(crew.sync, *arguments)
        finally:
            crew.running = False
            crew.busy.release()


class _Crew:
    """The threads of one team in one process.  They hold the crew, the team holds the crew, and nothing holds the team."""

    def __init__(self, team: Team) -> None:
        self.sync = _sync(team.threads)
        self.busy = threading.Lock()
        self.running = False
        self.over = False
        self.members: list[_Member] = []
        weakref.finalize(team, self.end)

    def call(self) -> None:
        """Have every member awake, and none fall asleep before `running` is False again; the caller holds `busy`."""
        # A member says that it sleeps and then looks at `running`: one of the two always sees the other.
        self.running = True
        if not self.members:
            looks = _looks()
            self.members = [_Member(self, me, looks) for me in range(1, self.sync[TEAM])]
        for member in self.members:
            if member.asleep:
                member.wake()

    def end(self) -> None:
        """Let the threads return."""
        self.over = True
        for member in self.members:
            member.wake()


class _Member:
    """One daemon thread of a crew."""

    def __init__(self, crew: _Crew, me: int, looks: int) -> None:
        self.asleep = False
        self._alarm = threading.Lock()
        self._alarm.acquire()
        self.thread = threading.Thread(target=self._live, args=(crew, me, looks), name=f"graphc-{me}", daemon=True)
        self.thread.start()

    def wake(self) -> None:
        """Release the alarm, which may be released already."""
        with suppress(RuntimeError):
            self._alarm.release()

    def _live(self, crew: _Crew, me: int, looks: int) -> None:
        while not crew.over:
            serve(crew.sync, me, looks)
            self.asleep = True
            if not crew.running and not crew.over:
                self._alarm.acquire()
            self.asleep = False


def _sync(threads: int) -> NDArray[np.int64]:
    sync = np.zeros(slots(threads), np.int64)
    sync[TEAM] = threads
    return sync


@cache
def _looks() -> int:
    """How many looks for work take `IDLE_SECONDS` on this machine."""
    sync, trial = _sync(1), 1000
    serve(sync, 0, 1)
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        serve(sync, 0, trial)
        seconds.append(time.perf_counter() - begin)
    return max(100, int(trial * IDLE_SECONDS / min(seconds)))


@cache
def default_team() -> Team:
    """The team that programs use unless told otherwise: ``GRAPHC_NUM_THREADS`` members, or one per usable processor.

    Raises ``ValueError`` when ``GRAPHC_NUM_THREADS`` is not a positive number.
    """
    wish = os.environ.get("GRAPHC_NUM_THREADS", "")
    if wish and not (wish.isdecimal() and int(wish)):
        raise ValueError(f"GRAPHC_NUM_THREADS must be a positive number, not {wish!r}")
    return Team(int(wish) if wish else _processors())


def _processors() -> int:
    """The processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_teams: "weakref.WeakSet[Team]" = weakref.WeakSet()


def _start_afresh() -> None:
    """In a forked child the threads do not exist, and a lock may be held for ever."""
    for team in list(_teams):
        team._crew = _Crew(team)


def _end_all() -> None:
    """Compiled code must not run while the interpreter and the memory of the code are taken down."""
    crews = [team._crew for team in list(_teams)]
    for crew in crews:
        crew.end()
    for member in [member for crew in crews for member in crew.members]:
        member.thread.join(timeout=1.0)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_afresh)
atexit.register(_end_all)
