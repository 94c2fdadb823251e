"""Scalar functions of the notation, and new ones by the user."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import cache
from inspect import Parameter, Signature
from typing import Any

import sympy as sp

from graphc.errors import NotationError
from graphc.frontend.expression import Expr, as_number, combine, joined, merged, real_power, shown, wrap
from graphc.frontend.location import here
from graphc.ir.expr import Call, Compare, Logical, Reduce, Where
from graphc.ir.functions import FUNCTIONS, Function
from graphc.ir.random import RANDOM
from graphc.ir.tree import postorder, substitute

__all__ = ["LONGEST", "as_condition", "function", "meaning_of", "names", "power", "rsqrt", "scalar", "sqrt", "where", "written_out"]

LONGEST = 50_000
"""Numbers, reads and operations of an expression, written out, above which it may not repeat its parts."""


def scalar(name: str, parameters: Sequence[str] = (), **defaults: Any) -> Callable[..., Expr]:
    """The function of the notation for a row of the table.

    Args:
        name: of the row.
        parameters: names of its arguments, x, y, … without them.
        defaults: values of arguments that may be left out.
    """
    row = FUNCTIONS[name]
    names = tuple(parameters) or tuple("xyz"[: row.arity])
    form = f"{name}({', '.join(['{}'] * row.arity)})"
    signature = Signature([Parameter(p, Parameter.POSITIONAL_OR_KEYWORD, default=defaults.get(p, Parameter.empty)) for p in names])

    def call(*arguments: Any, **named: Any) -> Expr:
        try:
            bound = signature.bind(*arguments, **named)
        except TypeError:
            raise _wrong_arguments(name, names, arguments, named) from None
        bound.apply_defaults()
        return combine(lambda *nodes: Call(name, *nodes), *bound.args, form=form, kind=None if row.kind == "same" else "weak_float")

    call.__name__ = call.__qualname__ = name
    call.__signature__ = signature  # type: ignore[attr-defined]
    kink = f" Derivative at the kink: {row.kink}." if row.kink else ""
    call.__doc__ = f"``{name}({', '.join(names)})``, elementwise.{kink}"
    return call


def _wrong_arguments(name: str, names: tuple[str, ...], arguments: tuple[Any, ...], named: dict[str, Any]) -> NotationError:
    given = [*map(shown, arguments), *(f"{key}={shown(value)}" for key, value in named.items())]
    text = f"{name}({', '.join(given)})"
    unknown = next((key for key in named if key not in names), None)
    twice = next((key for key in names[: len(arguments)] if key in named), None)
    culprit = text if (key := unknown or twice) is None else f"{key}={shown(named[key])}"
    what = f"takes {len(names)} argument{'s' * (len(names) > 1)}, not {len(given)}"
    if unknown is not None:
        what = f"has no argument {unknown}"
    elif twice is not None:
        what = f"is given {twice} twice"
    return NotationError(f"gc.{name} {what}.", at=((text, culprit, here()),),
                         fix=f"write gc.{name}({', '.join(names)})." + _HINTS.get(name, ""))


_HINTS = {"maximum": " The largest element over an index is gc.max(X[i], over=i).",
          "minimum": " The smallest element over an index is gc.min(X[i], over=i).",
          "clip": " With one bound it is gc.maximum(x, lower) or gc.minimum(x, upper).",
          "gelu": ' It is x times the probability that a normal number is less. The approximation is gc.nn.gelu(X, approximate="tanh") of a'
                  " whole tensor, or x/2*(1 + gc.tanh(0.7978845608*(x + 0.044715*x**3))).",
          "softplus": " Another steepness is gc.softplus(beta*x)/beta."}
"""What to write instead of what a function of this name takes in other libraries."""


def sqrt(x: Any) -> Expr:
    """``x**0.5``."""
    return combine(lambda a: real_power(a, sp.Rational(1, 2)), x, form="sqrt({})", kind="weak_float")


def rsqrt(x: Any) -> Expr:
    """``x**-0.5``."""
    return combine(lambda a: real_power(a, sp.Rational(-1, 2)), x, form="rsqrt({})", kind="weak_float")


def power(x: Any, y: Any) -> Expr:
    """``x**y``."""
    return combine(real_power, x, y, form="power({}, {})")


def where(condition: Any, value: Any, other: Any) -> Expr:
    """``value`` where the condition holds, else ``other``; lazily: the other branch is neither evaluated nor differentiated.

    Raises:
        NotationError: the condition is not one.
    """
    def context() -> str:
        return f"where({shown(condition)}, {shown(value)}, {shown(other)})"

    test, *branches = (wrap(part, context) for part in (condition, value, other))
    if test.node.is_number and test.node not in (sp.true, sp.false):
        raise NotationError(f"{shown(condition)} is not a condition.", at=((context(), shown(condition), here()),),
                            fix="compare something: gc.where(x > 0, a, b).")
    a, b = (as_number(branch.node) for branch in branches)
    return Expr(Where(as_condition(test.node), a, b), *merged((test, *branches)), joined(branches))


def as_condition(node: sp.Basic) -> sp.Basic:
    """The node where it is a condition, else whether it is not 0."""
    if isinstance(node, Compare | Logical) or node in (sp.true, sp.false):
        return node
    if isinstance(node, Reduce) and node.op in ("any", "all"):
        return node
    return Compare("!=", node, sp.Integer(0))


def function(name: str, body: Callable[..., Any], grad: Any = None) -> Callable[..., Expr]:
    """A new scalar function.

    Args:
        name: how it is printed; a number is added where another function of the user has it already.
        body: a Python function of expressions, e.g. ``lambda x: x*gc.sigmoid(x)``; the new function has its keywords and defaults.
        grad: optional derivative ``lambda x, y: …`` of the argument(s) and the value y; a tuple of them for several arguments.
            Without it the body is differentiated.

    Returns:
        A function of expressions.

    Raises:
        NotationError: the name belongs to a function of graphc, body does not return an expression, or the numbers of arguments do
            not fit together.
    """
    text = f"function({name!r}, …)"
    if not isinstance(name, str) or not name.isidentifier():
        raise NotationError(f"{name!r} is not a name for a function.", at=((text, repr(name), here()),), fix='use an identifier: "swish".')
    if name in names():
        raise NotationError(f"gc.function cannot redefine {name}.", at=((text, name, here()),), fix="choose another name.")
    parameters = _parameters(body, text, "the body")
    arguments, arity = [p.name for p in parameters], len(parameters)
    rules = grad if isinstance(grad, tuple) else (grad,) if grad is not None else None
    if rules is not None and (len(rules) != arity or any(len(_parameters(rule, text, "a derivative")) != arity + 1 for rule in rules)):
        raise NotationError(f"The derivatives of {name} do not fit its {arity} argument{'s' * (arity > 1)}.", at=((text, text, here()),),
                            fix=f"give grad= one function lambda {', '.join(arguments)}, value: … per argument.")

    def lifted(python: Callable[..., Any]) -> Callable[..., sp.Expr]:
        def value(*nodes: sp.Expr) -> sp.Expr:
            operands = [Expr(n) for n in nodes]
            result = python(*operands)
            return as_number(wrap(result, lambda: f"{name}({', '.join(map(shown, operands))}) = {shown(result)}").node)

        return value

    symbols = [sp.Symbol(argument) for argument in (*arguments, "value")]
    numbered = dict(zip(symbols, sp.symbols(f"argument:{arity + 1}"), strict=True))
    parts = [lifted(body), *map(lifted, rules or ())]
    meaning = [substitute(part(*symbols[: arity + (k > 0)]), numbered) for k, part in enumerate(parts)]
    label, count = name, 1
    while label in FUNCTIONS and _meaning.get(label) != meaning:
        count += 1
        label = f"{name}_{count}"
    if any(written_out(part) > LONGEST for part in meaning):
        raise NotationError(f"{name} is made of functions whose parts, written out, are more than {LONGEST:,}.", at=((text, name, here()),),
                            fix="compute a part that is used several times once, in a tensor of its own, and apply functions to that.")
    _meaning[label] = meaning
    FUNCTIONS.setdefault(label, Function(label, arity, tuple(parts[1:]) if rules is not None else None, parts[0], "", "user"))
    return scalar(label, arguments, **{p.name: p.default for p in parameters if p.default is not Parameter.empty})


_meaning: dict[str, list[sp.Expr]] = {}


def meaning_of(name: str) -> list[sp.Expr]:
    """The value of a function of the user's and, if given, its derivatives, in symbols argument0, argument1, …; the last is the value."""
    return _meaning[name]


