"""What is written where something else was: updates, rows of results, variables of loops."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gc

N, M, K = gc.dims("N M K")
b, i, j, k = gc.indices("b i j k")


def both(outputs, updates, arrays):
    """Results and state of the targets cpu and interpret."""
    made = []
    for target in ("cpu", "interpret"):
        state = {name: array.copy(order="K") for name, array in arrays.items()}
        made.append((gc.compile(outputs, updates=updates, target=target)(state), state))
    (found, state), (exact, exact_state) = made
    for one, other in zip(found, exact, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    for name, array in state.items():
        np.testing.assert_allclose(array, exact_state[name], rtol=1e-6)
    return state


@pytest.mark.parametrize("array", [np.arange(8, dtype="f")[::2], np.arange(4, dtype="f")[::-1], np.arange(4, dtype="f")])
def test_updates_of_arrays_of_any_layout(array):
    A, new = gc.tensor("A", N), gc.tensor("new")
    new[i] = 2 * A[i] + 1
    step, state = gc.compile([], updates={A: new}), {"A": array.copy() if array.strides == (4,) else array}
    expected = 2 * array + 1
    step(state)
    assert state["A"].tolist() == expected.tolist()


def test_an_update_in_fortran_order():
    A, new = gc.tensor("A", N, M), gc.tensor("new")
    new[i, j] = 2 * A[i, j] + 1
    state = {"A": np.asfortranarray(np.arange(6, dtype="f").reshape(2, 3))}
    gc.compile([], updates={A: new})(state)
    assert state["A"].tolist() == [[1, 3, 5], [7, 9, 11]]


def test_results_that_read_new_and_old_values():
    A, B = gc.tensor("A", N), gc.tensor("B", N)
    An, Bn, X, Y, Z = gc.tensors("An Bn X Y Z")
    An[i] = A[i] + 1
    Bn[i] = 2 * B[i]
    X[i] = A[i] * Bn[i]
    Y[i] = B[i] * An[i]
    Z[i] = 3 * An[i]
    arrays = {"A": np.arange(1, 5, dtype="f"), "B": np.arange(2, 6, dtype="f")}
    both([X, Y], {A: An, B: Bn}, arrays)
    both([Z], {A: An}, arrays)
    both([Z, X], {A: An, B: Bn}, arrays)


def test_updates_that_do_not_set_every_element():
    A, new, part = gc.tensor("A", N, N), gc.tensor("new", N, N), gc.tensor("part", N, N)
    new[i, i] = A[i, i] + 1
    first = gc.index("first", 1)
    part[first, j] = A[first, j] + 1
    both([], {A: new}, {"A": np.ones((2, 2), "f")})
    both([], {A: part}, {"A": np.ones((2, 2), "f")})


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "int16", "int32", "int64", "uint8"])
@pytest.mark.parametrize("reduction", [gc.max, gc.min, gc.prod])
@pytest.mark.parametrize("sign", [-1, 1])
def test_reductions_along_the_first_dimension(dtype, reduction, sign):
    if dtype == "uint8" and sign < 0:
        pytest.skip("has no sign")
    B, R = gc.tensor("B", N, K, dtype=dtype), gc.tensor("R")
    R[k] = reduction(B[b, k], over=b)
    array = np.full((20, 3), sign, dtype)
    array[:3] = sign * np.array([[2, 1, 3]])
    found, exact = (gc.compile(R, target=target)(B=array) for target in ("cpu", "interpret"))
    assert found.dtype == exact.dtype
    assert found.tolist() == exact.tolist()


@pytest.mark.parametrize("name", ["c0_1", "c0__1", "c0_3"])
@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_names_of_indices_like_those_of_variables(name, dtype):
    X, A, Y, S, c = gc.tensor("X", N, K, dtype=dtype), gc.tensor("A", K, M, dtype=dtype), *gc.tensors("Y S"), gc.index(name)
    Y[b, c] = gc.max(X[b, j] * 2 + A[j, c], over=j)
    S[b, c] += gc.abs(X[b, j] * 2 + A[j, c])
    arrays = {"X": np.ones((2, 20), dtype), "A": np.ones((20, 6), dtype)}
    found = gc.compile([Y, S])(arrays)
    assert (found[0] == 3).all()
    assert (found[1] == 60).all()


def test_a_tensor_with_the_name_of_a_variable():
    X, T, Y = gc.tensor("X", N, K), gc.tensor("c0", K, M), gc.tensor("Y")
    Y[b, i] += gc.relu(X[b, j] * 2 + T[j, i])
    assert (gc.compile(Y)(X=np.ones((2, 20), "f"), c0=np.ones((20, 6), "f")) == 60).all()


def test_a_factor_behind_an_empty_sum():
    X, A, c, Y = gc.tensor("X", N, K), gc.tensor("A", K, M), gc.tensor("c", M), gc.tensor("Y")
    Y[b, i] += X[b, j] * A[j, i] / c[i]
    program = gc.compile(Y)
    assert (program(X=np.ones((2, 0), "f"), A=np.ones((0, 3), "f"), c=np.zeros(3, "f")) == 0).all()
    assert (program(X=np.ones((2, 4), "f"), A=np.ones((4, 3), "f"), c=np.full(3, 2, "f")) == 2).all()


def test_what_is_updated_need_not_be_read():
    a, new, x, total = gc.tensor("a", gc.dim("N")), gc.tensor("new"), gc.tensor("x", gc.dim("N")), gc.tensor("total")
    i = gc.index("i")
    new[i] = x[i] * 2
    total[()] += x[i]
    state = {"a": np.zeros(3, np.float32)}
    assert gc.compile(total, updates={a: new})(state, x=np.ones(3, np.float32)) == 3
    assert state["a"].tolist() == [2, 2, 2]
