"""Expressions as Python functions of the values of indices."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import sympy as sp
from sympy.core.symbol import Str

from graphc.analysis.reach import out_of_reach
from graphc.arithmetic import Arithmetic, real
from graphc.errors import ArgumentError, InternalError
from graphc.ir.affine import Linear, linear
from graphc.ir.expr import INFINITY, NAN, Access, BoundaryAccess, Call, Compare, FloorDiv, Index, Logical, Modulo, Reduce, Size, Where
from graphc.ir.functions import FUNCTIONS
from graphc.ir.show import statement_body
from graphc.ir.statement import Statement

if TYPE_CHECKING:
    from graphc.interpret.machine import Machine

__all__ = ["Code", "Coder", "Dropped", "Environment"]

Environment = dict[str, Any]
"""Values of indices by name; sizes are constants."""

Code = Callable[[Environment], Any]
"""An expression as a Python function of the values of indices."""

_ROOTS: dict[sp.Basic, str] = {sp.Rational(1, 2): "sqrt", sp.Rational(-1, 2): "rsqrt"}

_CONSTANTS = frozenset((INFINITY, NAN, sp.true, sp.false))


class Dropped(Exception):
    """A skipped element was read: the term of the surrounding reduction is dropped."""


class Coder:
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
            spans = {i.name: self.machine.span(self.statement.range_of(i)) for i in node.indices}
            return lambda env: self.machine.reduced(node.op, body, spans, domain, env, self.statement)
        if isinstance(node, Access):
            return self._access(node)
        return self._operation(node)

    def _access(self, node: Access) -> Code:
        """Known elements are looked up here, the others are computed by the machine."""
        element, name, known = self.machine.element, node.tensor, self.machine.done[node.tensor].get
        codes = self.pointing(name, node.subscripts)
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

    def pointing(self, target: str, subscripts: tuple[sp.Expr, ...], dimensions: Sequence[int] | None = None) -> list[Code]:
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
        fill, subscripts = self.code(node.fill), self.pointing(node.tensor, node.subscripts, plain)

        def read(env: Environment) -> Any:
            where, padded = [], False
            beyond: tuple[int, int] | None = None
            for d, (mode, subscript, extent) in enumerate(zip(node.modes, subscripts, shape, strict=True)):
                given = position = int(real(subscript(env)))
                if not 0 <= position < extent and mode:
                    if mode == "skip":
                        raise Dropped
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
