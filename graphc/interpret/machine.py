"""Loops over elements with strict bounds: who writes an element, and what its value is."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import sympy as sp

from graphc.analysis.conditions import counted_where
from graphc.analysis.recurrence import cyclic, margins
from graphc.arithmetic import COMPLEX, NUMBERS, Arithmetic, Empty, real
from graphc.errors import ArgumentError, InternalError
from graphc.interpret.coder import Code, Coder, Dropped, Environment
from graphc.interpret.sizes import size_value
from graphc.ir.dtypes import is_float
from graphc.ir.expr import Access, Index
from graphc.ir.graph import Graph
from graphc.ir.reductions import EXTREMES, REDUCTIONS, extreme
from graphc.ir.statement import Range, Statement
from graphc.ir.tree import indices_of

__all__ = ["Machine", "interpret", "points"]


@dataclass
class _Loops:
    """A statement with its expressions turned into functions and its bounds into numbers."""

    statement: Statement
    subscripts: list[Code]
    others: list[tuple[int, Code]]
    free: dict[str, range]
    reduced: dict[str, range]
    outer: list[Code]
    domain: list[Code]
    coder: Coder

    @cached_property
    def value(self) -> Code:
        return self.coder.code(self.statement.value)

    @cached_property
    def counts(self) -> list[Code]:
        """Conditions under which a term goes to where integers of a tensor point; those of others need not point inside."""
        scattered = any(isinstance(s, Access) for s in self.statement.subscripts)
        return [self.coder.code(c) for c in counted_where(self.statement.value)] if scattered else []

    @property
    def op(self) -> str:
        return "sum" if self.statement.op == "+=" else self.statement.op


@dataclass
class Machine:
    """A graph with its arrays; elements that are known are kept."""

    graph: Graph
    sizes: dict[sp.Basic, int]
    arrays: dict[str, np.ndarray[Any, Any]]
    arithmetic: Arithmetic
    active: set[tuple[str, tuple[int, ...]]] = field(default_factory=set)
    scatters: dict[tuple[int, tuple[int, ...]], dict[tuple[int, ...], Any]] = field(default_factory=dict)
    coders: dict[Statement, Coder] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tensors, self.recurrent, self.rows = self.graph.by_name(), cyclic(self.graph), margins(self.graph)
        self.shapes = {t.name: tuple(size_value(e, self.sizes) for e in t.shape) for t in self.graph.tensors}
        self.done: dict[str, dict[tuple[int, ...], Any]] = {
            t.name: dict(np.ndenumerate(self.arrays[t.name].astype(object))) if t.name in self.arrays else {} for t in self.graph.tensors
        }
        self.definitions = {name: [self._loops(s) for s in found] for name, found in self.graph.definitions().items()}

    def _loops(self, statement: Statement) -> _Loops:
        spans = {r.index.name: self.span(r) for r in statement.ranges}
        coder, free = Coder(self, statement), set(statement.free)
        domain = [(coder.code(d), set(indices_of(d)) <= free) for d in statement.domain]
        assert statement.op != "=" or not statement.reduced, "an assignment has every index on its left"
        subscripts = coder.pointing(statement.target, statement.subscripts)
        return _Loops(
            statement,
            subscripts,
            [(d, code) for d, code in enumerate(subscripts) if not isinstance(statement.subscripts[d], Index)],
            {i.name: spans[i.name] for i in statement.free},
            {i.name: spans[i.name] for i in statement.reduced},
            [code for code, outside in domain if outside],
            [code for code, _ in domain],
            coder,
        )

    def span(self, r: Range) -> range:
        return range(size_value(r.lower, self.sizes), size_value(r.upper, self.sizes))

    # ------------------------------------------------------------------------------------------------- elements
    def element(self, name: str, where: tuple[int, ...]) -> Any:
        known = self.done[name]
        value = known.get(where)
        if value is not None:
            return value
        if name in self.arrays:
            self._bounds(name, where)
        if (name, where) in self.active:
            raise InternalError(f"{name}[{','.join(map(str, where))}] depends on itself.")
        self.active.add((name, where))
        try:
            known[where] = self._computed(name, where)
        finally:
            self.active.discard((name, where))
        return known[where]

    def _bounds(self, name: str, where: tuple[int, ...]) -> None:
        for dimension, (position, extent) in enumerate(zip(where, self.shapes[name], strict=True)):
            if not 0 <= position < extent:
                outside = f"{position} is outside of dimension {dimension} with {extent} elements"
                raise ArgumentError(f"{name} is read at {list(where)}: {outside}.")

    def _initial(self, name: str, where: tuple[int, ...]) -> bool:
        """Whether the element is one of initial slices, in every dimension in which it is outside."""
        for dimension, (position, extent) in enumerate(zip(where, self.shapes[name], strict=True)):
            below, above = self.rows.get((name, dimension), (0, 0))
            if not -below <= position < extent + above:
                return False
        return True

    def _computed(self, name: str, where: tuple[int, ...]) -> Any:
        """The element's value; outside of the shape only in initial slices."""
        total: Any = 0
        add, initial = self.arithmetic.add, False
        for loops in self.definitions[name]:
            if loops.statement.scatters:
                total = add(total, self._scattered(loops, where).get(where, 0))
                continue
            for environment in self._matching(loops, where):
                initial = True
                if not all(test(environment) >= 0 for test in loops.outer):
                    continue
                try:
                    if loops.statement.op == "=":
                        total = add(total, loops.value(environment))
                    else:
                        total = add(total, self.reduced(loops.op, loops.value, loops.reduced, loops.domain, environment, loops.statement))
                except Dropped:
                    continue
        if not initial and not self._initial(name, where):
            self._bounds(name, where)
        return self.arithmetic.stored(self.tensors[name].dtype, total)

    def _matching(self, loops: _Loops, where: tuple[int, ...]) -> Iterator[Environment]:
        """Values of the free indices with which the left side is `where`."""
        fixed: Environment = {}
        for subscript, position in zip(loops.statement.subscripts, where, strict=True):
            if isinstance(subscript, Index):
                if fixed.setdefault(subscript.name, position) != position or position not in loops.free[subscript.name]:
                    return
        for environment in points({i: span for i, span in loops.free.items() if i not in fixed}, fixed):
            if all(code(environment) == where[d] for d, code in loops.others):
                yield environment

    def iterations(self, name: str, where: tuple[int, ...]) -> Iterator[tuple[Statement, Environment]]:
        """Every iteration that assigns or adds to an element, with the values of the indices."""
        for loops in self.definitions[name]:
            for free in self._matching(loops, where):
                for environment in points(loops.reduced, free):
                    if all(test(environment) >= 0 for test in loops.domain):
                        yield loops.statement, dict(environment)

    def evaluated(self, statement: Statement, part: sp.Basic, environment: Environment) -> Any:
        """The value of a part of a statement in one iteration."""
        if statement not in self.coders:
            self.coders[statement] = Coder(self, statement)
        return self.coders[statement].code(part)(environment)

    def _scattered(self, loops: _Loops, where: tuple[int, ...]) -> dict[tuple[int, ...], Any]:
        """What the statement adds to the elements of its target; in a recurrence, to those in the same step."""
        fixed: Environment = {}
        if loops.statement.target in self.recurrent:
            for subscript, position in zip(loops.statement.subscripts, where, strict=True):
                if isinstance(subscript, Index):
                    if fixed.setdefault(subscript.name, position) != position or position not in loops.free[subscript.name]:
                        return {}
        key = id(loops), tuple(fixed.values())
        if key not in self.scatters:
            sums: dict[tuple[int, ...], Any] = {}
            for environment in points({i: span for i, span in {**loops.free, **loops.reduced}.items() if i not in fixed}, fixed):
                if all(test(environment) >= 0 for test in loops.domain) and all(test(environment) for test in loops.counts):
                    try:
                        value = loops.value(environment)
                    except Dropped:
                        continue
                    place = tuple(int(real(s(environment))) for s in loops.subscripts)
                    self._bounds(loops.statement.target, place)
                    sums[place] = self.arithmetic.add(sums.get(place, 0), value)
            self.scatters[key] = sums
        return self.scatters[key]

    def reduced(
        self, op: str, body: Code, spans: dict[str, range], domain: list[Code], environment: Environment, statement: Statement
    ) -> Any:
        terms, positions = [], []
        for point in points(spans, environment):
            if all(test(point) >= 0 for test in domain):
                try:
                    terms.append(body(point))
                except Dropped:
                    continue
                position = 0
                for index, span in spans.items():
                    position = position * len(span) + point[index] - span.start
                positions.append(position)
        if op in REDUCTIONS:
            return self._folded(op, terms, statement)
        if op in EXTREMES and not terms:
            return Coder(self, statement).code(extreme(op, self.tensors[statement.target].dtype))({})
        return self.arithmetic.combine(op, terms, positions, statement)

    def _folded(self, op: str, terms: list[Any], statement: Statement) -> Any:
        """A reduction of the user's: one term after the other."""
        coder = Coder(self, statement)
        combine = coder.code(REDUCTIONS[op].combine(sp.Symbol("total"), sp.Symbol("term")))
        result = coder.code(REDUCTIONS[op].identity)({})
        for term in terms:
            result = combine({"total": result, "term": term})
        return result


