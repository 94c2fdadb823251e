"""The slow interpreter: plain loops with strict bounds. It defines what a graph means and is the oracle of every test.

It evaluates any graph, as written or after any pass: nested reductions, boundary views, recurrences and scatters included.
Elements are evaluated on demand, so that the order of statements never matters. Arithmetic is in float64 (or complex128, for
the complex-step derivative); a value is converted to its tensor's dtype when it is stored.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import sympy as sp
from sympy.core.symbol import Str

from graphc.analysis.conditions import counted_where
from graphc.analysis.reach import out_of_reach
from graphc.analysis.recurrence import cyclic, margins
from graphc.arithmetic import COMPLEX, NUMBERS, Arithmetic, Empty, real
from graphc.errors import ArgumentError, InternalError
from graphc.ir.affine import Linear, linear
from graphc.ir.dtypes import is_float
from graphc.ir.expr import INFINITY, NAN, Access, BoundaryAccess, Call, Compare, FloorDiv, Index, Logical, Modulo, Reduce, Size, Where
from graphc.ir.functions import FUNCTIONS
from graphc.ir.graph import Graph
from graphc.ir.reductions import EXTREMES, REDUCTIONS, extreme
from graphc.ir.show import statement_body
from graphc.ir.statement import Range, Statement
from graphc.ir.tree import indices_of

__all__ = ["Machine", "interpret", "size_value"]

Environment = dict[str, Any]
"""Values of indices by name; sizes are constants."""


class _Dropped(Exception):
    """A skipped element was read: the term of the surrounding reduction is dropped."""


def size_value(node: sp.Basic, sizes: Mapping[sp.Basic, int]) -> int:
    """The value of an integer expression in sizes (and indices, if the mapping has them), which may be symbols of another library."""
    if isinstance(node, sp.Integer):
        return int(node)
    if node.is_Symbol:
        return sizes[node]
    if isinstance(node, FloorDiv):
        return size_value(node.numerator, sizes) // node.divisor
    if isinstance(node, Modulo):
        return size_value(node.numerator, sizes) % node.divisor
    if isinstance(node, sp.Add):
        return sum(size_value(a, sizes) for a in node.args)
    if isinstance(node, sp.Mul):
        return math.prod(size_value(a, sizes) for a in node.args)
    if isinstance(node, sp.Pow) and isinstance(node.exp, sp.Integer) and node.exp > 0:
        return math.prod([size_value(node.base, sizes)] * int(node.exp))
    raise InternalError(f"{node} is not an integer expression in sizes.")


_ROOTS: dict[sp.Basic, str] = {sp.Rational(1, 2): "sqrt", sp.Rational(-1, 2): "rsqrt"}

_CONSTANTS = frozenset((INFINITY, NAN, sp.true, sp.false))

Code = Callable[[Environment], Any]
"""An expression as a Python function of the values of indices."""


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
    coder: _Coder

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
    coders: dict[Statement, _Coder] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tensors, self.recurrent, self.rows = self.graph.by_name(), cyclic(self.graph), margins(self.graph)
        self.shapes = {t.name: tuple(size_value(e, self.sizes) for e in t.shape) for t in self.graph.tensors}
        self.done: dict[str, dict[tuple[int, ...], Any]] = {
            t.name: dict(np.ndenumerate(self.arrays[t.name].astype(object))) if t.name in self.arrays else {} for t in self.graph.tensors
        }
        self.definitions = {name: [self._loops(s) for s in found] for name, found in self.graph.definitions().items()}

    def _loops(self, statement: Statement) -> _Loops:
        spans = {r.index.name: self._span(r) for r in statement.ranges}
        coder, free = _Coder(self, statement), set(statement.free)
        domain = [(coder.code(d), set(indices_of(d)) <= free) for d in statement.domain]
        assert statement.op != "=" or not statement.reduced, "an assignment has every index on its left"
        subscripts = coder._pointing(statement.target, statement.subscripts)
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

    def _span(self, r: Range) -> range:
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
                except _Dropped:
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
        for environment in _points({i: span for i, span in loops.free.items() if i not in fixed}, fixed):
            if all(code(environment) == where[d] for d, code in loops.others):
                yield environment

    def iterations(self, name: str, where: tuple[int, ...]) -> Iterator[tuple[Statement, Environment]]:
        """Every iteration that assigns or adds to an element, with the values of the indices."""
        for loops in self.definitions[name]:
            for free in self._matching(loops, where):
                for environment in _points(loops.reduced, free):
                    if all(test(environment) >= 0 for test in loops.domain):
                        yield loops.statement, dict(environment)

    def evaluated(self, statement: Statement, part: sp.Basic, environment: Environment) -> Any:
        """The value of a part of a statement in one iteration."""
        if statement not in self.coders:
            self.coders[statement] = _Coder(self, statement)
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
            for environment in _points({i: span for i, span in {**loops.free, **loops.reduced}.items() if i not in fixed}, fixed):
                if all(test(environment) >= 0 for test in loops.domain) and all(test(environment) for test in loops.counts):
                    try:
                        value = loops.value(environment)
                    except _Dropped:
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
        for point in _points(spans, environment):
            if all(test(point) >= 0 for test in domain):
                try:
                    terms.append(body(point))
                except _Dropped:
                    continue
                position = 0
                for index, span in spans.items():
                    position = position * len(span) + point[index] - span.start
                positions.append(position)
        if op in REDUCTIONS:
            return self._folded(op, terms, statement)
        if op in EXTREMES and not terms:
            return _Coder(self, statement).code(extreme(op, self.tensors[statement.target].dtype))({})
        return self.arithmetic.combine(op, terms, positions, statement)

    def _folded(self, op: str, terms: list[Any], statement: Statement) -> Any:
        """A reduction of the user's: one term after the other."""
        coder = _Coder(self, statement)
        combine = coder.code(REDUCTIONS[op].combine(sp.Symbol("total"), sp.Symbol("term")))
        result = coder.code(REDUCTIONS[op].identity)({})
        for term in terms:
            result = combine({"total": result, "term": term})
        return result


