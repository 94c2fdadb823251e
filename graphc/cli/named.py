"""What FILE.py:NAME stands for on the command line."""

from __future__ import annotations

import runpy
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graphc.compile import compile_program
from graphc.errors import ArgumentError, DifferentiationError, GraphcError, InternalError, Location
from graphc.frontend.collect import collect
from graphc.frontend.tensor import Tensor
from graphc.ir.dtypes import is_float
from graphc.ir.graph import Graph
from graphc.ir.show import expression, statement
from graphc.program import Program
from graphc.transforms.gradient import grad

__all__ = ["gradients", "program", "tensors"]


def tensors(where: str) -> list[Tensor]:
    """The tensors that FILE.py:NAME stands for.

    Raises:
        ArgumentError: there is no such file or variable, the file fails, or the variable holds something else.
    """
    value, name, file = _value(where)
    found = list(value.values()) if isinstance(value, Mapping) else list(value) if isinstance(value, list | tuple) else [value]
    for item in found:
        if not isinstance(item, Tensor):
            raise ArgumentError(f"{name} of {file} gives a {type(item).__name__}, not a tensor.", fix="name a tensor or a list of tensors.")
    return found


def program(where: str, wrt: list[str] | None, target: str, **options: Any) -> Program:
    """The program that FILE.py:NAME stands for: a compiled one, or what tensors are compiled to, with their gradients if asked for.

    Args:
        where: FILE.py:NAME.
        wrt: names of tensors, of whose gradients; an empty list stands for the parameters, None for no gradient.
        target, options: as for `graphc.compile`.

    Raises:
        ArgumentError: as `tensors`, or a compiled program is asked for its gradient.
    """
    value, name, file = _value(where)
    if not isinstance(value, Program):
        chosen = tensors(where)
        return compile_program(chosen + (gradients(chosen, wrt) if wrt is not None else []), target=target, **options)
    if wrt is not None:
        raise ArgumentError(f"{name} of {file} is compiled already; no gradient can be added.", fix="name the tensors, or leave out --wrt.")
    return value


def gradients(chosen: list[Tensor], wrt: list[str]) -> list[Tensor]:
    """The gradients of the first tensor; with respect to its parameters, or else its float inputs, if no names are given.

    Raises:
        ArgumentError: it does not depend on a tensor of that name.
        DifferentiationError: it is no scalar.
    """
    output = chosen[0]
    found = collect([output], "grad")
    _check_scalar(output, found.graph, found.name_of(output))
    infos = {t.name: t for t in found.graph.tensors}
    trained = [n for n, t in infos.items() if t.kind == "parameter"]
    names = wrt or trained or [n for n, t in infos.items() if t.is_input and is_float(t.dtype)]
    for name in names:
        if name not in found.handles:
            known = ", ".join(n for n in found.handles if n != output.name)
            raise ArgumentError(f"{output.name} does not depend on a tensor {name}.", fix=f"choose from {known}.")
    return list(grad(output, [found.handles[name] for name in names]))


def _check_scalar(output: Tensor, graph: Graph, name: str) -> None:
    """Refuse what has dimensions, at the line that defines it."""
    shape = graph.tensor(name).shape
    if shape:
        first = next((s for s in graph.statements if s.target == name), None)
        at = (repr(output), output.name, output.location) if first is None else (statement(first), "", first.location)
        raise DifferentiationError(
            f"{output.name}({', '.join(map(expression, shape))}) is not a scalar, so it has no gradient.", at=(at,),
            fix=f"name a scalar, or define a sum in the file: L[()] += {output.name}[{','.join('ijklmnopqrstuvwxyz'[: len(shape)])}].")


def _value(where: str) -> tuple[Any, str, str]:
    """What the variable holds, or the function without arguments returns, its name and the file."""
    file, _, name = where.rpartition(":")
    if not file or not name.isidentifier():
        raise ArgumentError(f"{where!r} does not say which tensor of which file.", fix="write FILE.py:NAME, for example net.py:loss.")
    if not Path(file).is_file():
        raise ArgumentError(f"There is no file {file}.", fix="check the path.")
    namespace = _executed(file)
    if name not in namespace:
        known = sorted(n for n, value in namespace.items() if isinstance(value, Tensor) and value.statements)
        raise ArgumentError(f"{file} has no variable {name}.", fix=f"its tensors are {', '.join(known) or 'inside functions'}.")
    value = namespace[name]
    if callable(value) and not isinstance(value, Tensor | Program):
        value = _guarded(file, value)
    return value, name, file


def _executed(file: str) -> dict[str, Any]:
    folder = str(Path(file).resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return _guarded(file, lambda: runpy.run_path(file, run_name=Path(file).stem))  # type: ignore[no-any-return]


def _guarded(file: str, action: Any) -> Any:
    """Run the user's code; what it raises becomes an error that names the line of the file."""
    try:
        return action()
    except (GraphcError, InternalError):
        raise
    except (Exception, SystemExit) as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == Path(file)]
        at = ((frames[-1].line or file, "", Location(file, frames[-1].lineno or 0)),) if frames else ()
        raise ArgumentError(f"{file} fails: {type(error).__name__}: {error}", at=at, fix=f"see that python {file} runs.") from error
