"""Scalar expressions: SymPy's Add, Mul, Pow and numbers, plus the few nodes that tensors need.

Every node is an immutable SymPy expression whose arguments are again SymPy nodes, so that ``xreplace``, equality, hashing
and pickling come for free. No node carries a payload, and SymPy's own ``diff``, ``simplify`` or ``Piecewise`` are never used.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar

import sympy as sp
from sympy.core.parameters import distribute, global_parameters
from sympy.core.symbol import Str

__all__ = [
    "Access", "BoundaryAccess", "Call", "Compare", "FloorDiv", "Index", "INFINITY", "Logical", "Modulo", "NAN", "Reduce", "Size",
    "Where", "all_of", "build", "build_from", "constant", "evaluated", "rebuilt", "undistributing", "unique",
]


P = ParamSpec("P")
R = TypeVar("R")


_symbol: Callable[..., Any] = lru_cache(maxsize=20_000)(lambda cls, name, **known: sp.Symbol.__new__(cls, name, **known))
"""One object per index and size, kept when SymPy's caches are emptied."""


class Index(sp.Symbol):  # type: ignore[misc]
    """A loop index: an integer symbol that is local to a statement."""

    __slots__ = ()

    def __new__(cls, name: str, **_: Any) -> Any:
        return _symbol(cls, name, integer=True)

    def __str__(self) -> str:
        return str(self.name)

    __repr__ = __str__

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, bool]]:
        return (self.name,), {}


class Size(sp.Symbol):  # type: ignore[misc]
    """A symbolic extent: a non-negative integer bound by the arrays of each call."""

    __slots__ = ()

    def __new__(cls, name: str, **_: Any) -> Any:
        return _symbol(cls, name, integer=True, nonnegative=True)

    def __str__(self) -> str:
        return str(self.name)

    __repr__ = __str__

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, bool]]:
        return (self.name,), {}


INFINITY = sp.Symbol("inf")
NAN = sp.Symbol("nan")


_interned: Callable[..., Any] = lru_cache(maxsize=200_000, typed=True)(lambda cls, *args: sp.Basic.__new__(cls, *args))
"""One object per node: SymPy compares equal but distinct expressions part by part, in Python."""


@lru_cache(maxsize=20_000)
def _name(text: str) -> Str:
    return Str(text)


def _str(text: str | Str) -> Str:
    return text if isinstance(text, Str) else _name(text)


def _node(value: Any) -> sp.Basic:
    return value if isinstance(value, sp.Basic) else sp.sympify(value)


class _Node(sp.Expr):  # type: ignore[misc]
    is_commutative = True
    __slots__ = ()

    def __new__(cls, *args: Any) -> Any:
        return _interned(cls, *args)

    def __eq__(self, other: object) -> bool:
        """Hashes, which are kept, decide first: deeply nested nodes are not compared part by part."""
        return self is other or (type(self) is type(other) and hash(self) == hash(other) and bool(super().__eq__(other)))

    __hash__ = sp.Expr.__hash__


def _position(subscript: Any) -> sp.Expr:
    """A subscript multiplied out, so that equal positions are equal expressions."""
    node = _node(subscript)
    if isinstance(node, sp.Add | sp.Mul) and any(isinstance(f, sp.Add) for t in sp.Add.make_args(node) for f in sp.Mul.make_args(t)):
        return sp.expand(node)
    return node


class _Value(_Node):
    """A number of which SymPy knows nothing: it need not ask, which takes longer than all else that it does with a node."""

    is_zero = is_nonzero = is_finite = is_infinite = is_complex = is_real = is_extended_real = is_imaginary = is_hermitian = None
    is_positive = is_negative = is_nonpositive = is_nonnegative = is_antihermitian = is_polar = None
    is_extended_positive = is_extended_negative = is_extended_nonpositive = is_extended_nonnegative = is_extended_nonzero = None
    is_integer = is_noninteger = is_even = is_odd = is_prime = is_composite = None
    is_rational = is_irrational = is_algebraic = is_transcendental = None
    __slots__ = ()


class Access(_Value):
    """``tensor[subscripts]``: a read of one element."""

    def __new__(cls, tensor: str | Str, *subscripts: Any) -> Any:
        return _interned(cls, _str(tensor), *map(_position, subscripts))

    @property
    def tensor(self) -> str:
        return str(self.args[0].name)

    @property
    def subscripts(self) -> tuple[sp.Expr, ...]:
        return tuple(self.args[1:])


class BoundaryAccess(_Value):
    """``mode(tensor)[subscripts]``: a read that may lie outside; ``modes`` has one entry per dimension.

    Modes: ``""`` (none), ``pad`` (reads ``fill``), ``clamp``, ``wrap``, ``reflect``, ``skip`` (drops the term).
    """

    def __new__(cls, tensor: str | Str, modes: str | Str, fill: Any, *subscripts: Any) -> Any:
        return _interned(cls, _str(tensor), _str(modes), _node(fill), *map(_position, subscripts))

    @property
    def tensor(self) -> str:
        return str(self.args[0].name)

    @property
    def modes(self) -> tuple[str, ...]:
        return tuple(self.args[1].name.split(","))

    @property
    def fill(self) -> sp.Expr:
        return self.args[2]

    @property
    def subscripts(self) -> tuple[sp.Expr, ...]:
        return tuple(self.args[3:])


