"""Problems for SciPy that are not complete."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gc

N, D = gc.dims("N D")
b, j = gc.indices("b j")
X, T = gc.tensor("X", N, D), gc.tensor("T", N)
W, bias = gc.parameter("W", D), gc.tensor("bias", ())
tok = gc.tensor("tok", N, dtype="int64")
P, L = gc.tensors("P L")
P[b] = gc.sum(X[b, j] * W[j], over=j) + bias[()]
L[()] += (P[b] - T[b]) ** 2
x, t = np.ones((3, 2)), np.ones(3)


def test_a_vector_of_another_length(rejects):
    problem = gc.to_scipy(L, [W, bias], X=x, T=t)
    with rejects(gc.ArgumentError, call=True):
        problem.fun(np.ones(4))


def test_a_vector_of_complex_numbers(rejects):
    problem = gc.to_scipy(L, [W, bias], X=x, T=t)
    with rejects(gc.ArgumentError, call=True):
        problem.jac(np.ones(3) * 1j)


def test_a_direction_of_another_length(rejects):
    problem = gc.to_scipy(L, [W, bias], X=x, T=t)
    with rejects(gc.ArgumentError, call=True):
        problem.hessp(problem.x0, np.ones(2))


def test_packing_what_is_not_there(rejects):
    problem = gc.to_scipy(L, [W, bias], X=x, T=t)
    with rejects(gc.ArgumentError, call=True):
        problem.pack({"W": np.ones(2)})


def test_a_problem_without_its_data(rejects):
    with rejects(gc.ArgumentError, call=True):
        gc.to_scipy(L, [W, bias], X=x)


def test_a_problem_with_an_unknown_argument(rejects):
    with rejects(gc.ArgumentError, call=True):
        gc.to_scipy(L, [W, bias], X=x, T=t, Y=t)


def test_a_problem_of_unknown_size(rejects):
    with rejects(gc.ArgumentError, call=True):
        gc.to_scipy(L, [X, W], T=t, bias=0)


def test_data_that_are_no_array(rejects):
    with rejects(gc.ArgumentError, call=True):
        gc.to_scipy(L, [W, bias], X=x, T={})


def test_data_that_are_complex(rejects):
    """NumPy would drop the imaginary parts with a warning."""
    with rejects(gc.ArgumentError, call=True):
        gc.to_scipy(L, [W, bias], X=x, T=t * 1j)


def test_packing_texts(rejects):
    problem = gc.to_scipy(L, [W, bias], X=x, T=t)
    with rejects(gc.ArgumentError, call=True):
        problem.pack({"W": ["1", "2"], "bias": 0})


def test_a_vector_of_ragged_rows(rejects):
    problem = gc.to_scipy(L, [W, bias], X=x, T=t)
    with rejects(gc.ArgumentError, call=True):
        problem.fun([[1], [2, 3]])


def test_a_problem_without_unknowns(rejects):
    with rejects(gc.ArgumentError):
        gc.to_scipy(L, [], X=x, T=t)


def test_a_problem_with_data_without_names(rejects):
    with rejects(gc.ArgumentError):
        gc.to_scipy(L, W, x)


def test_a_problem_of_a_size_that_is_none(rejects):
    with rejects(gc.ArgumentError, call=True):
        gc.to_scipy(L, X, T=t, bias=0, D=-1)


def test_a_problem_whose_arrays_do_not_fit(rejects):
    with rejects(gc.ShapeError, call=True):
        gc.to_scipy(L, W, X=x, T=np.ones(4), bias=0)


def test_an_unknown_that_is_defined(rejects):
    with rejects(gc.ArgumentError):
        gc.to_scipy(L, P, X=x, T=t)


def test_an_unknown_given_twice(rejects):
    with rejects(gc.ArgumentError):
        gc.to_scipy(L, [W, W], X=x, T=t)


def test_an_unknown_of_integers(rejects):
    total = gc.tensor("total")
    total[()] += X[b, tok[b]]
    with rejects(gc.DtypeError):
        gc.to_scipy(total, tok, X=x)


def test_an_unknown_by_name(rejects):
    with rejects(gc.NotationError):
        gc.to_scipy(L, "W", X=x, T=t)


def test_an_operator_without_scipy(rejects, monkeypatch):
    pytest.importorskip("scipy")
    problem = gc.to_scipy(L, [W, bias], X=x, T=t)
    monkeypatch.setitem(__import__("sys").modules, "scipy.sparse.linalg", None)
    with rejects(gc.TargetError, call=True):
        problem.hessian(problem.x0)
