from dataclasses import replace

import graphc as gc
from graphc.passes.prune import inline_copies, merge, prune
from tests.notation import applied, graph_of, text

N, M = gc.dims("N M")
SIZES = {"N": 3, "M": 4}
i, j, k = gc.indices("i j k")


def test_prune_keeps_what_the_outputs_need():
    x, y, z = gc.tensor("X", N), gc.tensor("Y"), gc.tensor("Z")
    y[i] = x[i] + 1
    z[i] = 2 * y[i]
    graph = replace(graph_of(y, z), outputs=("Y",))
    assert text(applied(prune, graph, SIZES)) == "for i:  Y[i] = X[i] + 1"


def test_merge_of_equal_temporaries(golden):
    x, a, b, y = gc.tensor("X", N, M), gc.tensor("A"), gc.tensor("B"), gc.tensor("Y")
    a[i] += x[i, j] ** 2
    b[k] += x[k, j] ** 2
    y[i] = a[i] * b[i]
    golden(text(applied(merge, graph_of(y), SIZES)))


def test_merge_keeps_outputs_apart():
    x, a, b = gc.tensor("X", N), gc.tensor("A"), gc.tensor("B")
    a[i] = 2 * x[i]
    b[i] = 2 * x[i]
    assert text(applied(merge, graph_of(a, b), SIZES)).count("\n") == 1


def test_copies_are_read_through(golden):
    x, t, y = gc.tensor("X", N, M), gc.tensor("T"), gc.tensor("Y")
    t[j, i] = x[i, j]
    y[i] += t[j, i] * t[j + 0, i]
    golden(text(applied(inline_copies, graph_of(y), SIZES)))


def test_part_of_a_copy_is_no_copy():
    x, t, y = gc.tensor("X", N + 1), gc.tensor("T", N + 1), gc.tensor("Y")
    p = gc.index("p", 1, N + 1)
    t[p] = x[p]
    y[i] = t[i]
    assert "T[i]" in text(applied(inline_copies, graph_of(y), SIZES))
