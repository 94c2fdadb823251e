"""The command line: look at the tensors of a Python file without writing a program around it."""

from __future__ import annotations

import importlib.metadata
import platform
import runpy
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from graphc.compile import compile_program
from graphc.draw import draw as draw_tensors
from graphc.errors import ArgumentError, GraphcError, InternalError, Location
from graphc.explain import explain as explanation
from graphc.frontend.collect import collect
from graphc.frontend.tensor import Tensor
from graphc.gradient import grad as gradient
from graphc.ir.dtypes import is_float
from graphc.summary import summary as count
from graphc.text import latex as formulas
from graphc.text import loops as statements

__all__ = ["app", "main"]

app = typer.Typer(
    name="graphc", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Look at tensor programs written as loops: draw them, print their loops and gradients, count and compile them.",
    epilog="FILE.py:NAME is a variable of the file: a tensor, a list or dict of tensors, or a function without arguments that "
           "returns them. Example: graphc draw net.py:loss --wrt W,b -o net.svg",
)
cache_app = typer.Typer(no_args_is_help=True, help="The directory of compiled programs (GRAPHC_CACHE_DIR).")
app.add_typer(cache_app, name="cache")

Where = Annotated[str, typer.Argument(metavar="FILE.py:NAME", help="NAME is a tensor, a list of tensors or a function that returns them.")]
Wrt = Annotated[str, typer.Option(metavar="W,b", help="Names of tensors to differentiate with respect to.")]
Latex = Annotated[bool, typer.Option("--latex", help="Print LaTeX instead of loops.")]


