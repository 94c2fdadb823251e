"""The slow interpreter: plain loops with strict bounds. It defines what a graph means and is the oracle of every test.

It evaluates any graph, as written or after any pass: nested reductions, boundary views, recurrences and scatters included.
Elements are evaluated on demand, so that the order of statements never matters. Arithmetic is in float64 (or complex128, for
the complex-step derivative); a value is converted to its tensor's dtype when it is stored.
"""

from __future__ import annotations

import cmath
import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sympy as sp

from graphc.errors import ArgumentError, InternalError
from graphc.ir.dtypes import is_float
from graphc.ir.expr import (
    INFINITY, NAN, Access, BoundaryAccess, Call, Compare, FloorDiv, Index, Logical, Modulo, Reduce, Size, Where, indices_of,
)
from graphc.ir.functions import FUNCTIONS
from graphc.ir.graph import Graph
from graphc.ir.show import statement_body
from graphc.ir.statement import Range, Statement

__all__ = ["interpret", "size_value"]

Environment = dict[sp.Basic, Any]


class _Dropped(Exception):
    """A skipped element was read: the term of the surrounding reduction is dropped."""


class _Empty(ArgumentError):
    """An extremum over an empty range; a fault only if somebody reads it."""


def _guarded(function: Callable[..., float], at_pole: float = math.nan) -> Callable[..., float]:
    def call(*arguments: float) -> float:
        try:
            return function(*arguments)
        except OverflowError:
            return math.inf
        except (ValueError, ZeroDivisionError):
            return at_pole if arguments[0] in (0, -1) else math.nan

    return call


def _sigmoid(x: Any) -> Any:
    if isinstance(x, complex):
        return 1 / (1 + cmath.exp(-x))
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x)) if x < 0 else math.nan


def _softplus(x: Any) -> Any:
    if isinstance(x, complex):
        return cmath.log(1 + cmath.exp(x)) if x.real < 30 else x + cmath.exp(-x)
    return max(x, 0.0) + math.log1p(math.exp(-abs(x))) if x == x else math.nan


def _pick(first: bool, a: Any, b: Any) -> Any:
    return a if first else b


def _real(x: Any) -> Any:
    return x.real if isinstance(x, complex) else x


def _erf(x: Any) -> Any:
    if isinstance(x, complex):
        # first-order expansion along the imaginary axis: exact to rounding for a complex step
        return complex(math.erf(x.real), 2 / math.sqrt(math.pi) * math.exp(-x.real * x.real) * x.imag)
    return math.erf(x)


def _either(real: Callable[..., Any], other: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: other(*args) if any(isinstance(a, complex) for a in args) else real(*args)


def _sign(x: Any) -> float:
    value = _real(x)
    return math.nan if value != value else float((value > 0) - (value < 0))


def _rounded(function: Callable[[float], Any]) -> Callable[..., float]:
    return lambda x: float(function(_real(x))) if math.isfinite(_real(x)) else _real(x)


def _largest(a: Any, b: Any) -> Any:
    return a if a != a else b if b != b else _pick(_real(a) >= _real(b), a, b)


def _smallest(a: Any, b: Any) -> Any:
    return a if a != a else b if b != b else _pick(_real(a) <= _real(b), a, b)


_SCALAR: dict[str, Callable[..., Any]] = {
    "exp": _either(_guarded(math.exp), cmath.exp),
    "expm1": _either(_guarded(math.expm1), lambda x: cmath.exp(x) - 1 if abs(x) > 1e-4 else complex(math.expm1(x.real), math.exp(x.real) * x.imag)),
    "log": _either(_guarded(math.log, -math.inf), cmath.log),
    "log1p": _either(_guarded(math.log1p, -math.inf), lambda x: complex(math.log1p(x.real), x.imag / (1 + x.real))),
    "sin": _either(_guarded(math.sin), cmath.sin), "cos": _either(_guarded(math.cos), cmath.cos), "tan": _either(_guarded(math.tan), cmath.tan),
    "tanh": _either(math.tanh, cmath.tanh), "sigmoid": _sigmoid, "softplus": _softplus, "erf": _erf,
    "abs": lambda x: x if _real(x) >= 0 else -x, "sign": _sign,
    "floor": _rounded(math.floor), "ceil": _rounded(math.ceil), "round": _rounded(round),
    "maximum": _largest, "minimum": _smallest,
    "hypot": _either(math.hypot, lambda a, b: cmath.sqrt(a * a + b * b)),
    "atan2": _either(math.atan2, lambda a, b: complex(math.atan2(_real(a), _real(b)), 0) + 1j * (
        (_real(b) * complex(a).imag - _real(a) * complex(b).imag) / (_real(a) ** 2 + _real(b) ** 2))),
}
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: _real(a) < _real(b), "<=": lambda a, b: _real(a) <= _real(b), ">": lambda a, b: _real(a) > _real(b),
    ">=": lambda a, b: _real(a) >= _real(b), "==": lambda a, b: _real(a) == _real(b), "!=": lambda a, b: _real(a) != _real(b),
}