def _points(spans: dict[str, range], environment: Environment) -> Iterator[Environment]:
    """Every point of a box; one dictionary is yielded again and again, with other values."""
    point = dict(environment)
    for values in itertools.product(*spans.values()):
        point.update(zip(spans, values, strict=True))
        yield point


class _Coder:
    """Turns the expressions of a statement into functions."""

    def __init__(self, machine: Machine, statement: Statement) -> None:
        self.machine, self.statement = machine, statement
        self.codes: dict[sp.Basic, Code] = {}

    def code(self, node: sp.Basic) -> Code:
        if node not in self.codes:
            self.codes[node] = self._code(node)
        return self.codes[node]

    def _code(self, node: sp.Basic) -> Code:
        if isinstance(node, Index):
            name = node.name
            return lambda env: env[name]
        if isinstance(node, sp.Number) or node in _CONSTANTS:
            value = self.machine.arithmetic.constant(node)
            return lambda env: value
        if isinstance(node, sp.Symbol):
            if node in self.machine.sizes:
                size = self.machine.sizes[node]
                return lambda env: size
            name = node.name
            return lambda env: env[name]
        if isinstance(node, sp.Add) and (form := linear(node)) is not None and all(isinstance(a, Index | Size) for a, _ in form.terms):
            return self._affine(form)
        if isinstance(node, BoundaryAccess):
            return self._boundary(node)
        if isinstance(node, Reduce):
            body, domain = self.code(node.body), [self.code(d) for d in node.domain]
            spans = {i.name: self.machine._span(self.statement.range_of(i)) for i in node.indices}
            return lambda env: self.machine.reduced(node.op, body, spans, domain, env, self.statement)
        if isinstance(node, Access):
            return self._access(node)
        return self._operation(node)

    def _access(self, node: Access) -> Code:
        """Known elements are looked up here, the others are computed by the machine."""
        element, name, known = self.machine.element, node.tensor, self.machine.done[node.tensor].get
        codes = self._pointing(name, node.subscripts)
        if all(isinstance(s, Index) for s in node.subscripts):
            names = [s.name for s in node.subscripts]

            def plain(env: Environment) -> Any:
                where = tuple([env[n] for n in names])
                value = known(where)
                return element(name, where) if value is None else value

            return plain

        def read(env: Environment) -> Any:
            where = tuple([int(real(s(env))) for s in codes])
            value = known(where)
            return element(name, where) if value is None else value

        return read

    def _affine(self, form: Linear) -> Code:
        constant = form.constant + sum(c * self.machine.sizes[a] for a, c in form.terms if a in self.machine.sizes)
        terms = [(a.name, c) for a, c in form.terms if a not in self.machine.sizes]
        if len(terms) == 1 and terms[0][1] == 1:
            name = terms[0][0]
            return lambda env: env[name] + constant
        return lambda env: sum([c * env[i] for i, c in terms], constant)

    def _pointing(self, target: str, subscripts: tuple[sp.Expr, ...], dimensions: Sequence[int] | None = None) -> list[Code]:
        """The subscripts as functions; elements of integer tensors must point into `target` (in `dimensions`, by default all)."""
        codes = [self.code(s) for s in subscripts]
        for d in range(len(codes)) if dimensions is None else dimensions:
            subscript = subscripts[d]
            if isinstance(subscript, Access):
                codes[d] = self._pointer(target, d, subscript)
        return codes

    def _pointer(self, target: str, dimension: int, subscript: Access) -> Code:
        value, place = self.code(subscript), [self.code(s) for s in subscript.subscripts]
        extent, statement = self.machine.shapes[target][dimension], self.statement

        def read(env: Environment) -> Any:
            position = int(real(value(env)))
            if not 0 <= position < extent:
                where = [int(real(s(env))) for s in place]
                line = f"\n  at {statement.location}" if statement.location else ""
                raise ArgumentError(
                    f"{subscript.tensor}{where} is {position}, but it is a subscript of dimension {dimension} of {target}, "
                    f"which has {extent} elements (0 … {extent - 1}).\n\n    {statement_body(statement)}{line}",
                    fix=f"pass an array {subscript.tensor} whose values lie in that range.",
                )
            return position

        return read

    def _operation(self, node: sp.Basic) -> Code:
        parts = [self.code(a) for a in node.args if not isinstance(a, Str)]
        if isinstance(node, Where):
            test, value, other = parts
            return lambda env: value(env) if test(env) else other(env)
        if isinstance(node, Logical):
            if node.op == "not":
                return lambda env: not parts[0](env)
            joined = all if node.op == "and" else any
            return lambda env: joined(p(env) for p in parts)
        if isinstance(node, sp.Mul):
            below = [self.code(f.base) for f in node.args if isinstance(f, sp.Pow) and f.exp == -1]
            above = [self.code(f) for f in node.args if not (isinstance(f, sp.Pow) and f.exp == -1)]
            multiply, quotient = self.machine.arithmetic.multiply, self.machine.arithmetic.quotient
            return lambda env: functools.reduce(quotient, (b(env) for b in below), multiply(*[a(env) for a in above]))
        if isinstance(node, Call) and node.function not in self.machine.arithmetic.functions:
            return self._expanded(node)
        apply = _operator(node, self.machine.arithmetic)
        return lambda env: apply(*[p(env) for p in parts])

    def _expanded(self, node: Call) -> Code:
        """A function that is defined by its expansion: the arguments are bound to symbols."""
        row = FUNCTIONS[node.function]
        if row.expansion is None:
            raise InternalError(f"The interpreter does not know the function {node.function}.")
        symbols = [sp.Symbol(f"argument {k}") for k in range(len(node.arguments))]
        body, arguments = self.code(sp.sympify(row.expansion(*symbols))), [self.code(a) for a in node.arguments]
        return lambda env: body({**env, **{s.name: a(env) for s, a in zip(symbols, arguments, strict=True)}})

    def _boundary(self, node: BoundaryAccess) -> Code:
        element, shape = self.machine.element, self.machine.shapes[node.tensor]
        plain = [d for d, mode in enumerate(node.modes) if not mode]
        fill, subscripts = self.code(node.fill), self._pointing(node.tensor, node.subscripts, plain)

        def read(env: Environment) -> Any:
            where, padded = [], False
            beyond: tuple[int, int] | None = None
            for d, (mode, subscript, extent) in enumerate(zip(node.modes, subscripts, shape, strict=True)):
                given = position = int(real(subscript(env)))
                if not 0 <= position < extent and mode:
                    if mode == "skip":
                        raise _Dropped
                    padded = padded or mode == "pad"
                    position = _folded(mode, position, extent)
                    if mode in ("wrap", "reflect") and not 0 <= position < extent:
                        beyond = (d, given)
                where.append(position)
            if padded:
                return fill(env)
            if beyond is not None and isinstance(node.subscripts[beyond[0]], Access):
                raise self._out_of_reach(node, *beyond, env)
            return element(node.tensor, tuple(where))

        return read

    def _out_of_reach(self, view: BoundaryAccess, dimension: int, value: int, env: Environment) -> ArgumentError:
        pointer, extent = view.subscripts[dimension], self.machine.shapes[view.tensor][dimension]
        where = [int(real(self.code(s)(env))) for s in pointer.subscripts]
        return out_of_reach(view, dimension, extent, value, where, self.statement, pointer.tensor in self.machine.arrays)


def _folded(mode: str, position: int, extent: int) -> int:
    """Where a place outside comes to lie; outside still if that is more than one period or reflection away."""
    if mode == "clamp":
        return min(max(position, 0), extent - 1)
    if mode == "wrap":
        return position + extent if position < 0 else position - extent
    return -position if position < 0 else 2 * extent - 2 - position


def _operator(node: sp.Basic, arithmetic: Arithmetic) -> Callable[..., Any]:
    if isinstance(node, sp.Add):
        return arithmetic.add
    if isinstance(node, sp.Pow):
        root = arithmetic.functions.get(_ROOTS.get(node.exp, ""))
        if root is not None:
            return lambda base, _: root(base)
        return arithmetic.power if isinstance(node.exp, sp.Integer) else arithmetic.functions.get("power", arithmetic.power)
    if isinstance(node, Compare):
        return arithmetic.compare[node.op]
    if isinstance(node, FloorDiv):
        return operator.floordiv
    if isinstance(node, Modulo):
        return operator.mod
    if isinstance(node, Call):
        return arithmetic.functions[node.function]
    raise InternalError(f"The interpreter does not know {type(node).__name__}.")


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
