"""Exhaustive exact check of a derived gradient at tiny sizes: every element against the derivative of the expanded program."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import numpy as np
import sympy as sp

from graphc.arithmetic import Arithmetic
from graphc.errors import ArgumentError, GradientError, GraphcError
from graphc.exact.arithmetic import Exact, scalar
from graphc.exact.derivative import gradient
from graphc.exact.normal import Normaliser, TooLarge
from graphc.exact.point import DIGITS, Point, Undefined
from graphc.frontend.collect import collect
from graphc.frontend.tensor import Tensor
from graphc.frontend.unindexed import shown
from graphc.interpret import interpret, size_value
from graphc.ir.dtypes import is_float
from graphc.ir.expr import Access, Size
from graphc.ir.graph import Graph
from graphc.ir.show import expression, statement
from graphc.ir.statement import Statement
from graphc.ir.tensor import Tensor as TensorInfo
from graphc.ir.tree import accesses, modes_of, sizes_of
from graphc.structure import flatten
from graphc.transforms.gradient import grad, with_seed

__all__ = ["Verification", "verify"]

Sizes = dict[sp.Basic, int]

AGREED, ROUNDED = DIGITS - 20, 11
"""Digits to which equal values agree; where the program contains constants rounded to 15 digits, no more than the second number."""


@dataclass(frozen=True)
class Verification:
    """What has been compared, all of it equal; true as a condition.

    Attributes:
        output: the tensor that was differentiated.
        wrt: names of the tensors with respect to which.
        sizes: the values of the symbolic sizes that were covered, by name.
        possible: how many combinations of sizes 1 … largest there are.
        refused: combinations that the program does not accept, with the reason.
        elements: gradient elements that were compared.
        proved: those among them whose two formulas were proved equal for all values.
        pieces: smooth pieces (outcomes of all conditions, extrema and roundings) that were visited.
        digits: to which the others agree at random points; fewer where the program contains rounded constants.
    """

    output: str
    wrt: tuple[str, ...]
    sizes: tuple[Mapping[str, int], ...]
    possible: int
    refused: tuple[tuple[Mapping[str, int], str], ...]
    elements: int
    proved: int
    pieces: int
    digits: int

    def __bool__(self) -> bool:
        return True

    def __str__(self) -> str:
        names = list(self.sizes[0]) if self.sizes else []
        covered = f"{len(self.sizes)} of {self.possible} combinations" if names else "all sizes are numbers"
        spans = ", ".join(f"{n} = {_span({s[n] for s in self.sizes})}" for n in names)
        lines = [
            f"The gradient of {self.output} with respect to {', '.join(self.wrt)} is the derivative of the expanded program.",
            f"  sizes     {covered}{f': {spans}' if spans else ''}",
            f"  elements  {self.elements} compared: {self.proved} proved equal as formulas"
            + (f", {self.elements - self.proved} equal to {self.digits} digits at random points" if self.proved < self.elements else ""),
        ]
        if self.refused:
            sizes, reason = self.refused[0]
            where = ", ".join(f"{n} = {v}" for n, v in sizes.items())
            lines.append(f"  refused   {len(self.refused)} combinations, the first at {where}: {reason}")
        if self.pieces > len(self.sizes):
            lines.append(f"  pieces    {self.pieces} outcomes of conditions, extrema and kinks")
        return "\n".join(lines)

    __repr__ = __str__


def _span(values: set[int]) -> str:
    low, high = min(values), max(values)
    return f"{low}" if low == high else f"{low}…{high}" if len(values) == high - low + 1 else ", ".join(map(str, sorted(values)))


def verify(output: Tensor, wrt: Any, *, largest: int = 4, budget: int = 20_000) -> Verification:
    """Compare the derived gradient with the derivative of the program written out element by element, exactly.

    The program is expanded at sizes 1 … `largest` into one formula per element of its inputs, without any of graphc's rewriting;
    SymPy differentiates that, and every element of the derived gradient is compared with it: as formulas where a normal form decides,
    else to 30 digits at random points (11 if the program contains rounded constants). Conditions, extrema and kinks are taken on
    several sides and on the kink itself, where the documented value counts. Integer inputs get fixed values inside of what they are
    subscripts of.

    Args:
        output: a float tensor; one that is no scalar is multiplied by a seed of symbols.
        wrt: an input tensor, or lists, tuples and dicts of them.
        largest: value of a symbolic size.
        budget: loop iterations of all expansions together; combinations of sizes beyond it are left out.

    Returns:
        A report, true as a condition: ``assert gc.verify(L, [A, c])``.

    Raises:
        GradientError: an element is wrong; the message has both formulas, the sizes and the statement.
        ArgumentError: a tensor of `wrt` is no input, or no sizes within the budget give a program.

    >>> import graphc as gc
    >>> i = gc.index("i")
    >>> x, L = gc.tensor("x", gc.dim("N")), gc.tensor("L")
    >>> L[()] += gc.tanh(x[i])**2
    >>> print(gc.verify(L, x))
    The gradient of L with respect to x is the derivative of the expanded program.
      sizes     4 of 4 combinations: N = 1…4
      elements  10 compared: 10 proved equal as formulas
    """
    tensors, _ = flatten(wrt)
    for tensor in (output, *tensors):
        if not isinstance(tensor, Tensor):
            raise ArgumentError(f"gc.verify takes tensors, not {shown(tensor)}.", fix="pass the tensors themselves: gc.verify(L, [W, b]).")
    if not isinstance(largest, Integral) or not isinstance(budget, Integral) or largest < 1 or budget < 1:
        raise ArgumentError("largest and budget of gc.verify are positive numbers.", fix="leave them out for 4 and 20000.")
    largest, budget = int(largest), int(budget)
    scalar_output, seed = with_seed(output)
    gradients = grad(output, tensors, seed=seed)
    for tensor in tensors:
        if tensor.statements:
            raise ArgumentError(f"gc.verify compares gradients with respect to inputs; {tensor.name} is defined by statements.",
                                fix="name the inputs that it is computed from.")
    forward = collect([scalar_output, *tensors], "verify")  # those too that the program does not read: their gradient is 0
    backward = collect(gradients, "verify")
    names = {t.name: backward.name_of(g) for t, g in zip(tensors, gradients, strict=True)}
    check = _Check(forward.graph, backward.graph, names, output.name)
    combinations = list(_combinations((forward.graph, backward.graph), largest, budget))
    for sizes in combinations:
        check.at(sizes)
    return check.report(largest)


# ------------------------------------------------------------------------------------------------------------------- sizes


def _symbols(graphs: Sequence[Graph]) -> list[Size]:
    return sorted({s for g in graphs for t in g.tensors for e in t.shape for s in sizes_of(e)}, key=str)


def _combinations(graphs: Sequence[Graph], largest: int, budget: int) -> Iterator[Sizes]:
    """Sizes that fit into the budget: all, or those that differ from 2 in one place first, so that every size takes every value."""
    symbols, values = _symbols(graphs), range(1, largest + 1)
    if largest ** len(symbols) <= MANY:
        found = [dict(zip(symbols, chosen, strict=True)) for chosen in itertools.product(values, repeat=len(symbols))]
    else:
        found = [{**dict.fromkeys(symbols, min(2, largest)), s: v} for s in symbols for v in values]
        found = [s for k, s in enumerate(found) if s not in found[:k]] + [dict.fromkeys(symbols, v) for v in values if v != 2]
    costs = [sum(_cost(s, sizes) for g in graphs for s in g.statements) for sizes in found]
    for k in sorted(range(len(found)), key=lambda k: (sum(v != 2 for v in found[k].values()), costs[k])):
        if costs[k] <= budget:
            budget -= costs[k]
            yield found[k]


def _cost(s: Statement, sizes: Sizes) -> int:
    return math.prod(max(0, size_value(r.upper, sizes) - size_value(r.lower, sizes)) for r in s.ranges)


# ------------------------------------------------------------------------------------------------------------------ values


def _shape(tensor: TensorInfo, sizes: Sizes) -> tuple[int, ...]:
    return tuple(size_value(e, sizes) for e in tensor.shape)


def _whole_numbers(graph: Graph, sizes: Sizes) -> dict[str, np.ndarray[Any, Any]]:
    """Integer inputs: fixed values, within every dimension that they are subscripts of."""
    tensors = graph.by_name()
    limits: dict[str, int] = {}
    for s in graph.statements:
        for access in (Access(s.target, *s.subscripts), *accesses(s.value)):
            for subscript, extent, mode in zip(access.subscripts, tensors[access.tensor].shape, modes_of(access), strict=True):
                if isinstance(subscript, Access) and not mode:
                    limits[subscript.tensor] = min(limits.get(subscript.tensor, 1 << 30), size_value(extent, sizes))
    arrays = {}
    for tensor in graph.tensors:
        if tensor.is_input and not is_float(tensor.dtype):
            shape, limit = _shape(tensor, sizes), 2 if tensor.dtype == "bool" else limits.get(tensor.name, 4)
            if limit == 0 and 0 not in shape:
                raise ArgumentError(f"{tensor.name} would be a subscript of a tensor without elements.")
            count = np.arange(int(np.prod(shape)))
            values = (5 * count**2 + 3 * count + 1) // 2 % max(limit, 1)
            arrays[tensor.name] = values.reshape(shape).astype(tensor.dtype)
    return arrays


def _elements(tensor: TensorInfo, sizes: Sizes) -> np.ndarray[Any, Any]:
    """One symbol per element."""
    array = np.empty(_shape(tensor, sizes), object)
    for where in np.ndindex(*array.shape):
        array[where] = Access(tensor.name, *where)
    return array


MANY = 256
"""Combinations of sizes beyond which only lines through the middle are covered."""

DRAWS = ("any", "any", "small", "any", "positive", "small", "fraction", "positive", "fraction")
"""Where the elements of one point come from: small numbers hit ties and kinks, positive ones the domains of log and sqrt."""


def _drawn(kind: str, generator: random.Random) -> sp.Rational:
    if kind == "small":
        return sp.Integer(generator.choice((-1, 0, 0, 1, 1, 2)))
    if kind == "any":
        return sp.Rational(generator.choice((-1, 1)) * generator.randint(1, 97), 41)
    return sp.Rational(generator.randint(1, 97), 41 if kind == "positive" else 101)


# ------------------------------------------------------------------------------------------------------------------- check


@dataclass
class _Check:
    forward: Graph
    backward: Graph
    names: Mapping[str, str]
    output: str
    normaliser: Normaliser = field(default_factory=Normaliser)
    sizes: list[Sizes] = field(default_factory=list)
    refused: list[tuple[Sizes, str]] = field(default_factory=list)
    pieces: set[Any] = field(default_factory=set)
    elements: int = 0
    proved: int = 0
    rounded: bool = False

    def report(self, largest: int) -> Verification:
        symbols = _symbols((self.forward, self.backward))
        if not self.sizes:
            reason = f" ({self.refused[0][1]})" if self.refused else ": it has too many elements"
            raise ArgumentError(f"gc.verify found no sizes at which the program can be expanded{reason}.",
                                fix="use symbolic sizes instead of numbers, or give a larger budget=.")
        return Verification(
            self.output, tuple(self.names), tuple(map(_named, self.sizes)), largest ** len(symbols),
            tuple((_named(s), r) for s, r in self.refused), self.elements, self.proved, len(self.pieces),
            ROUNDED if self.rounded else AGREED,
        )

    def at(self, sizes: Sizes) -> None:
        """Compare at one set of sizes."""
        try:
            self._accepted(sizes)
            integers = _whole_numbers(self.backward, sizes) | _whole_numbers(self.forward, sizes)
            self._compare_at(sizes, integers)
        except GradientError:
            raise
        except GraphcError as error:
            self.refused.append((sizes, error.what.partition("\n")[0]))
        else:
            self.sizes.append(sizes)

    def _accepted(self, sizes: Sizes) -> None:
        for graph in (self.forward, self.backward):
            for tensor in graph.tensors:
                if any(extent < 0 for extent in _shape(tensor, sizes)):
                    raise ArgumentError(f"{tensor.name} would have a negative extent.")
            for check in graph.checks:
                if all(size_value(e, sizes) >= 0 for e in check.violation):
                    raise ArgumentError(check.message)

    def _compare_at(self, sizes: Sizes, integers: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Points are drawn until one is inside of every domain; more follow if the program has pieces."""
        inputs = {t.name: t for g in (self.forward, self.backward) for t in g.tensors if t.is_input and is_float(t.dtype)}
        symbols = {name: _elements(t, sizes) for name, t in inputs.items()}
        generator, visited = random.Random(0), 0
        for draw in DRAWS:
            values = {e: _drawn(draw, generator) for array in symbols.values() for e in array.flat}
            try:
                several = self._compare(sizes, symbols, integers, Point(values), first=not visited)
            except Undefined:
                continue
            visited += 1
            if visited == (4 if several else 1):
                return
        if not visited:
            raise ArgumentError("no point was found at which every function is defined.")

    def _compare(self, sizes: Sizes, symbols: Mapping[str, Any], integers: Mapping[str, Any], point: Point, first: bool) -> bool:
        """Compare every element at one point; whether the program has several pieces."""
        exact = Exact(point)
        arithmetic = Arithmetic(exact.constant, exact.functions(), exact.add, exact.multiply, exact.quotient, exact.power,
                                {op: _comparison(op, exact) for op in _HOLDS}, exact.combine, exact.stored)
        arrays = {**symbols, **integers}
        value = scalar(interpret(self.forward, arrays, sizes, arithmetic=arithmetic)[self.forward.outputs[0]][()])
        point.value(value)
        wanted = [(name, where) for name in self.names for where in np.ndindex(*symbols[name].shape)]
        expected = gradient(value, [symbols[name][where] for name, where in wanted])
        for node in expected:
            point.value(node)
        pieces = tuple(exact.decisions)
        derived = interpret(self.backward, arrays, sizes, arithmetic=arithmetic)
        self.rounded |= exact.rounded
        for (name, where), right in zip(wanted, expected, strict=True):
            left = scalar(derived[self.names[name]][where])
            if not _equal(point, left, right, exact.rounded):
                raise self._wrong(sizes, name, where, left, right, point)
            if first:
                self.elements += 1
                self.proved += self._proves(left, right)
        self.pieces.add((tuple(sizes.items()), pieces))
        return bool(pieces)

    def _proves(self, left: sp.Expr, right: sp.Expr) -> bool:
        if left == right:
            return True
        try:
            return self.normaliser.zero(left - right)
        except TooLarge:
            return False

    def _wrong(self, sizes: Sizes, name: str, where: tuple[int, ...], left: sp.Expr, right: sp.Expr, point: Point) -> GradientError:
        element = expression(Access(name, *where))
        at = "".join(f"{', ' if k else ' where '}{n} = {v}" for k, (n, v) in enumerate(_named(sizes).items()))
        lines = [f"The derived gradient of {self.output} with respect to {element} is not the derivative of the program{at}.", ""]
        lines += [f"  derived:  {_formula(left, point)}", f"  correct:  {_formula(right, point)}"]
        target = self.names[name]
        found = [s for s in self.backward.statements if s.target == target]
        return GradientError("\n".join(lines), at=tuple((statement(s), "", s.location) for s in found[:4]),
                             fix="correct the hand-written derivative; if there is none, report the program.")