def size_value(node: sp.Basic, sizes: Mapping[sp.Basic, int]) -> int:
    """The value of an integer expression in sizes (and indices, if the mapping has them)."""
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
        return size_value(node.base, sizes) ** int(node.exp)
    raise InternalError(f"{node} is not an integer expression in sizes.")


def _power(base: Any, exponent: Any) -> Any:
    try:
        if isinstance(base, complex) or isinstance(exponent, complex):
            return complex(base) ** exponent
        result = float(base) ** exponent if exponent != int(exponent) or exponent < 0 else base**exponent
        return math.nan if isinstance(result, complex) else result
    except OverflowError:
        return math.inf
    except ZeroDivisionError:
        return math.copysign(math.inf, base) if exponent % 2 == 1 else math.inf


def _times(values: list[Any]) -> Any:
    return math.prod(values)


@dataclass
class _Machine:
    graph: Graph
    sizes: dict[sp.Basic, int]
    arrays: dict[str, np.ndarray[Any, Any]]
    complex_step: bool = False
    done: dict[tuple[str, tuple[int, ...]], Any] = field(default_factory=dict)
    active: set[tuple[str, tuple[int, ...]]] = field(default_factory=set)
    scatters: dict[str, dict[tuple[int, ...], Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tensors = self.graph.by_name()
        self.shapes = {t.name: tuple(size_value(e, self.sizes) for e in t.shape) for t in self.graph.tensors}
        self.definitions = self.graph.definitions()

    # ------------------------------------------------------------------------------------------------- elements
    def element(self, name: str, where: tuple[int, ...]) -> Any:
        shape = self.shapes[name]
        if name in self.arrays:
            self._bounds(name, where, shape)
            return self.arrays[name][where].item()
        key = (name, where)
        if key not in self.done:
            if key in self.active:
                raise InternalError(f"{name}[{','.join(map(str, where))}] depends on itself.")
            self.active.add(key)
            try:
                self.done[key] = self._computed(name, where)
            finally:
                self.active.discard(key)
        return self.done[key]

    def _bounds(self, name: str, where: tuple[int, ...], shape: tuple[int, ...]) -> None:
        for dimension, (position, extent) in enumerate(zip(where, shape, strict=True)):
            if not 0 <= position < extent:
                raise ArgumentError(f"{name} is read at {list(where)}: {position} is outside of dimension {dimension} with {extent} elements.")

    def _pointed(
        self, name: str, subscripts: tuple[sp.Expr, ...], where: tuple[int, ...], environment: Environment, statement: Statement
    ) -> None:
        """Refuse an element of an integer tensor that points outside of the tensor it is a subscript of."""
        for dimension, (subscript, position, extent) in enumerate(zip(subscripts, where, self.shapes[name], strict=True)):
            if isinstance(subscript, Access) and not 0 <= position < extent:
                place = [int(_real(self.value(s, environment, statement))) for s in subscript.subscripts]
                raise ArgumentError(
                    f"{subscript.tensor}{place} is {position}, but it is a subscript of dimension {dimension} of {name}, which has {extent} elements "
                    f"(0 … {extent - 1}).\n\n    {statement_body(statement)}" + (f"\n  at {statement.location}" if statement.location else ""),
                    fix=f"pass an array {subscript.tensor} with smaller, non-negative values.",
                )

    def _computed(self, name: str, where: tuple[int, ...]) -> Any:
        total: Any = 0
        initial = False
        for statement in self.definitions[name]:
            if statement.scatters:
                total += self._scattered(statement).get(where, 0)
                continue
            for environment in self._matching(statement, where):
                initial = True
                if not self._inside(tuple(d for d in statement.domain if set(indices_of(d)) <= set(statement.free)), environment):
                    continue
                try:
                    if statement.op in ("=", "+="):
                        total += self._summed(statement, environment) if statement.op == "+=" else self.value(statement.value, environment, statement)
                    else:
                        rest = [statement.range_of(i) for i in statement.reduced]
                        total += self._reduced(statement.op, statement.value, rest, statement.domain, environment, statement)
                except _Dropped:
                    continue
        if not initial:
            self._bounds(name, where, self.shapes[name])
        return self._stored(name, total)

    def _stored(self, name: str, value: Any) -> Any:
        dtype = self.tensors[name].dtype
        if self.complex_step and is_float(dtype):
            return complex(value)
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(value).astype(dtype).item()

    def _matching(self, statement: Statement, where: tuple[int, ...]) -> list[Environment]:
        """Values of the free indices with which the left side is `where`."""
        fixed: Environment = dict(self.sizes)
        for subscript, position in zip(statement.subscripts, where, strict=True):
            if isinstance(subscript, Index):
                if fixed.setdefault(subscript, position) != position:
                    return []
        for r in statement.ranges:
            if r.index in fixed and not size_value(r.lower, self.sizes) <= fixed[r.index] < size_value(r.upper, self.sizes):
                return []
        open_ranges = [statement.range_of(i) for i in statement.free if i not in fixed]
        found = []
        for environment in self._points(open_ranges, fixed):
            if all(size_value(s, environment) == p for s, p in zip(statement.subscripts, where, strict=True)):
                found.append(environment)
        return found

    def _points(self, ranges: list[Range], environment: Environment) -> Any:
        spans = [range(size_value(r.lower, self.sizes), size_value(r.upper, self.sizes)) for r in ranges]
        for values in itertools.product(*spans):
            yield {**environment, **{r.index: v for r, v in zip(ranges, values, strict=True)}}

    def _inside(self, domain: tuple[sp.Expr, ...], environment: Environment) -> bool:
        return all(size_value(d, environment) >= 0 for d in domain)

    def _summed(self, statement: Statement, environment: Environment) -> Any:
        rest = [statement.range_of(i) for i in statement.reduced]
        return self._reduced("sum", statement.value, rest, statement.domain, environment, statement)

    def _scattered(self, statement: Statement) -> dict[tuple[int, ...], Any]:
        key = f"{statement.target}:{id(statement)}"
        if key not in self.scatters:
            sums: dict[tuple[int, ...], Any] = {}
            for environment in self._points(list(statement.loops), dict(self.sizes)):
                if self._inside(statement.domain, environment):
                    where = tuple(int(_real(self.value(s, environment, statement))) for s in statement.subscripts)
                    self._pointed(statement.target, statement.subscripts, where, environment, statement)
                    self._bounds(statement.target, where, self.shapes[statement.target])
                    sums[where] = sums.get(where, 0) + self.value(statement.value, environment, statement)
            self.scatters[key] = sums
        return self.scatters[key]

    # ----------------------------------------------------------------------------------------------- reductions
    def _reduced(
        self, op: str, body: sp.Expr, ranges: list[Range], domain: tuple[sp.Expr, ...], environment: Environment, statement: Statement
    ) -> Any:
        terms, positions = [], []
        extents = [size_value(r.extent, self.sizes) for r in ranges]
        for point in self._points(ranges, environment):
            if self._inside(domain, point):
                try:
                    terms.append(self.value(body, point, statement))
                except _Dropped:
                    continue
                position = 0
                for r, extent in zip(ranges, extents, strict=True):
                    position = position * extent + point[r.index] - size_value(r.lower, self.sizes)
                positions.append(position)
        return _combine(op, terms, positions, statement)

    # -------------------------------------------------------------------------------------------------- values
    def value(self, node: sp.Basic, environment: Environment, statement: Statement) -> Any:
        if isinstance(node, Access):
            where = tuple(int(_real(self.value(s, environment, statement))) for s in node.subscripts)
            self._pointed(node.tensor, node.subscripts, where, environment, statement)
            return self.element(node.tensor, where)
        if isinstance(node, BoundaryAccess):
            return self._boundary(node, environment, statement)
        if isinstance(node, sp.Integer):
            return int(node)
        if isinstance(node, sp.Number):
            return float(node)
        if node in (INFINITY, NAN):
            return math.inf if node == INFINITY else math.nan
        if isinstance(node, Index | Size):
            return environment[node]
        if isinstance(node, Where):
            return self.value(node.value if self.value(node.condition, environment, statement) else node.other, environment, statement)
        if isinstance(node, Reduce):
            ranges = [statement.range_of(i) for i in node.indices]
            return self._reduced(node.op, node.body, ranges, node.domain, environment, statement)
        if isinstance(node, Logical) and node.op != "not":
            test = all if node.op == "and" else any
            return test(self.value(o, environment, statement) for o in node.operands)
        if node in (sp.true, sp.false):
            return bool(node)
        if isinstance(node, sp.Mul):
            return _product(self, node, environment, statement)
        arguments = [self.value(a, environment, statement) for a in node.args if not a.__class__.__name__ == "Str"]
        return _apply(node, arguments)

    def _boundary(self, node: BoundaryAccess, environment: Environment, statement: Statement) -> Any:
        where = []
        for mode, subscript, extent in zip(node.modes, node.subscripts, self.shapes[node.tensor], strict=True):
            position = int(_real(self.value(subscript, environment, statement)))
            if not 0 <= position < extent and mode:
                if mode == "pad":
                    return self.value(node.fill, environment, statement)
                if mode == "skip":
                    raise _Dropped
                if mode == "clamp":
                    position = min(max(position, 0), extent - 1)
                elif mode == "wrap":
                    position %= extent
                elif mode == "reflect":
                    period = max(2 * (extent - 1), 1)
                    position = abs((position + period // 2) % period - period // 2) if extent > 1 else 0
            where.append(position)
        self._pointed(node.tensor, node.subscripts, tuple(where), environment, statement)
        return self.element(node.tensor, tuple(where))


def _product(machine: _Machine, node: sp.Mul, environment: Environment, statement: Statement) -> Any:
    """Denominators are divided by, as a reader of ``a/b`` expects."""
    above: list[Any] = []
    below: list[Any] = []
    for factor in node.args:
        if isinstance(factor, sp.Pow) and factor.exp == -1:
            below.append(machine.value(factor.base, environment, statement))
        else:
            above.append(machine.value(factor, environment, statement))
    top = _times(above)
    for value in below:
        try:
            top = top / value
        except ZeroDivisionError:
            top = math.nan if _real(top) == 0 or top != top else math.copysign(math.inf, _real(top)) * math.copysign(1, _real(value))
    return top


def _apply(node: sp.Basic, arguments: list[Any]) -> Any:
    if isinstance(node, sp.Add):
        return sum(arguments[1:], arguments[0])
    if isinstance(node, sp.Pow):
        return _power(*arguments)
    if isinstance(node, Compare):
        return _COMPARE[node.op](*arguments)
    if isinstance(node, Logical):
        return not arguments[0]
    if isinstance(node, FloorDiv):
        return arguments[0] // arguments[1]
    if isinstance(node, Modulo):
        return arguments[0] % arguments[1]
    if isinstance(node, Call):
        if node.function in _SCALAR:
            return _SCALAR[node.function](*arguments)
        return _expanded(node, arguments)
    raise InternalError(f"The interpreter does not know {type(node).__name__}.")


def _expanded(node: Call, arguments: list[Any]) -> Any:
    """A function that is defined by its expansion, evaluated on symbols bound to the values."""
    symbols = [sp.Symbol(f"argument_{k}") for k in range(len(arguments))]
    row = FUNCTIONS[node.function]
    if row.expansion is None:
        raise InternalError(f"The interpreter does not know the function {node.function}.")
    body = row.expansion(*symbols)
    bound = dict(zip(symbols, arguments, strict=True))

    def of(part: sp.Basic) -> Any:
        if part in bound:
            return bound[part]
        if isinstance(part, Where):
            return of(part.value if of(part.condition) else part.other)
        if isinstance(part, sp.Integer):
            return int(part)
        if isinstance(part, sp.Number):
            return float(part)
        if isinstance(part, sp.Mul):
            return _times([of(a) for a in part.args])
        if isinstance(part, Logical) and part.op != "not":
            return (all if part.op == "and" else any)(of(o) for o in part.operands)
        return _apply(part, [of(a) for a in part.args if a.__class__.__name__ != "Str"])

    return of(body)


def _combine(op: str, terms: list[Any], positions: list[int], statement: Statement) -> Any:
    if op == "sum":
        return math.fsum(terms) if terms and all(isinstance(t, float) and math.isfinite(t) for t in terms) else sum(terms)
    if op == "prod":
        return math.prod(terms)
    if op == "any":
        return any(terms)
    if op == "all":
        return all(terms)
    if op == "mean":
        return sum(terms) / len(terms) if terms else math.nan
    if op == "logsumexp":
        return _logsumexp(terms)
    if not terms:
        raise _Empty(f"{op.removesuffix('_split')} over an empty range has no value.\n\n    {statement_body(statement)}\n  at {statement.location}",
                     fix="pass arrays that are not empty.")
    sign = -1 if "min" in op else 1
    best = 0
    for k in range(1, len(terms)):
        current, candidate = _real(terms[best]), _real(terms[k])
        if current == current and (candidate != candidate or sign * candidate > sign * current):
            best = k
    return positions[best] if op.startswith("arg") else terms[best]


def _logsumexp(terms: list[Any]) -> Any:
    if not terms:
        return -math.inf
    top = max((_real(t) for t in terms), key=lambda t: (t != t, t))
    if math.isinf(top) or top != top:
        return top
    total = sum(cmath.exp(t - top) if isinstance(t, complex) else math.exp(t - top) for t in terms)
    return top + (cmath.log(total) if isinstance(total, complex) else math.log(total))


def interpret(
    graph: Graph, arrays: Mapping[str, Any], sizes: Mapping[sp.Basic, int], complex_step: bool = False
) -> dict[str, np.ndarray[Any, Any]]:
    """Evaluate the outputs of a graph element by element.

    Args:
        graph: at any stage.
        arrays: one array per input, of the graph's shape for these sizes.
        sizes: the value of every size symbol.
        complex_step: keep float tensors complex, for derivatives by the complex step (Squire and Trapp, SIAM Review 40, 1998).

    Returns:
        One array per output name.

    Raises:
        ArgumentError: a read lies outside of its tensor, or an extremum is over an empty range.
    """
    machine = _Machine(graph, dict(sizes), {n: np.asarray(a) for n, a in arrays.items() if n in graph.by_name()}, complex_step)
    results = {}
    for name in graph.order():
        if name in machine.arrays:
            continue
        shape, dtype = machine.shapes[name], machine.tensors[name].dtype
        array = np.empty(shape, complex if complex_step and is_float(dtype) else dtype)
        for where in np.ndindex(*shape):
            try:
                array[where] = machine.element(name, where)
            except _Empty:
                if name in graph.outputs:
                    raise
        if name in graph.outputs:
            results[name] = array
    for name in graph.outputs:
        if name not in results:
            results[name] = np.array(machine.arrays[name])
    return results


