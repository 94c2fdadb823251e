"""Which line of the user's program is being executed."""

from __future__ import annotations

import os
import sys
import sysconfig
from functools import lru_cache
from pathlib import Path

import numpy as np
import sympy as sp

from graphc.errors import Location

__all__ = ["here"]

_LIBRARY = str(Path(sysconfig.get_paths()["stdlib"]).resolve()) + os.sep
_COMMANDS = str(Path(__file__).parents[1] / "cli") + os.sep
_PACKAGES = tuple(str(Path(file).resolve().parent) + os.sep for file in (str(Path(__file__).parent), np.__file__, sp.__file__))


@lru_cache(maxsize=1000)
def _foreign(file: str) -> bool:
    """Whether the file belongs to graphc, NumPy, SymPy or Python itself."""
    if file.startswith("<"):
        return file.startswith(("<frozen", "<__array_function__"))
    path = str(Path(file).resolve())
    return path.startswith(_PACKAGES) or (path.startswith(_LIBRARY) and "site-packages" not in path)


def here() -> Location | None:
    """The innermost line of the user's program (graphc's layer library counts as graphc); None on the command line, which has none."""
    frame = sys._getframe(1)
    while frame is not None and not frame.f_code.co_filename.startswith(_COMMANDS):
        if not _foreign(frame.f_code.co_filename):
            return Location(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back  # type: ignore[assignment]
    return None
