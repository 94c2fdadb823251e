"""Calls that other libraries make often with the same shapes: after some of them there is a compiled call for these shapes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import graphc as gc

__all__ = ["Often"]

OFTEN, VERY_OFTEN = 10, 900
"""Calls with the same shapes after which a compiled call is loaded if it is on disk, and after which it is made."""

REMEMBERED = 16
"""Sets of shapes for which compiled calls are kept."""

Key = tuple[Any, ...]
"""What tells shapes apart."""


class Often:
    """Compiled calls of small programs by what tells shapes apart; of many, those that were used first go.

    Attributes:
        calls: what `counted` was asked to keep, by key.
    """

    def __init__(self) -> None:
        self.calls: dict[Key, Any] = {}
        self._counts: dict[Key, int] = {}
        self._lock = threading.Lock()

    def counted(
        self, program: gc.Program, key: Key, shapes: Mapping[str, tuple[int, ...]], kept: Callable[[Callable[..., bool]], Any]
    ) -> None:
        """Count a call that took the long way; where it was one of many, keep what `kept` makes of the compiled call."""
        with self._lock:
            count = _put(self._counts, key, self._counts.pop(key, 0) + 1)
            if count not in (OFTEN, VERY_OFTEN) or any(0 in shape for shape in shapes.values()):
                return
            call = program.by_address(shapes, count == VERY_OFTEN)
            if call is not None:
                _put(self.calls, key, kept(call))


def _put(table: dict[Key, Any], key: Key, value: Any) -> Any:
    if key not in table and len(table) >= REMEMBERED:
        table.pop(next(iter(table)))
    table[key] = value
    return value