def points(spans: dict[str, range], environment: Environment) -> Iterator[Environment]:
    """Every point of a box; one dictionary is yielded again and again, with other values."""
    point = dict(environment)
    for values in itertools.product(*spans.values()):
        point.update(zip(spans, values, strict=True))
        yield point


def interpret(
    graph: Graph, arrays: Mapping[str, Any], sizes: Mapping[sp.Basic, int], complex_step: bool = False,
    arithmetic: Arithmetic | None = None,
) -> dict[str, np.ndarray[Any, Any]]:
    """Evaluate the outputs of a graph element by element.

    Args:
        graph: at any stage.
        arrays: one array per input, of the graph's shape for these sizes.
        sizes: the value of every size symbol.
        complex_step: keep float tensors complex, for derivatives by the complex step (Squire and Trapp, SIAM Review 40, 1998).
        arithmetic: of other scalars than Python numbers; arrays then have the dtype object.

    Returns:
        One array per output name.

    Raises:
        ArgumentError: a read lies outside of its tensor, or an extremum is over an empty range.
    """
    known = graph.by_name()
    given = {n: np.asarray(a) for n, a in arrays.items() if n in known}
    machine = Machine(graph, dict(sizes), given, arithmetic or (COMPLEX if complex_step else NUMBERS))
    results = {}
    for name in graph.order():
        if name in machine.arrays:
            continue
        shape, dtype = machine.shapes[name], machine.tensors[name].dtype
        array = np.empty(shape, object if arithmetic else complex if complex_step and is_float(dtype) else dtype)
        for where in np.ndindex(*shape):
            try:
                array[where] = machine.element(name, where)
            except Empty:
                if name in graph.outputs:
                    raise
        if name in graph.outputs:
            results[name] = array
    for name in graph.outputs:
        if name not in results:
            results[name] = np.array(machine.arrays[name])
    return results