def main() -> None:
    """The entry point: the user's faults are told without a traceback and end with exit code 2."""
    try:
        app()
    except (GraphcError, InternalError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(2)


@app.command()
def draw(
    where: Where,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A .svg, .png, .pdf or .dot; NAME.svg by default.")] = None,
    wrt: Wrt = "",
    style: Annotated[str, typer.Option(help="lecture, compact (a tensor and its loops share a box) or full.")] = "lecture",
    scale: Annotated[float, typer.Option(help="Pixels per point of a .png.")] = 2.0,
) -> None:
    """Draw the program: forward on the left and, with --wrt, backward on the right."""
    tensors = _tensors(where)
    if wrt:
        tensors += _gradients(tensors, wrt)
    picture = draw_tensors(tensors, style=style)
    path = picture.save(output or Path(f"{where.rpartition(':')[2]}.svg"), scale)
    typer.echo(f"{path} ({picture.renderer})")


@app.command()
def loops(where: Where, latex: Latex = False) -> None:
    """Print the loops that compute the tensors, in reading order."""
    tensors = _tensors(where)
    typer.echo(formulas(*tensors) if latex else statements(*tensors))


@app.command()
def grad(where: Where, wrt: Wrt = "", latex: Latex = False) -> None:
    """Print the loops of a scalar and of its gradient; by default with respect to its parameters, or else its float inputs."""
    tensors = _tensors(where)
    tensors += _gradients(tensors, wrt)
    typer.echo(formulas(*tensors) if latex else statements(*tensors))


@app.command()
def explain(where: Where, wrt: Wrt = "", latex: Latex = False) -> None:
    """Print how each derived or rewritten line came about; with --wrt, also the lines of the gradient."""
    tensors = _tensors(where)
    if wrt:
        tensors += _gradients(tensors, wrt)
    told = explanation(*tensors)
    typer.echo(told.latex() if latex else told)


@app.command()
def summary(
    where: Where,
    size: Annotated[list[str] | None, typer.Option(metavar="N=64", help="A number for a symbolic size; may be repeated.")] = None,
    parameters: Annotated[str, typer.Option(metavar="W,b", help="Inputs that count as parameters.")] = "",
) -> None:
    """Print a row per tensor: shape, dtype, parameters, multiply-adds."""
    typer.echo(str(count(_tensors(where), parameters=_names(parameters), **_sizes(size or []))))


@app.command()
def compile(
    where: Where,
    target: Annotated[str, typer.Option(help="cpu, cuda or interpret.")] = "cpu",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write a module that needs only NumPy and Numba.")] = None,
) -> None:
    """Print the generated program, or write it as a module."""
    program = compile_program(_tensors(where), target=target)
    if output is None:
        typer.echo(program.source)
    else:
        program.save(str(output))
        typer.echo(str(output))


@cache_app.command("info")
def cache_info() -> None:
    """Say where compiled programs are kept and how much there is."""
    from graphc.runtime import cache

    found = cache.info()
    typer.echo(f"{found.directory}: {found.modules} programs, {found.files} files, {found.bytes / 2**20:.1f} MiB")


@cache_app.command("clear")
def cache_clear() -> None:
    """Remove all compiled programs; they are compiled again when they are needed."""
    from graphc.runtime import cache

    typer.echo(f"{cache.clear()} programs removed from {cache.directory()}")


@app.command()
def info() -> None:
    """Print versions, targets, threads, vector width, GPU and renderer: what to put into a report."""
    from graphc.kernels.tile import SIMD
    from graphc.picture.render import available_renderer
    from graphc.runtime import cache
    from graphc.runtime.pool import default_team

    gpu = _gpu()
    lines = {
        "graphc": _version("graphc"),
        "Python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "packages": ", ".join(f"{name} {_version(name)}" for name in ("numpy", "sympy", "numba", "llvmlite")),
        "targets": "cpu, interpret" + (", cuda" if gpu else ""),
        "threads": str(default_team().threads),
        "SIMD": f"{SIMD} bits",
        "GPU": gpu or "no",
        "renderer": available_renderer(),
        "cache": str(cache.directory()),
    }
    for name, text in lines.items():
        typer.echo(f"{name:<9} {text}")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _gpu() -> str:
    """The name of the GPU that Numba can use ("" if there is none)."""
    try:
        from numba import cuda

        if not cuda.is_available():  # type: ignore[no-untyped-call]
            return ""
        name = cuda.get_current_device().name  # type: ignore[no-untyped-call]
        return name.decode() if isinstance(name, bytes) else str(name)
    except Exception:  # whatever a driver throws, there is no GPU to use
        return ""


def _tensors(where: str) -> list[Tensor]:
    """The tensors that FILE.py:NAME stands for."""
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
    if callable(value) and not isinstance(value, Tensor):
        value = _guarded(file, value)
    found = list(value.values()) if isinstance(value, Mapping) else list(value) if isinstance(value, list | tuple) else [value]
    for item in found:
        if not isinstance(item, Tensor):
            raise ArgumentError(f"{name} of {file} gives a {type(item).__name__}, not a tensor.", fix="name a tensor or a list of tensors.")
    return found


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


def _gradients(tensors: list[Tensor], wrt: str) -> list[Tensor]:
    output = tensors[0]
    handles = collect([output], "grad").handles
    infos = {t.name: t for t in collect([output], "grad").graph.tensors}
    trained = [n for n, t in infos.items() if t.kind == "parameter"]
    chosen = _names(wrt) or trained or [n for n, t in infos.items() if t.is_input and is_float(t.dtype)]
    for name in chosen:
        if name not in handles:
            known = ", ".join(n for n in handles if n != output.name)
            raise ArgumentError(f"{output.name} does not depend on a tensor {name}.", fix=f"choose from {known}.")
    return list(gradient(output, [handles[name] for name in chosen]))


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _sizes(given: list[str]) -> dict[str, int]:
    sizes = {}
    for text in given:
        name, found, value = text.partition("=")
        if not found or not value.strip().isdecimal():
            raise ArgumentError(f"{text!r} is not a size.", fix="write NAME=NUMBER, for example --size N=64.")
        sizes[name.strip()] = int(value)
    return sizes
