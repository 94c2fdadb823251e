"""The sizes of a call: what the shapes of the arguments say, and whether the program allows it."""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp

from graphc.errors import ArgumentError, GraphcError, RangeError, ShapeError
from graphc.interpret import size_value
from graphc.ir.affine import linear
from graphc.ir.expr import Size
from graphc.ir.graph import Graph
from graphc.ir.show import expression
from graphc.ir.tensor import Tensor
from graphc.ir.tree import sizes_of

__all__ = ["Binder"]

_KINDS: dict[str, type[GraphcError]] = {"shape": ShapeError, "range": RangeError, "argument": ArgumentError,
                                       "required": ArgumentError}
_REMEDIES = {
    "shape": "pass arrays for which it is not negative.",
    "range": "pass arrays of other sizes, declare a smaller range with gc.index, or read through gc.pad, gc.clamp or gc.skip.",
    "argument": "pass arrays that are not empty.",
}


class Binder:
    """Finds the sizes of calls of one program.

    Args:
        graph: with its checks.
        tensors: the arguments, by name.
    """

    def __init__(self, graph: Graph, tensors: Mapping[str, Tensor]) -> None:
        self._graph, self._tensors, self._needed = graph, tensors, _sizes_in(graph)

    def sizes(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[sp.Basic, int]:
        """The value of every size.

        Raises:
            ShapeError: shapes do not fit the tensors or each other.
            ArgumentError: a size is not determined.
            GraphcError: the sizes do not pass a check of the program.
        """
        sizes: dict[sp.Basic, int] = {}
        origin: dict[sp.Basic, str] = {}
        later: list[tuple[str, int, sp.Expr, int]] = []
        for name, shape in shapes.items():
            declared = self._tensors[name].shape
            if len(shape) != len(declared):
                found = f"{_dimensions(len(shape))} and shape {shape}"
                raise ShapeError(f"The argument {name} has {found}, but the tensor is {self._shown(name)}.",
                                 fix=f"pass an array with {_dimensions(len(declared))}.")
            for dimension, (extent, symbol) in enumerate(zip(shape, declared, strict=True)):
                if not isinstance(symbol, Size):
                    later.append((name, dimension, symbol, extent))
                elif sizes.setdefault(symbol, extent) != extent:
                    raise ShapeError(
                        f"The size {symbol} is {sizes[symbol]} in dimension {origin[symbol]}, "
                        f"but {extent} in dimension {dimension} of {name}.",
                        fix=f"pass arrays whose sizes agree: {', '.join(self._shown(n) for n in shapes if symbol in self._free(n))}.",
                    )
                origin.setdefault(symbol, f"{dimension} of {name}")
        while any(self._solve(symbol, extent, sizes) for _, _, symbol, extent in later):
            pass
        for name, dimension, symbol, extent in later:
            self._compare(name, dimension, symbol, extent, sizes)
        self._check(sizes)
        return sizes

    def _free(self, name: str) -> set[sp.Basic]:
        return {s for extent in self._tensors[name].shape for s in extent.free_symbols}

    def _solve(self, symbol: sp.Expr, extent: int, sizes: dict[sp.Basic, int]) -> bool:
        """Find the one size that is still unknown in an extent; whether there was one."""
        form = linear(symbol)
        unknown = [a for a, _ in form.terms if a not in sizes] if form is not None else []
        if form is None or len(unknown) != 1 or not unknown[0].is_Symbol or any(not a.is_Symbol for a, _ in form.terms):
            return False
        rest = extent - form.constant - sum(c * sizes[a] for a, c in form.terms if a != unknown[0])
        value, remainder = divmod(rest, form.coefficient(unknown[0]))
        if remainder != 0 or value < 0:
            return False
        sizes[unknown[0]] = value
        return True

    def _compare(self, name: str, dimension: int, symbol: sp.Expr, extent: int, sizes: dict[sp.Basic, int]) -> None:
        try:
            expected = size_value(symbol, sizes)
        except KeyError:
            unknown = [s for s in symbol.free_symbols if s not in sizes]
            form = linear(symbol)
            if len(unknown) == 1 and form is not None and all(a.is_Symbol for a, _ in form.terms):
                never = f"which is {expression(symbol)} for no {unknown[0]}"
                raise ShapeError(f"Dimension {dimension} of the argument {name} has {extent} elements, {never}.",
                                 fix=f"pass an array of shape {self._shown(name)}.") from None
            return
        if expected != extent:
            value = "" if symbol.is_Integer else f" = {expected}"
            raise ShapeError(f"Dimension {dimension} of the argument {name} has {extent} elements instead of {expression(symbol)}{value}.",
                             fix=f"pass an array of shape {self._shown(name)}.")

    def _shown(self, name: str) -> str:
        return f"{name}({', '.join(expression(e) for e in self._tensors[name].shape)})"

    def _check(self, sizes: dict[sp.Basic, int]) -> None:
        unbound = sorted(str(s) for s in self._needed if s not in sizes)
        if unbound:
            raise ArgumentError(f"The size {', '.join(unbound)} is not determined by the shapes of the arguments.",
                                fix="declare an input that has that size alone as an extent, or use an int.")
        for check in self._graph.checks:
            if all(size_value(e, sizes) >= 0 for e in check.violation):
                used = {s for e in check.violation for s in e.free_symbols}
                shown = ", ".join(f"{s} = {v}" for s, v in sizes.items() if s in used)
                raise _KINDS[check.kind](check.message + (f"\n\n  In this call {shown}." if shown else ""),
                                         fix=check.fix or _REMEDIES[check.kind])


def _dimensions(count: int) -> str:
    return f"{count} dimension{'s' * (count != 1)}"


def _sizes_in(graph: Graph) -> frozenset[sp.Basic]:
    """Every size that is needed to run the graph."""
    found = {size for tensor in graph.tensors for extent in tensor.shape for size in sizes_of(extent)}
    for s in graph.statements:
        for part in (*(e for r in s.ranges for e in (r.lower, r.upper)), *s.subscripts, s.value, *s.domain):
            found.update(sizes_of(part))
    return frozenset(found)