class Call(_Value):
    """``function(arguments)``: a scalar function; its row in `graphc.ir.functions` says what it means."""

    def __new__(cls, function: str | Str, *arguments: Any) -> Any:
        return _interned(cls, _str(function), *map(_node, arguments))

    @property
    def function(self) -> str:
        return str(self.args[0].name)

    @property
    def arguments(self) -> tuple[sp.Expr, ...]:
        return tuple(self.args[1:])


class Compare(_Value):
    """``left op right`` with op one of ``< <= > >= == !=``: a bool."""

    def __new__(cls, op: str | Str, left: Any, right: Any) -> Any:
        return _interned(cls, _str(op), _node(left), _node(right))

    @property
    def op(self) -> str:
        return str(self.args[0].name)

    @property
    def left(self) -> sp.Expr:
        return self.args[1]

    @property
    def right(self) -> sp.Expr:
        return self.args[2]

    def negated(self) -> Compare:
        flipped = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}[self.op]
        result: Compare = Compare(flipped, self.left, self.right)
        return result


class Logical(_Value):
    """``and``, ``or`` or ``not`` of conditions."""

    def __new__(cls, op: str | Str, *operands: Any) -> Any:
        return _interned(cls, _str(op), *map(_node, operands))

    @property
    def op(self) -> str:
        return str(self.args[0].name)

    @property
    def operands(self) -> tuple[sp.Expr, ...]:
        return tuple(self.args[1:])


def all_of(conditions: Iterable[Any]) -> sp.Expr:
    """One condition that holds where all of them do; where there is none, everywhere.

    >>> all_of([sp.true])
    True
    """
    given = tuple(conditions)
    return Logical("and", *given) if len(given) > 1 else given[0] if given else sp.true


class Where(_Value):
    """``value if condition else other``, lazily: the branch not taken is neither evaluated nor differentiated."""

    def __new__(cls, condition: Any, value: Any, other: Any) -> sp.Expr:
        condition, value, other = _node(condition), _node(value), _node(other)
        if isinstance(value, Where) and value.condition == condition:
            value = value.value
        if isinstance(other, Where) and other.condition == condition:
            other = other.other
        if condition is sp.true or value == other:
            return value
        if condition is sp.false:
            return other
        return _interned(cls, condition, value, other)

    @property
    def condition(self) -> sp.Expr:
        return self.args[0]

    @property
    def value(self) -> sp.Expr:
        return self.args[1]

    @property
    def other(self) -> sp.Expr:
        return self.args[2]


class Choice(Where):
    """A `Where` in the loops of a kernel both of whose branches may be computed."""


class Reduce(_Value):
    """``op(body, over=indices)`` nested in an expression; ``domain`` holds affine expressions that must be ≥ 0."""

    def __new__(cls, op: str | Str, body: Any, indices: Any, domain: Any = ()) -> Any:
        return _interned(cls, _str(op), _node(body), sp.Tuple(*indices), sp.Tuple(*domain))

    @property
    def op(self) -> str:
        return str(self.args[0].name)

    @property
    def body(self) -> sp.Expr:
        return self.args[1]

    @property
    def indices(self) -> tuple[Index, ...]:
        return tuple(self.args[2])

    @property
    def domain(self) -> tuple[sp.Expr, ...]:
        return tuple(self.args[3])


class FloorDiv(_Node):
    """``numerator // divisor`` for a positive integer divisor, on integer affine expressions."""

    def __new__(cls, numerator: Any, divisor: Any) -> sp.Expr:
        numerator, divisor = sp.expand(_node(numerator)), _node(divisor)
        if divisor == 1:
            return numerator
        whole, rest = sp.Integer(0), sp.Integer(0)
        for term in sp.Add.make_args(numerator):
            if not term.is_Integer and _multiple(term, divisor):
                whole += term / divisor
            else:
                rest += term
        constant_part, rest = rest.as_coeff_Add()
        whole += constant_part // divisor
        if rest == 0:
            return whole
        return whole + _reduced(cls, rest, constant_part % divisor, divisor)

    is_integer = True

    @property
    def numerator(self) -> sp.Expr:
        return self.args[0]

    @property
    def divisor(self) -> int:
        return int(self.args[1])


def _multiple(term: sp.Expr, divisor: sp.Expr) -> bool:
    factor = term.as_coeff_Mul()[0]
    return bool(factor.is_Integer and factor % divisor == 0)


