"""What a notebook shows: the loops of a tensor and the picture of its program, the source of a compiled one."""

from __future__ import annotations

from html import escape
from typing import Any

from graphc.errors import GraphcError
from graphc.frontend.collect import collect
from graphc.frontend.tensor import Tensor
from graphc.program import Program
from graphc.views.draw import draw
from graphc.views.text import loops

__all__ = ["display", "display_program", "register"]


def register() -> None:
    """Let notebooks call these functions. It is done from here because the notation and programs must not know of pictures."""
    Tensor._repr_mimebundle_ = display  # type: ignore[attr-defined]
    Program._repr_mimebundle_ = display_program  # type: ignore[attr-defined]


def display(tensor: Tensor, include: Any = None, exclude: Any = None) -> dict[str, str]:
    """Loops and picture of the program that computes a tensor; its declaration if it is an input or not completely defined yet.

    Looking at a tensor does not freeze it: further statements may follow.
    """
    if not tensor.statements:
        return {"text/plain": repr(tensor)}
    try:
        members = list(collect([tensor], "display").handles.values())
    except GraphcError:
        return {"text/plain": repr(tensor)}
    try:
        text, picture = str(loops(tensor)), draw(tensor).svg()
    finally:
        for member in members:
            if member.frozen_by == "display":
                member.frozen_by = ""
    return {"text/plain": text, "image/svg+xml": picture, "text/html": f"{_preformatted(text)}\n{picture}"}


def display_program(program: Program, include: Any = None, exclude: Any = None) -> dict[str, str]:
    """The kernels of a compiled program, and its source to be unfolded."""
    plain = repr(program)
    kernels = "\n".join(f"{kernel.name}: {kernel.loop}" for kernel in program.kernels)
    unfolded = f"<details><summary>source, {program.source.count(chr(10))} lines</summary>{_coloured(program.source)}</details>"
    return {"text/plain": plain, "text/html": f"{_preformatted(plain)}\n{_preformatted(kernels) if kernels else ''}\n{unfolded}"}


def _preformatted(text: str) -> str:
    return f'<pre style="line-height: 1.3; white-space: pre-wrap">{escape(text)}</pre>'


def _coloured(source: str) -> str:
    """Python source in colours, if Pygments is there, which comes with IPython."""
    try:
        from pygments import highlight
        from pygments.formatters import HtmlFormatter
        from pygments.lexers import PythonLexer
    except ImportError:
        return _preformatted(source)
    return str(highlight(source, PythonLexer(), HtmlFormatter(noclasses=True)))
