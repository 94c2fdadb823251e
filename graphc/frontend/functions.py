"""Scalar functions of the notation, and new ones by the user."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy as sp

from graphc.errors import NotationError
from graphc.frontend.expression import Expr, combine, merged, wrap
from graphc.frontend.location import here
from graphc.ir.expr import Call, Compare, Logical, Reduce, Where
from graphc.ir.functions import FUNCTIONS, Function

__all__ = ["function", "names", "power", "rsqrt", "scalar", "sqrt", "where"]


def scalar(name: str, defaults: tuple[Any, ...] = ()) -> Callable[..., Expr]:
    """The function of the notation for a row of the table; trailing arguments may have defaults."""
    row = FUNCTIONS[name]

    def call(*arguments: Any) -> Expr:
        missing = row.arity - len(arguments)
        if missing < 0 or missing > len(defaults):
            raise NotationError(f"gc.{name} takes {row.arity} argument{'s' * (row.arity > 1)}, not {len(arguments)}.", at=((name, "", here()),),
                                fix=f"write gc.{name}({', '.join('xyz'[:row.arity])}).")
        full = (*arguments, *defaults[len(defaults) - missing :]) if missing else arguments
        return combine(lambda *nodes: Call(name, *nodes), *full)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"``{name}({', '.join('xyz'[: row.arity])})``, elementwise." + (f" Derivative at the kink: {row.kink}." if row.kink else "")
    return call


def sqrt(x: Any) -> Expr:
    """``x**0.5``."""
    return combine(lambda a: a ** sp.Rational(1, 2), x)


def rsqrt(x: Any) -> Expr:
    """``x**-0.5``."""
    return combine(lambda a: a ** sp.Rational(-1, 2), x)


def power(x: Any, y: Any) -> Expr:
    """``x**y``."""
    return wrap(x) ** y


def where(condition: Any, value: Any, other: Any) -> Expr:
    """``value`` where the condition holds, else ``other``; lazily: the other branch is neither evaluated nor differentiated.

    Raises:
        NotationError: the condition is not one.
    """
    test = wrap(condition)
    if not isinstance(test.node, sp.Basic) or test.node.is_number:
        if test.node not in (sp.true, sp.false):
            raise NotationError(f"{condition!r} is not a condition.", at=((f"where({condition!r}, …)", repr(condition), here()),),
                                fix="compare something: gc.where(x > 0, a, b).")
    branches = combine(lambda a, b: sp.Tuple(a, b), value, other)
    a, b = branches.node.args
    return Expr(Where(_condition(test.node), a, b), *merged((test, branches)))


def _condition(node: sp.Basic) -> sp.Basic:
    if isinstance(node, Compare | Logical) or node in (sp.true, sp.false):
        return node
    if isinstance(node, Reduce) and node.op in ("any", "all"):
        return node
    return Compare("!=", node, sp.Integer(0))


def function(name: str, body: Callable[..., Any], grad: Any = None) -> Callable[..., Expr]:
    """A new scalar function.

    Args:
        name: how it is printed.
        body: a Python function of expressions, e.g. ``lambda x: x*gc.sigmoid(x)``.
        grad: optional derivative ``lambda x, y: …`` of the argument(s) and the value y; a tuple of them for several arguments.
            Without it the body is differentiated.

    Returns:
        A function of expressions.

    Raises:
        NotationError: the name belongs to a function of graphc, or body does not return an expression.
    """
    if name in FUNCTIONS and not FUNCTIONS[name].kind.startswith("user"):
        raise NotationError(f"gc.function cannot redefine {name}.", at=((f"function({name!r}, …)", name, here()),), fix="choose another name.")
    if not name.isidentifier():
        raise NotationError(f"{name!r} is not a name for a function.", at=((f"function({name!r}, …)", "", here()),), fix="use an identifier.")
    arity = body.__code__.co_argcount
    rules = grad if isinstance(grad, tuple) else (grad,) if grad is not None else None
    if rules is not None and len(rules) != arity:
        raise NotationError(f"{name} has {arity} arguments and {len(rules)} derivatives.", at=((name, "", here()),), fix="give a tuple of one per argument.")

    def lifted(python: Callable[..., Any]) -> Callable[..., sp.Expr]:
        return lambda *nodes: wrap(python(*(Expr(n) for n in nodes))).node

    derivative = None if rules is None else tuple(lifted(rule) for rule in rules)
    FUNCTIONS[name] = Function(name, arity, derivative, lifted(body), "", "user")
    return scalar(name)


def names() -> tuple[str, ...]:
    """Names of the functions of graphc."""
    return tuple(n for n, row in FUNCTIONS.items() if row.kind != "user")
