"""The first NaN or infinity of a program: the statement, the iteration and the operands that it comes from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray
from sympy.core.symbol import Str

from graphc.analysis.recurrence import components
from graphc.arithmetic import NUMBERS, Arithmetic
from graphc.errors import Location, carets
from graphc.interpret import Machine
from graphc.interpret.coder import Environment
from graphc.ir.dtypes import is_float
from graphc.ir.expr import INFINITY, Access, Where
from graphc.ir.graph import Graph, reads
from graphc.ir.origin import Derivative, Exported, Given
from graphc.ir.show import Order, expression, statement
from graphc.ir.statement import Statement

__all__ = ["NonFinite", "first_nonfinite"]

Array = NDArray[Any]
Place = tuple[str, tuple[int, ...]]
"""An element of a tensor."""

LIMIT = 1_000_000
"""Iterations that are looked at for one element."""

_SHOWN = 12
"""Operands that are printed."""


@dataclass(frozen=True)
class NonFinite:
    """The first element that is NaN or infinite, and how it came about; true as a condition.

    Attributes:
        tensor: which has the element.
        index: of the element.
        value: NaN or an infinity.
        statement: what computes it, in loop notation.
        part: the smallest part of the statement that is not finite; empty if only the reduction of all terms is not.
        source: the line of `graphc.loops` that the statement belongs to.
        location: the line of the user's program (None when unknown).
        direction: "forward" or "backward".
        indices: the iteration: the value of each loop index.
        operands: the elements that were read in it, by name and index, with their values.
        results: the results of the program that are NaN or infinite somewhere.
        remark: what else is to be known.
    """

    tensor: str
    index: tuple[int, ...]
    value: float
    statement: str
    part: str
    source: str
    location: Location | None
    direction: str
    indices: Mapping[str, int]
    operands: Mapping[str, float]
    results: tuple[str, ...]
    remark: str = ""

    def __bool__(self) -> bool:
        return True

    def __str__(self) -> str:
        lines = [f"{_named(self.value)} in {_element((self.tensor, self.index))}, in the {self.direction} pass.", ""]
        lines += ["    " + line for line in (self.statement, carets(self.statement, self.part)) if line]
        if self.location is not None:
            lines.append(f"  at {self.location}")
        if self.location is not None and self.location.source:
            lines.append(f"    {self.location.source}")
        elif self.source != self.statement:
            lines.append(f"  from {self.source}")
        told = [f"{name} = {value:.8g}" for name, value in self.operands.items()]
        many = [f"… and {len(told) - _SHOWN} more"] if len(told) > _SHOWN else []
        facts = {
            "indices": ", ".join(f"{name} = {value}" for name, value in self.indices.items()) or "none",
            "operands": ", ".join(told[:_SHOWN] + many) or "none",
            "results": f"{', '.join(self.results)} {'are' if len(self.results) > 1 else 'is'} not finite" if self.results else "all finite",
            "remark": self.remark,
        }
        return "\n".join([*lines, "", *(f"  {label:<10}{text}" for label, text in facts.items() if text)])

    __repr__ = __str__


def _named(value: float) -> str:
    return "NaN" if value != value else "Inf" if value > 0 else "-Inf"


def _element(place: Place) -> str:
    return f"{place[0]}[{','.join(map(str, place[1])) or '()'}]"


def first_nonfinite(
    graph: Graph, values: Mapping[str, Array], sizes: Mapping[sp.Basic, int], results: Sequence[str]
) -> NonFinite | None:
    """Find the first element, in the order of computation, that became NaN or infinite.

    An infinity that the arguments or the program itself contain, as the ``-inf`` of a mask, counts only when a NaN comes of it, or a
    result is infinite. If a result is not finite, only what can have led to it is looked at.

    Args:
        graph: without nested reductions and boundary views.
        values: an array for every tensor, inputs included.
        sizes: the value of every size symbol.
        results: the tensors that the user asked for.

    Returns:
        What was found; None if there is nothing.
    """
    bad = {n: (bool(np.isnan(a).any()), bool(np.isinf(a).any())) for n, a in values.items() if is_float(graph.tensor(n).dtype)}
    bad = {name: kinds for name, kinds in bad.items() if any(kinds)}
    failed = tuple(name for name in results if name in bad)
    groups = _ahead(graph, bad, failed)
    found = next((new for group in groups if (new := _new(graph, group, bad)) is not None), None)
    if found is None and failed:
        found = next(((group, name, False) for group in groups for name in group if name in bad), None)
    if found is None:
        return None
    group, name, nan = found
    mask = np.isnan(values[name]) if nan else np.isinf(values[name])
    where = tuple(map(int, np.unravel_index(int(mask.argmax()), mask.shape)))
    dtype = graph.tensor(name).dtype
    witness = _Witness(graph, dict(sizes), {}, _rounding(dtype), values=values)
    return _reported(witness, *_traced(witness, (name, where), group), failed)


def _ahead(graph: Graph, bad: Mapping[str, Any], failed: Sequence[str]) -> list[tuple[str, ...]]:
    """Defined tensors in the order of computation, recurrences together; only those that can have led to what `failed`, if anything did."""
    definitions = graph.definitions()
    kept, waiting = set(), list(failed)
    while waiting:
        name = waiting.pop()
        if name not in kept:
            kept.add(name)
            waiting.extend(source for s in definitions[name] for source in reads(s) if source in bad)
    return [group for group in components(graph) if any(definitions[n] for n in group) and (not failed or kept.intersection(group))]


def _new(graph: Graph, group: tuple[str, ...], bad: Mapping[str, tuple[bool, bool]]) -> tuple[tuple[str, ...], str, bool] | None:
    """The first tensor of a group with a NaN that was none before, or else with an infinity that comes from finite values."""
    infos, definitions = graph.by_name(), graph.definitions()
    outside = {source for name in group for s in definitions[name] for source in reads(s)} - set(group)
    if not any(bad[source][0] for source in outside if source in bad and not infos[source].is_input):
        for name in group:
            if name in bad and bad[name][0]:
                return group, name, True
    written = any(INFINITY in s.value.free_symbols for name in group for s in definitions[name])
    if not written and not any(source in bad for source in outside):
        for name in group:
            if name in bad:
                return group, name, False
    return None


# --------------------------------------------------------------------------------------------------------------- one element


@dataclass
class _Witness(Machine):
    """Evaluates parts of statements at known elements, and remembers which were read."""

    values: Mapping[str, Array] = field(default_factory=dict)
    seen: dict[Place, Any] = field(default_factory=dict)

    def element(self, name: str, where: tuple[int, ...]) -> Any:
        array = self.values[name]
        inside = all(0 <= position < extent for position, extent in zip(where, array.shape, strict=True))
        value = array[where] if inside else super().element(name, where)
        self.seen[name, where] = value = value.item() if isinstance(value, np.generic) else value
        return value


@dataclass(frozen=True)
class _Iteration:
    """One iteration of a loop: its term, and what was read for it."""

    statement: Statement
    environment: Environment
    term: Any
    seen: Mapping[Place, Any]


def _traced(witness: _Witness, place: Place, group: tuple[str, ...]) -> tuple[Place, _Iteration | None, str]:
    """Where in a recurrence the value comes from, with the iteration; the given element if it refers to no other one of the group."""
    visited: set[Place] = set()
    while True:
        visited.add(place)
        iteration, remark = _iteration(witness, place)
        before = [p for p, v in iteration.seen.items() if p[0] in group and not math.isfinite(v)] if iteration is not None else []
        before.sort(key=lambda p: not math.isnan(witness.element(*p)))
        if not before or before[0] in visited:
            return place, iteration, remark
        place = before[0]


def _iteration(witness: _Witness, place: Place) -> tuple[_Iteration | None, str]:
    """The iteration whose term makes an element NaN or infinite, and a remark."""
    nan = math.isnan(witness.element(*place))
    other = largest = None
    for count, (s, environment) in enumerate(witness.iterations(*place)):
        if count == LIMIT:
            return other or largest, f"only the first {LIMIT} of its terms were looked at"
        witness.seen.clear()
        term = witness.evaluated(s, s.value, environment)
        found = _Iteration(s, environment, term, dict(witness.seen))
        if not math.isfinite(term):
            if math.isnan(term) == nan:
                return found, ""
            other = other or found
        elif largest is None or abs(term) > abs(largest.term):
            largest = found
    if other is None and largest is not None:
        return largest, f"every term is finite, but not all of them together; the largest is {largest.term:.6g}, which is shown"
    return other, "" if other is not None else "it has no terms"


def _reported(witness: _Witness, place: Place, iteration: _Iteration | None, remark: str, failed: tuple[str, ...]) -> NonFinite:
    value = float(witness.element(*place))
    if iteration is None:
        iteration = _Iteration(witness.graph.definitions()[place[0]][0], {}, 0, {})
    s, environment, part = iteration.statement, iteration.environment, ""
    if not math.isfinite(iteration.term):
        texts = (expression(node, Order.of(s)) for node in _culprits(witness, s, s.value, environment))
        part = [text for text in texts if text in statement(s)][-1]
    written = [access.tensor for access in s.order]
    operands = dict(sorted(iteration.seen.items(), key=lambda item: (*written, item[0][0]).index(item[0][0])))
    given = [_element(p) for p, v in operands.items() if witness.tensors[p[0]].is_input and not math.isfinite(v)]
    if given:
        remark = f"{', '.join(given)} {'are' if len(given) > 1 else 'is'} given like that"
    indices = {str(i): environment[str(i)] for i in (*s.free, *s.reduced) if str(i) in environment}
    return NonFinite(
        *place, value, statement(s), part, statement(_written(s)), s.location, "backward" if _backward(s) else "forward",
        indices, {_element(p): v for p, v in operands.items()}, failed, remark,
    )


def _culprits(witness: _Witness, s: Statement, node: sp.Basic, environment: Environment) -> list[sp.Basic]:
    """Parts that are not finite, from the whole to one in which everything is finite or read; only chosen branches are looked at."""
    parts = [a for a in node.args if not isinstance(a, Str)]
    if isinstance(node, Where):
        test, chosen, other = node.args
        parts = [chosen if witness.evaluated(s, test, environment) else other]
    for part in parts:
        if part.args and not isinstance(part, Access) and not math.isfinite(witness.evaluated(s, part, environment)):
            return [node, *_culprits(witness, s, part, environment)]
    return [node]


def _written(s: Statement) -> Statement:
    """The line of the user's program, or of a gradient, that the compiler made the statement of."""
    while s.origin is not None and not isinstance(s.origin, Given | Exported):
        s = s.origin.source
    return s


def _backward(s: Statement) -> bool:
    """Whether a statement belongs to a gradient."""
    origin = s.origin
    while origin is not None and not isinstance(origin, Given):
        if isinstance(origin, Derivative):
            return True
        origin = origin.origin if isinstance(origin, Exported) else origin.source.origin
    return False


def _rounding(dtype: str) -> Arithmetic:
    """Python's numbers, rounded after every operation: what overflows in a kernel overflows here."""

    def rounded(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            value = function(*arguments)
            return NUMBERS.stored(dtype, value) if isinstance(value, float) else value

        return call

    functions = {name: rounded(function) for name, function in NUMBERS.functions.items()}
    return replace(NUMBERS, functions=functions, add=rounded(NUMBERS.add), multiply=rounded(NUMBERS.multiply),
                   quotient=rounded(NUMBERS.quotient), power=rounded(NUMBERS.power))