def _named(sizes: Sizes) -> dict[str, int]:
    return {str(size): value for size, value in sizes.items()}


_HOLDS = {"<": (-1,), "<=": (-1, 0), ">": (1,), ">=": (0, 1), "==": (0,), "!=": (-1, 1)}


def _comparison(op: str, exact: Exact) -> Any:
    return lambda a, b: exact.order(a, b) in _HOLDS[op]


def _equal(point: Point, left: sp.Expr, right: sp.Expr, rounded: bool) -> bool:
    """Whether two scalars agree, relative to 1 or the correct one."""
    want = point.value(right)
    try:
        return bool(abs(point.value(left) - want) <= 10.0 ** -(ROUNDED if rounded else AGREED) * max(1, abs(want)))
    except Undefined:
        return False


def _formula(node: sp.Expr, point: Point) -> str:
    try:
        value = f"{float(point.value(node)):.12g}"
    except Undefined:
        value = "undefined"
    text = expression(node) if node.count_ops() < 60 else "…"
    return f"{text} = {value}" + (f" at {_place(node, point)}" if _place(node, point) else "")


def _place(node: sp.Expr, point: Point) -> str:
    elements = accesses(node)
    shown = ", ".join(f"{expression(a)} = {float(point.value(a)):.6g}" for a in elements[:4])
    return shown + (", …" if len(elements) > 4 else "")
