"""How much memory this machine has for a process."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

__all__ = ["machine_memory"]

_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where the limit of a container is written, in both versions of Linux' control groups."""


def machine_memory() -> int | None:
    """Bytes of physical memory, or of the container's share if that is less; None where the system does not say."""
    found = []
    for path in _LIMITS:
        try:
            found.append(int(Path(path).read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue
    with contextlib.suppress(AttributeError, OSError, ValueError):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(found, default=None)