def _reduced(cls: type, rest: sp.Expr, constant: sp.Expr, divisor: sp.Expr) -> sp.Expr:
    """``(4*i + 3)//6`` is ``(2*i + 1)//3``, and ``(i//2 + 1)//3`` is ``(i + 2)//6``."""
    factors = [term.as_coeff_Mul()[0] for term in sp.Add.make_args(rest)]
    common = sp.igcd(divisor, *factors) if all(f.is_Integer for f in factors) else 1
    if common > 1:
        return FloorDiv(sp.expand(rest / common) + constant // common, divisor // common)
    if isinstance(rest, FloorDiv):
        return FloorDiv(rest.numerator + constant * rest.divisor, divisor * rest.divisor)
    return _interned(cls, rest + constant, divisor)


class Modulo(_Node):
    """``numerator % divisor`` for a positive integer divisor; its value lies in 0 … divisor-1."""

    is_integer = True

    def __new__(cls, numerator: Any, divisor: Any) -> sp.Expr:
        numerator, divisor = sp.expand(_node(numerator)), _node(divisor)
        if numerator.is_Integer:
            return numerator % divisor
        if divisor == 1:
            return sp.Integer(0)
        terms = [term for term in sp.Add.make_args(numerator) if term.is_Integer or not _multiple(term, divisor)]
        rest = sp.Add(*(term % divisor if term.is_Integer else term for term in terms))
        return rest if rest.is_Integer else _interned(cls, rest, divisor)

    @property
    def numerator(self) -> sp.Expr:
        return self.args[0]

    @property
    def divisor(self) -> int:
        return int(self.args[1])


# --------------------------------------------------------------------------------------------------------------- building


def build(function: Callable[[], Any]) -> sp.Expr:
    """Build an expression without SymPy's distribution of numbers over sums: ``2*(x + y)`` stays as written."""
    return _node(undistributed(lambda: evaluated(function)))


def evaluated(function: Callable[..., Any], *operands: Any) -> Any:
    """What SymPy makes of the operands; as they stand where its questions about them recurse more deeply than Python can.

    SymPy asks whether a base is positive or a number, say, and asks that of all that is inside.
    """
    try:
        return function(*operands)
    except RecursionError:
        with sp.evaluate(False):
            return function(*operands)


def build_from(function: Callable[..., Any], *operands: sp.Basic) -> sp.Expr:
    """The same from operands; SymPy's setting is left alone where no operand holds a sum that could be multiplied out.

    What becomes a power of 0 with a negative exponent is infinity, not SymPy's infinity without a sign.
    """
    if function is not operator.add and any(_holds_sum(operand) for operand in operands):
        return unique(build(lambda: function(*operands)))
    result = evaluated(function, *operands)
    return INFINITY if result is sp.zoo else unique(_node(result))


_unique: Callable[[sp.Expr], sp.Expr] = lru_cache(maxsize=200_000)(lambda node: node)


def unique(node: sp.Expr) -> sp.Expr:
    """The same object for equal sums, products and powers: comparing others takes as long as they have nodes on paper."""
    return _unique(node) if isinstance(node, sp.Add | sp.Mul | sp.Pow) else node


def _holds_sum(node: sp.Basic, depth: int = 3) -> bool:
    """Whether a factor of the node, or the base of one, is a sum; products nested more deeply are taken to hold one."""
    if not depth or isinstance(node, sp.Add):
        return isinstance(node, sp.Add | sp.Mul | sp.Pow)
    return isinstance(node, sp.Mul | sp.Pow) and any(_holds_sum(argument, depth - 1) for argument in node.args)


def undistributing(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a whole stage, so that SymPy's setting (whose change empties SymPy's caches) is changed once."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return undistributed(lambda: function(*args, **kwargs))  # type: ignore[no-any-return]

    return call


def undistributed(function: Callable[[], Any]) -> Any:
    """Call `function` while SymPy does not distribute numbers over sums."""
    if not global_parameters.distribute:
        return function()
    with distribute(False):
        return function()


def constant(value: Any) -> sp.Expr:
    """A Python or NumPy number as an expression; infinities and NaN become named constants."""
    if hasattr(value, "item") and not isinstance(value, sp.Basic):
        value = value.item()
    if isinstance(value, sp.Basic):
        return value
    if isinstance(value, bool):
        return sp.true if value else sp.false
    if isinstance(value, int):
        return sp.Integer(value)
    if isinstance(value, float):
        if math.isnan(value):
            return NAN
        if math.isinf(value):
            return INFINITY if value > 0 else -INFINITY
        return sp.Float(value)
    raise TypeError(f"{value!r} is not a number")


def _number_power(base: sp.Expr, exponent: sp.Expr) -> sp.Expr:
    """A power of numbers as floating-point arithmetic has it: NaN and infinity where SymPy leaves the real numbers."""
    if base < 0 and not exponent.is_Integer:
        return NAN
    return INFINITY if base == 0 and exponent < 0 else build_from(sp.Pow, base, exponent)


def rebuilt(part: sp.Basic, done: dict[sp.Basic, sp.Basic]) -> sp.Basic:
    """The part with its arguments as they are in `done`."""
    for argument in part.args:
        if done[argument] is not argument:
            new = [done[a] for a in part.args]
            if isinstance(part, sp.Pow) and all(a.is_Number for a in new):
                return _number_power(*new)
            return unique(evaluated(part.func, *new)) if isinstance(part, _Node | sp.Add) else build_from(part.func, *new)
    return part