def written_out(node: sp.Basic) -> int:
    """How many parts a text of the expression has in which the functions of the user's are what they mean.

    >>> written_out(sp.Symbol("x") + 1)
    3
    """
    return _counted(node, ())[0]


def _counted(node: sp.Basic, arguments: tuple[sp.Basic, ...]) -> tuple[int, ...]:
    """Parts that are no arguments, and how often each of the arguments is among them."""
    known: dict[sp.Basic, tuple[int, ...]] = {}
    for part in postorder(node):
        if part in arguments:
            known[part] = (0, *(int(part == a) for a in arguments))
            continue
        user = isinstance(part, Call) and part.function in _meaning
        own, *uses = _counts_of(part.function) if user else (1, *[1] * len(part.args))
        sums = [own] + [0] * len(arguments)
        for use, inner in zip(uses, part.arguments if user else part.args, strict=True):
            sums = [total + use * count for total, count in zip(sums, known[inner], strict=True)]
        known[part] = tuple(sums)
    return known[node]


@cache
def _counts_of(name: str) -> tuple[int, ...]:
    return _counted(_meaning[name][0], sp.symbols(f"argument:{FUNCTIONS[name].arity}"))


def _parameters(python: Any, text: str, what: str) -> list[Parameter]:
    """The arguments of a Python function that has only positional ones."""
    try:
        parameters = list(inspect.signature(python).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    if not parameters or any(p.kind not in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters):
        raise NotationError(f"gc.function takes Python functions with a fixed number of arguments; {what} is {shown(python)}.",
                            at=((text, text, here()),), fix='write gc.function("swish", lambda x: x*gc.sigmoid(x)).')
    return parameters


def names() -> tuple[str, ...]:
    """Names of the functions of graphc."""
    return (*(n for n, row in FUNCTIONS.items() if row.kind != "user"), *RANDOM)
