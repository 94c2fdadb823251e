"""Where scalar variables are declared, and which loops may add in any order."""

from __future__ import annotations

import pytest
import sympy as sp

from graphc.emit.variables import place_of, sums_of
from graphc.ir.expr import Access, Call, Compare, Index
from graphc.ir.nest import Assign, For, If, Local, Node, Store

i, total, best, s = Index("i"), Local("total"), Local("best"), Local("s")
ZERO = sp.Integer(0)
ADD = Assign(total, total + Access("x", i), "float32")


def loop(*body: Node) -> For:
    return For(i, (ZERO,), (sp.Integer(100),), body)


@pytest.mark.parametrize("body", [
    (ADD,),
    (Assign(total, Call("plus", total, Access("x", i)), "float32"),),
    (Assign(s, 2 * Access("x", i), "float32"), Assign(total, total + s, "float32"), Store("y", (i,), s)),
    (ADD, Store("y", (i,), Access("y", i) + 1)),
])  # fmt: skip
def test_sums(body: tuple[Node, ...]) -> None:
    assert sums_of(loop(*body)) == [total]


@pytest.mark.parametrize("body", [
    (ADD, Store("y", (i + 1,), Access("y", i))),
    (ADD, Store("y", (ZERO,), Access("x", i))),
    (ADD, Store("y", (i,), total)),
    (ADD, Store("y", (Access("k", i),), Access("x", i))),
    (Assign(total, total * Access("x", i), "float32"),),
    (Assign(total, Call("maximum", total, Access("x", i)), "float32"),),
    (ADD, Assign(s, s + total, "float32")),
    (ADD, If(Compare(">", i, ZERO), (Store("y", (i,), Access("x", i)),))),
    (Assign(total, total + Access("x", i), "int64"),),
])  # fmt: skip
def test_no_sums(body: tuple[Node, ...]) -> None:
    assert sums_of(loop(*body)) == []


def test_declared_where_it_is_set() -> None:
    start = Assign(total, ZERO, "float32")
    assert place_of(total, (start, loop(ADD))) == (0, True)
    assert place_of(total, (loop(start, ADD),)) is None


def test_declared_in_front_of_what_carries_it() -> None:
    found = If(Compare(">", i, ZERO), (Assign(best, Access("x", i), "float32"),))
    assert place_of(best, (loop(found, Store("y", (i,), best)),)) == (0, False)
    assert place_of(best, (loop(Store("y", (i,), best), Assign(best, ZERO, "float32")),)) == (0, False)
