"""Which line of the user's program is being executed."""

from __future__ import annotations

import sys
from pathlib import Path

from graphc.errors import Location

__all__ = ["here"]

_PACKAGE = str(Path(__file__).resolve().parent.parent)


def here() -> Location | None:
    """The innermost line outside of graphc's own files (graphc's layer library counts as graphc)."""
    frame = sys._getframe(1)
    while frame is not None:
        if not frame.f_code.co_filename.startswith(_PACKAGE):
            return Location(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back  # type: ignore[assignment]
    return None
