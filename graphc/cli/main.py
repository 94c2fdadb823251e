"""The command line: look at the tensors of a Python file without writing a program around it."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from graphc.cli.named import gradients, program, tensors
from graphc.cli.trial import trial_arrays
from graphc.errors import ArgumentError, GraphcError, InternalError
from graphc.frontend.tensor import Tensor
from graphc.views.draw import draw as draw_tensors
from graphc.views.explain import explain as explanation
from graphc.views.summary import summary as count
from graphc.views.text import latex as formulas
from graphc.views.text import loops as statements

__all__ = ["app", "main"]

app = typer.Typer(
    name="graphc", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Look at tensor programs written as loops: draw them, print their loops and gradients, count, compile and time them.",
    epilog="FILE.py:NAME is a variable of the file: a tensor, a list or dict of tensors, or a function without arguments that "
           "returns them; for compile and profile also a compiled program. The file is imported, not run as a program. "
           "Example: graphc grad net.py:loss --wrt W,b",
)
cache_app = typer.Typer(no_args_is_help=True, help="The directory of compiled programs (GRAPHC_CACHE_DIR).")
app.add_typer(cache_app, name="cache")

Where = Annotated[str, typer.Argument(metavar="FILE.py:NAME", help="NAME is a tensor, a list of tensors or a function that returns them.")]
Wrt = Annotated[str, typer.Option(metavar="W,b", help="Names of tensors to differentiate with respect to.")]
Latex = Annotated[bool, typer.Option("--latex", help="Print LaTeX instead of loops.")]
Grad = Annotated[bool, typer.Option("--grad", help="Add the gradient with respect to the parameters, or else the float inputs.")]
Size = Annotated[list[str] | None, typer.Option(metavar="N=64", help="A number for a symbolic size; may be repeated.")]
Threads = Annotated[int | None, typer.Option(help="Number of threads; one per core by default.")]
Arrays = Annotated[Path | None, typer.Option(metavar="FILE.npz", help="Arrays by argument, in the place of random numbers.")]


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if show:
        typer.echo(f"graphc {_version('graphc')}")
        raise typer.Exit


def main() -> None:
    """The entry point: the user's faults are told without a traceback and end with exit code 2."""
    try:
        app()
    except (GraphcError, InternalError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(2)


@app.command(epilog="Example: graphc draw net.py:loss --grad -o net.svg")
def draw(
    where: Where,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A .svg, .png, .pdf or .dot; NAME.svg by default.")] = None,
    wrt: Wrt = "",
    with_gradient: Grad = False,
    style: Annotated[str, typer.Option(help="lecture, compact (a tensor and its loops share a box) or full.")] = "lecture",
    scale: Annotated[float, typer.Option(help="Pixels per point of a .png.")] = 2.0,
    by: Annotated[str, typer.Option(metavar="COST", help="Colour by a profile: time, operations or bytes; needs --size.")] = "",
    size: Size = None,
) -> None:
    """Draw the program: forward on the left and, with --wrt or --grad, backward on the right."""
    chosen = _with_gradients(where, wrt, with_gradient)
    costs: dict[str, Any] = {}
    if by:
        timed = program(where, _chosen(wrt, with_gradient), "cpu")
        costs = {"profile": timed.profile(trial_arrays(timed, _sizes(size))), "by": by}
    picture = draw_tensors(chosen, style=style, **costs)
    path = picture.save(output or Path(f"{where.rpartition(':')[2]}.svg"), scale)
    typer.echo(f"{path} ({picture.renderer})")


@app.command(epilog="Example: graphc loops net.py:loss")
def loops(where: Where, latex: Latex = False) -> None:
    """Print the loops that compute the tensors, in reading order."""
    chosen = tensors(where)
    typer.echo(formulas(*chosen) if latex else statements(*chosen))


@app.command(epilog="Example: graphc grad net.py:loss --wrt W,b")
def grad(where: Where, wrt: Wrt = "", latex: Latex = False) -> None:
    """Print the loops of a scalar and of its gradient; by default with respect to its parameters, or else its float inputs."""
    chosen = _with_gradients(where, wrt, True)
    typer.echo(formulas(*chosen) if latex else statements(*chosen))


@app.command(epilog="Example: graphc explain net.py:loss --wrt W")
def explain(where: Where, wrt: Wrt = "", with_gradient: Grad = False, latex: Latex = False) -> None:
    """Print how each derived or rewritten line came about; with --wrt or --grad, also the lines of the gradient."""
    told = explanation(*_with_gradients(where, wrt, with_gradient))
    typer.echo(told.latex() if latex else told)


@app.command(epilog="Example: graphc summary net.py:loss --size N=64")
def summary(
    where: Where,
    size: Size = None,
    parameters: Annotated[str, typer.Option(metavar="W,b", help="Inputs that count as parameters.")] = "",
) -> None:
    """Print a row per tensor: shape, dtype, parameters, multiply-adds."""
    typer.echo(str(count(tensors(where), parameters=_names(parameters), **_sizes(size))))


@app.command(epilog="Example: graphc compile net.py:loss --grad -o net_loss.py")
def compile(
    where: Where,
    target: Annotated[str, typer.Option(help="cpu, cuda or interpret.")] = "cpu",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write a module that needs only NumPy and Numba.")] = None,
    wrt: Wrt = "",
    with_gradient: Grad = False,
    threads: Threads = None,
) -> None:
    """Print the generated program, or write it as a module."""
    made = program(where, _chosen(wrt, with_gradient), target, threads=threads)
    if output is None:
        typer.echo(made.source)
    else:
        made.save(str(output))
        typer.echo(str(output))


@app.command(epilog="Example: graphc profile net.py:loss --grad --size N=64")
def profile(
    where: Where,
    size: Size = None,
    wrt: Wrt = "",
    with_gradient: Grad = False,
    arrays: Arrays = None,
    threads: Threads = None,
) -> None:
    """Run the program and print where its time goes: a row per kernel, beside the limits of this machine.

    Arguments are made up, unless --arrays has them: parameters as they begin, other floats normal, integers where they may point.
    """
    timed = program(where, _chosen(wrt, with_gradient), "cpu", threads=threads)
    typer.echo(str(timed.profile(trial_arrays(timed, _sizes(size), _loaded(arrays)))))


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


def _with_gradients(where: str, wrt: str, always: bool) -> list[Tensor]:
    chosen, names = tensors(where), _chosen(wrt, always)
    return chosen if names is None else chosen + gradients(chosen, names)


def _chosen(wrt: str, always: bool) -> list[str] | None:
    """Names of what is differentiated by: none for the parameters; None if there is to be no gradient."""
    return _names(wrt) if wrt or always else None


def _loaded(file: Path | None) -> dict[str, Any]:
    import numpy as np

    if file is None:
        return {}
    try:
        with np.load(file, allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except (OSError, ValueError) as error:
        raise ArgumentError(f"{file} holds no arrays: {error}.", fix="write them by numpy.savez(file, X=x, A=a).") from None


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _sizes(given: list[str] | None) -> dict[str, int]:
    sizes = {}
    for text in given or []:
        name, found, value = text.partition("=")
        if not found or not value.strip().isdecimal():
            raise ArgumentError(f"{text!r} is not a size.", fix="write NAME=NUMBER, for example --size N=64.")
        sizes[name.strip()] = int(value)
    return sizes
