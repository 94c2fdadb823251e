"""Python's collector of cycles, while graphc or Numba compile."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["uncollected"]

_waiting: list[None] = []
"""One element for every compilation during which the collector waits."""


@contextmanager
def uncollected() -> Iterator[None]:
    """Python's collector of cycles waits: of the objects that a compiler makes by the million, it would find none to be garbage."""
    running = gc.isenabled()
    if running:
        _waiting.append(None)
        gc.disable()
    try:
        yield
    finally:
        if running:
            _collect()


def _collect() -> None:
    """The collector need not wait any longer."""
    if _waiting:
        _waiting.pop()
        gc.enable()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_collect)  # the thread that compiled is not in the child
