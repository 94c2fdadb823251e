# ruff: noqa: E501
import pytest
import sympy as sp

import graphc as gc
from graphc.ir.dtypes import promote
from graphc.ir.expr import Index, Size
from graphc.ir.graph import fresh_names
from graphc.ir.show import statement
from graphc.ir.statement import rename, zeros
from tests.notation import graph_of

N, M = gc.dims("N M")


def example():
    i, j, k = gc.indices("i j k")
    x, y = gc.tensor("X", N, M), gc.tensor("Y")
    y[i] += x[i, j] * gc.sum(x[i, k], over=k)
    return graph_of(y).statements[0]


def test_kinds_of_indices():
    s = example()
    assert (list(map(str, s.free)), list(map(str, s.reduced)), list(map(str, s.bound))) == (["i"], ["j"], ["k"])
    assert [str(r.index) for r in s.loops] == ["i", "j"]
    assert not s.scatters


def test_rename_replaces_indices_everywhere():
    s = rename(example(), {Index("i"): Index("p"), Index("j"): Index("q")})
    assert statement(s) == "for p,q:  Y[p] += X[p,q]*sum(X[p,k], over=k)"


def test_zeros():
    assert statement(zeros("T", (Size("N"), sp.Integer(3)))) == "for i,j:  T[i,j] = 0"
    assert statement(zeros("L", ())) == "L[()] = 0"


def test_order_puts_sources_first():
    i = gc.index("i")
    x, a, b, c = gc.tensor("X", N), gc.tensor("A"), gc.tensor("B"), gc.tensor("C")
    c[i] = a[i] + b[i]
    b[i] = a[i] ** 2
    a[i] = x[i]
    order = graph_of(c).order()
    assert order.index("X") < order.index("A") < order.index("B") < order.index("C")


def test_fresh_names():
    assert fresh_names(["u", "u", "v"], ["u"]) == {"u": "u_3", "v": "v"}


@pytest.mark.parametrize(
    ("types", "joint"),
    [
        (("float32", "weak_float"), "float32"), (("float32", "float64"), "float64"), (("int32", "weak_int"), "int32"), (("int64", "float32"), "float32"),
        (("int8", "uint8"), "int16"), (("bool", "weak_int"), "int64"), (("int32", "weak_float"), "weak_float"), (("weak_int", "weak_float"), "weak_float"),
    ],
)  # fmt: skip
def test_promotion(types, joint):
    assert promote(*types) == joint
