"""Subscripts from integer tensors are looked up and tested in front of innermost loops; what is outside is reported as before."""

from __future__ import annotations

import re

import numpy as np
import pytest

import graphc as gc

N, M, K = gc.dims("N M K")
n, j = gc.indices("n j")


def hinge():
    scores, label, loss = gc.tensor("scores", N, M), gc.tensor("label", N, dtype="int64"), gc.tensor("loss")
    margin = gc.relu(scores[n, j] - scores[n, label[n]] + 1)
    loss[()] += gc.where(j == label[n], 0, margin)
    return [loss, gc.grad(loss, scores)]


def embedding():
    t = gc.dim("T")
    table, word, seed, loss = gc.tensor("table", N, M), gc.tensor("word", t, dtype="int64"), gc.tensor("seed", t, M), gc.tensor("loss")
    loss[()] += table[word[n], j] * seed[n, j]
    return [loss, gc.grad(loss, table)]


@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (5, 17)])
def test_hinge_loss(shape):
    random = np.random.default_rng(0)
    arrays = {"scores": random.standard_normal(shape).astype("f"), "label": random.integers(0, shape[1], shape[0])}
    for got, want in zip(gc.compile(hinge())(**arrays), gc.compile(hinge(), target="interpret")(**arrays), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("tokens", [0, 1, 9])
def test_embedding(tokens):
    random = np.random.default_rng(0)
    arrays = {"table": random.standard_normal((4, 17)), "word": random.integers(0, 4, tokens), "seed": random.standard_normal((tokens, 17))}
    arrays = {name: a.astype("f") if a.dtype.kind == "f" else a for name, a in arrays.items()}
    for got, want in zip(gc.compile(embedding())(**arrays), gc.compile(embedding(), target="interpret")(**arrays), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_innermost_loops_neither_look_up_nor_test():
    for program in (hinge, embedding):
        source = gc.compile(program()).source
        fast = re.search(r"if 0 <= [cg]\d+ and.*?(?=if not)", source, re.S)
        assert fast
        assert not any(word in fast.group() for word in ("checked", "label[", "word["))


def test_a_label_outside_is_used_only_where_its_condition_says_so():
    """Rows without a label are left out; a wrong label of another row is still an error."""
    scores, label, y = gc.tensor("scores", N, M), gc.tensor("label", N, dtype="int64"), gc.tensor("y")
    y[n, j] = gc.where(label[n] < 0, 0, scores[n, j] - scores[n, label[n]])
    f = gc.compile(y)
    given = np.arange(6, dtype="f").reshape(2, 3)
    np.testing.assert_array_equal(f(scores=given, label=np.array([-1, 2])), [[0, 0, 0], [-2, -1, 0]])
    with pytest.raises(gc.ArgumentError, match="3"):
        f(scores=given, label=np.array([-1, 3]))


def test_a_place_outside_is_added_to_only_where_the_conditions_of_a_term_say_so():
    """The term is the same for all i and computed in front of that loop: its conditions go with it."""
    place, x, y = gc.tensor("place", 2, dtype="int64"), gc.tensor("x", 2, 3), gc.tensor("y", 2)
    first, sums = gc.tensor("first", 2), gc.index("i", 3)
    first[n] += x[n, j]
    y[place[n]] += gc.where(place[n] < 2, gc.where(sums + n > 2, gc.where(place[n] >= 0, first[n], 0), 0), 0)
    f = gc.compile(y)
    given = np.ones((2, 3), "f")
    np.testing.assert_array_equal(f(place=np.array([1, 3]), x=given), [0, 0])
    np.testing.assert_array_equal(f(place=np.array([-1, 0]), x=given), [3, 0])


@pytest.mark.parametrize("form", ["read", "sum", "beside", "branch", "copied", "product", "added"])
def test_integers_that_are_looked_up_with_integers_are_tested(form):
    """The first integer is inside, so that the second one is there; whether that one points inside is another question."""
    D, J, P = gc.tensor("D", M, K), gc.tensor("J", N, dtype="int64"), gc.tensor("P", N, dtype="int64")
    w, y, k = gc.tensor("w", K), gc.tensor("y"), gc.index("k")
    if form == "copied":
        C = gc.tensor("C", N, dtype="int32")
        C[n] = J[P[n]]
        y[n, k] = D[C[n], k]
    elif form in ("sum", "product"):
        y[n] += D[J[P[n]], k] * (w[k] if form == "product" else 1)
    elif form == "added":
        y[k] += D[J[P[n]], k]
    else:
        y[n, k] = {"read": D[J[P[n]], k], "beside": D[J[P[n]], k] + J[P[n]] * w[k], "branch": gc.where(w[k] > 0, D[J[P[n]], k], 0)}[form]
    f, exact = gc.compile(y), gc.compile(y, target="interpret")
    arrays = {"D": np.arange(12, dtype="f").reshape(4, 3), "P": np.array([2, 0, 1]), "w": np.ones(3, "f")}
    arrays = {name: a for name, a in arrays.items() if name in f.inputs}
    np.testing.assert_allclose(f(**arrays, J=np.array([3, 0, 2])), exact(**arrays, J=np.array([3, 0, 2])))
    for wrong in (-1, 4, 10**9):
        with pytest.raises(gc.ArgumentError, match=str(wrong)):
            f(**arrays, J=np.array([3, wrong, 2]))
