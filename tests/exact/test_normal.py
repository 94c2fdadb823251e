"""The normal form proves identities, and nothing that is not one; derivatives of functions are those of the table."""

from __future__ import annotations

import pytest
import sympy as sp

from graphc.exact.derivative import gradient
from graphc.exact.normal import Normaliser, TooLarge
from graphc.exact.point import FUNCTIONS, Point, Undefined
from graphc.ir.expr import Call, Where
from graphc.ir.functions import FUNCTIONS as ROWS

x, y = sp.symbols("x y")
EXP, LOG = (lambda a: Call("exp", a)), (lambda a: Call("log", a))
LSE = LOG(EXP(x) + EXP(y))
R = 1 / sp.sqrt(x**2 + y**2 + 1)

EQUAL = {
    "rational": ((x**2 - y**2) / (x - y), x + y),
    "partial fractions": (1 / (x + y) + 1 / (x - y), 2 * x / (x**2 - y**2)),
    "sigmoid": (Call("sigmoid", x), 1 / (1 + EXP(-x))),
    "tanh": (Call("tanh", x), 2 * Call("sigmoid", 2 * x) - 1),
    "softplus": (EXP(Call("softplus", x)), 1 + EXP(x)),
    "softmax": (EXP(x - LSE), EXP(x) / (EXP(x) + EXP(y))),
    "sum in an exponential": (EXP(x + y), EXP(x) * EXP(y)),
    "power": (x**y * x, EXP(y * LOG(x)) * x),
    "root": (sp.sqrt(x + y) ** 3, (x + y) * sp.sqrt(x + y)),
    "root below": (R**3 * (x**2 + y**2 + 1), R),
    "hypot": (Call("hypot", x, y) ** 2, x**2 + y**2),
    "circle": (Call("sin", x) ** 2 + Call("cos", x) ** 2, sp.Integer(1)),
    "tangent": (1 + Call("tan", x) ** 2, Call("cos", x) ** -2),
    "expm1": (Call("expm1", x) + 1, EXP(x)),
    "log1p": (Call("log1p", x), LOG(1 + x)),
    "stopped": (Call("stop_gradient", x), x),
}


@pytest.mark.parametrize("name", EQUAL)
def test_identity(name: str) -> None:
    left, right = EQUAL[name]
    assert Normaliser().zero(left - right)
    assert not Normaliser().zero(left - right + sp.Rational(1, 10**9))


@pytest.mark.parametrize("wrong", [x - y, sp.sqrt(x**2) - x, Call("sin", x) - x, EXP(x / 2) ** 2 - EXP(2 * x), x**2 / x - x**3 / x])
def test_nothing_else_is_proved(wrong: sp.Expr) -> None:
    assert not Normaliser().zero(wrong)


def test_budget() -> None:
    with pytest.raises(TooLarge):
        Normaliser(budget=1000).zero((x + y + 1) ** 40 / (x + EXP(y)) ** 30 - y)


@pytest.mark.parametrize("name", sorted(FUNCTIONS & set(ROWS) - {"stop_gradient"}))
def test_the_table_of_derivatives_is_sympys(name: str) -> None:
    row = ROWS[name]
    arguments = (x, y)[: row.arity]
    value = Call(name, *arguments)
    point = Point({x: sp.Rational(3, 7), y: sp.Rational(5, 11)})
    assert row.derivative is not None
    for symbol, rule in zip(arguments, row.derivative, strict=True):
        own = rule(*arguments, value)
        if isinstance(own, Where):  # what it is at the origin
            own = own.other
        difference = gradient(value, [symbol])[0] - own
        assert abs(point.value(difference)) < (1e-15 if name == "erf" else 1e-50)


@pytest.mark.parametrize("node", [LOG(sp.Integer(-1)), 1 / (x - x * 1), sp.sqrt(sp.Integer(-1)), LOG(x - x)])
def test_no_value(node: sp.Expr) -> None:
    with pytest.raises(Undefined):
        Point({x: sp.Integer(1)}).value(node)
