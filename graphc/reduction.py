"""Reductions of the user's: any commutative monoid, its laws tried on numbers before it is believed."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import sympy as sp

from graphc.compile import compile_program
from graphc.errors import NotationError
from graphc.frontend.declare import index, tensor
from graphc.frontend.expression import Expr, as_number, shown, wrap
from graphc.frontend.functions import names
from graphc.frontend.location import here
from graphc.frontend.reductions import RESERVED, reduce
from graphc.ir.expr import Access, BoundaryAccess
from graphc.ir.reductions import REDUCTIONS, Reduction
from graphc.ir.tree import contains, indices_of, substitute

__all__ = ["reduction"]

_SAMPLES = np.array([-1.75, -0.5, 0.25, 1.5])


def reduction(name: str, combine: Callable[..., Any], identity: Any, grad: Callable[..., Any] | None = None) -> Callable[..., Expr]:
    """A new reduction, used like `graphc.sum`: ``norm(X[i,j], over=j)``.

    Args:
        name: how it is printed; a number is added where another reduction of the user has it already.
        combine: a commutative and associative function of two expressions, e.g. ``lambda a, b: gc.sqrt(a*a + b*b)``.
        identity: the number that combine leaves every result unchanged with; the result over an empty range.
        grad: optional ``lambda x, y: …``, the derivative of the result y with respect to a term x. Without it combine is differentiated
            at the term and what all others combine to, which takes a pass over the other terms for every term; where combine compares,
            one term after the other, so that equal terms get what combine itself gives them.

    Returns:
        A function ``(body, over)`` of an expression and an index, or a tuple of them.

    Raises:
        NotationError: the name is taken, the functions do not take two arguments or read tensors, or numbers are found for which
            combine depends on the order, or the identity changes a result.

    >>> import graphc as gc
    >>> i, j = gc.indices("i j")
    >>> X, Y = gc.tensor("X", *gc.dims("N D")), gc.tensor("Y")
    >>> norm = gc.reduction("norm", lambda a, b: gc.sqrt(a*a + b*b), 0, grad=lambda x, y: x/y)
    >>> Y[i] = norm(X[i,j], over=j)
    >>> print(gc.loops(Y))
    for i:  Y[i] = norm(X[i,j], over=j)
    """
    text = f"reduction({shown(name)}, …)"
    if not isinstance(name, str) or not name.isidentifier():
        raise NotationError(f"{name!r} is not a name for a reduction.", at=((text, shown(name), here()),), fix='use an identifier: "norm".')
    if name in names() or name in RESERVED:
        raise NotationError(f"gc.reduction cannot redefine {name}.", at=((text, name, here()),), fix="choose another name.")
    neutral = _number(identity, name, text)
    made = Reduction(name, _rule(combine, name, "combine", text), neutral, None if grad is None else _rule(grad, name, "grad", text))
    label = _label(made)
    _try_laws(combine, identity, grad is None, name, text)
    REDUCTIONS[label] = Reduction(label, made.combine, neutral, made.slope)

    def call(body: Any, over: Any = None) -> Expr:
        return reduce(label, body, over)

    call.__name__ = call.__qualname__ = label
    call.__doc__ = f"The reduction {name} of `body` over an index or several; {shown(identity)} over an empty range."
    return call


def _label(made: Reduction) -> str:
    """The name, with a number if it means something else already."""

    def meaning(r: Reduction) -> tuple[Any, ...]:
        a, b = sp.symbols("argument:2")
        return r.combine(a, b), r.identity, r.slope and r.slope(a, b)

    label, count = made.name, 1
    while label in REDUCTIONS and meaning(REDUCTIONS[label]) != meaning(made):
        count += 1
        label = f"{made.name}_{count}"
    return label


def _number(identity: Any, name: str, text: str) -> sp.Expr:
    try:
        node = as_number(wrap(identity, lambda: shown(identity)).node)
    except NotationError:
        node = None
    if node is None or node.free_symbols - {sp.Symbol("inf")} or contains(node, Access):
        raise NotationError(f"The identity of {name} is not a number.", at=((text, text, here()),), fix="give a number: 0, 1, -math.inf.")
    return node


def _rule(python: Any, name: str, what: str, text: str) -> Callable[[sp.Expr, sp.Expr], sp.Expr]:
    try:
        parameters = list(inspect.signature(python).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    if len(parameters) != 2 or any(p.kind not in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters):
        raise NotationError(f"{what} of {name} is not a function of two arguments.", at=((text, text, here()),),
                            fix="write lambda a, b: …" if what == "combine" else "write lambda x, y: … of a term and the result.")
    first, second = sp.symbols("argument:2")
    operands = [Expr(first), Expr(second)]
    node = as_number(wrap(python(*operands), lambda: f"{name}({', '.join(p.name for p in parameters)})").node)
    if contains(node, (Access, BoundaryAccess)) or indices_of(node):
        raise NotationError(f"{what} of {name} reads something else than its two arguments.", at=((text, text, here()),),
                            fix="use numbers and the two arguments only.")
    return lambda a, b: substitute(node, {first: a, second: b})


def _try_laws(combine: Callable[..., Any], identity: Any, derived: bool, name: str, text: str) -> None:
    """Look for numbers that contradict the laws; results that are not finite say nothing."""
    p = index("p", len(_SAMPLES) ** 3)
    x, y, z = (tensor(n, len(_SAMPLES) ** 3, dtype="float64") for n in "xyz")
    neutral, other = (tensor(n, (), dtype="float64")[()] for n in ("neutral", "other"))
    found = [tensor(f"result{k}", len(_SAMPLES) ** 3, dtype="float64") for k in range(7)]
    a, b, c = x[p], y[p], z[p]
    laws = (combine(combine(a, b), c), combine(a, combine(b, c)), combine(a, b), combine(b, a),
            combine(neutral, combine(a, b)), combine(a, b), combine(neutral, other) + 0 * a)
    for result, law in zip(found, laws, strict=True):
        result[p] = law
    points = [v.reshape(-1) for v in np.meshgrid(_SAMPLES, _SAMPLES, _SAMPLES, indexing="ij")]
    number = np.float64(identity)
    arrays = {**dict(zip("xyz", points, strict=True)), "neutral": number, "other": number}
    *values, twice = compile_program(found, target="interpret")(arrays)
    complaints = (
        ("is not associative: combine(combine({0:g}, {1:g}), {2:g}) is {3:g}, combine({0:g}, combine({1:g}, {2:g})) is {4:g}.",
         "the order of the terms must not matter"),
        ("is not commutative: combine({0:g}, {1:g}) is {3:g}, combine({1:g}, {0:g}) is {4:g}.", "the order of the terms must not matter"),
        ("does not have the identity " + shown(identity) + ": combined with it, combine({0:g}, {1:g}) becomes {3:g} instead of {4:g}.",
         "give the number that changes no result"),
    )
    for (message, advice), left, right in zip(complaints, values[::2], values[1::2], strict=True):
        finite = np.isfinite(left) & np.isfinite(right)
        bad = np.flatnonzero(finite & ~np.isclose(left, right, rtol=1e-9, atol=1e-12))
        if len(bad):
            k = bad[0]
            where = [float(v[k]) for v in (*points, left, right)]
            raise NotationError(f"combine of {name} " + message.format(*where), at=((text, text, here()),), fix=advice + ".")
    if derived and twice[0] != number:
        both = f"combine({shown(identity)}, {shown(identity)})"
        raise NotationError(f"{both} of {name} is {float(twice[0])}, and the derivative of a single term needs it.",
                            at=((text, text, here()),), fix=f"make it {shown(identity)}, or give grad=lambda x, y: ….")
