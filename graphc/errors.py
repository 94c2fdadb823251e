"""What goes wrong: the user's faults (`GraphcError` and its kinds) and ours (`InternalError`)."""

from __future__ import annotations

import linecache
import re
from dataclasses import dataclass

__all__ = [
    "ArgumentError", "CompileError", "DifferentiationError", "DivergenceError", "DtypeError", "GradientError", "GraphcError",
    "InternalError", "Location", "NotationError", "RangeError", "RankError", "ShapeError", "TargetError", "carets",
]


@dataclass(frozen=True, slots=True)
class Location:
    """The line of the user's program that something comes from."""

    file: str
    line: int

    @property
    def source(self) -> str:
        """The text of the line, empty when the file cannot be read (an interactive session)."""
        return linecache.getline(self.file, self.line).strip()

    @property
    def short(self) -> str:
        """File name and line, for pictures and texts that are shown to others."""
        name = re.split(r"[/\\]", self.file)[-1]
        return f"{name}, line {self.line}"

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}"


class GraphcError(Exception):
    """A fault in the user's program or call.

    Args:
        what: one or two sentences that say what is wrong.
        at: the statements involved, each as (text, culprit, location): the text in loop notation ("" for none), the part of the text
            (or a tuple of them) that is underlined with carets wherever it occurs ("" for none) and the line of the user's program
            (None when unknown).
        fix: what to write instead.
    """

    def __init__(self, what: str, *, at: tuple[tuple[str, str | tuple[str, ...], Location | None], ...] = (), fix: str = "") -> None:
        self.what, self.at, self.fix = what, at, fix
        lines = [what]
        for text, culprit, location in at:
            lines.append("")
            if text:
                lines += ["    " + line for line in (text, carets(text, culprit)) if line]
            if location is not None:
                lines.append(f"  at {location}")
                if location.source and location.source != text:
                    lines.append(f"    {location.source}")
        if fix:
            lines += ["", "  How to fix: " + fix]
        super().__init__("\n".join(lines))


def carets(text: str, culprit: str | tuple[str, ...]) -> str:
    """A line of carets under every occurrence of parts of a text; names are matched whole and without subscripts.

    >>> print("sigmoid(X[i])", carets("sigmoid(X[i])", "i"), sep="\\n")
    sigmoid(X[i])
              ^
    """
    line = [" "] * len(text)
    for part in (culprit,) if isinstance(culprit, str) else culprit:
        before = r"(?<![\w.])" if re.match(r"\w", part) else ""
        after = r"(?!\w|\.\w|\[)" if re.search(r"\w$", part) else ""
        for found in re.finditer(before + re.escape(part) + after, text) if part else ():
            line[found.start() : found.end()] = "^" * len(part)
    return "".join(line).rstrip()


class NotationError(GraphcError):
    """The notation is used in a way that has no meaning."""


class ShapeError(GraphcError):
    """Extents or numbers of dimensions do not fit together."""


class RangeError(GraphcError):
    """An access lies, or cannot be proved not to lie, outside its tensor."""


class DtypeError(GraphcError):
    """A data type does not allow what is asked of it."""


class DifferentiationError(GraphcError):
    """A derivative does not exist or is not asked for correctly."""


class CompileError(GraphcError):
    """A program cannot be compiled."""


class TargetError(GraphcError):
    """A target is unknown or not available on this machine."""


class ArgumentError(GraphcError):
    """The arguments of a call of a compiled program are wrong."""


class RankError(GraphcError):
    """A rank of a distributed program has failed, or does not have what the others have."""


class GradientError(GraphcError, AssertionError):
    """A numeric check disagrees with the derived gradient."""


class DivergenceError(GraphcError):
    """The loss of a training is infinite or no number."""


class InternalError(Exception):
    """A fault of graphc itself."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}\n  This is a fault of graphc, not of your program. Please report it with the program that shows it.")
