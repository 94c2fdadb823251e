"""Program text used as if it were a Python number, a sequence or a NumPy array."""

# ruff: noqa: B015
from __future__ import annotations

import math
import operator

import numpy as np
import pytest

import graphc as gc

N, D = gc.dims("N D")
i, j = gc.indices("i j")
X = gc.tensor("X", N, D)
A = gc.tensor("A", D, N)
v = gc.tensor("v", N)
lr = gc.tensor("lr", ())


def test_element_in_if(rejects):
    with rejects(gc.NotationError):
        if X[i, j] > 0:
            pass


def test_element_in_and(rejects):
    with rejects(gc.NotationError):
        gc.where((v[i] > 0) and (v[i] < 1), 1, 0)


def test_element_in_or(rejects):
    with rejects(gc.NotationError):
        (v[i] > 0) or (v[i] < 1)


def test_element_in_not(rejects):
    with rejects(gc.NotationError):
        not v[i]


def test_chained_comparison(rejects):
    with rejects(gc.NotationError):
        0 < v[i] < 1


def test_index_in_while(rejects):
    with rejects(gc.NotationError):
        while i < 3:
            pass


def test_size_in_if(rejects):
    with rejects(gc.NotationError):
        if N > 3:
            pass


def test_python_max(rejects):
    with rejects(gc.NotationError):
        max(v[i], 0)


def test_element_in_a_list(rejects):
    with rejects(gc.NotationError):
        v[i] in [1, 2]


def test_len_of_element(rejects):
    with rejects(gc.NotationError):
        len(X[i, j])


def test_iter_of_element(rejects):
    with rejects(gc.NotationError):
        for _ in v[i]:
            pass


def test_python_sum(rejects):
    with rejects(gc.NotationError):
        sum(X[i, j])


def test_float_of_element(rejects):
    with rejects(gc.NotationError):
        float(v[i])


def test_int_of_size(rejects):
    with rejects(gc.NotationError):
        int(N)


def test_range_of_size(rejects):
    with rejects(gc.NotationError):
        range(N)


def test_round_of_element(rejects):
    with rejects(gc.NotationError):
        round(v[i])


def test_math_exp(rejects):
    with rejects(gc.NotationError):
        math.exp(v[i])


def test_math_floor(rejects):
    with rejects(gc.NotationError):
        math.floor(v[i])


def test_np_exp(rejects):
    with rejects(gc.NotationError):
        np.exp(v[i])


def test_np_sum(rejects):
    with rejects(gc.NotationError):
        np.sum(X[i, j])


def test_np_array_of_element(rejects):
    with rejects(gc.NotationError):
        np.asarray(v[i], dtype=float)


def test_np_exp_of_tensor(rejects):
    with rejects(gc.NotationError):
        np.exp(X)


def test_np_dot_of_tensors(rejects):
    with rejects(gc.NotationError):
        np.dot(X, A)


def test_array_as_operand(rejects):
    with rejects(gc.NotationError):
        2 + v[i] * np.ones(3)


def test_array_as_left_operand(rejects):
    with rejects(gc.NotationError):
        np.ones(3) * v[i]


def test_array_as_value(rejects):
    Y = gc.tensor("Y")
    with rejects(gc.NotationError):
        Y[i] = np.ones(3)


def test_list_as_operand(rejects):
    with rejects(gc.NotationError):
        v[i] + [1, 2, 3]


def test_none_as_operand(rejects):
    with rejects(gc.NotationError):
        v[i] * None


def test_string_as_operand(rejects):
    with rejects(gc.NotationError):
        v[i] + "1"


def test_complex_number(rejects):
    with rejects(gc.NotationError):
        v[i] * 1j


def test_huge_integer(rejects):
    with rejects(gc.NotationError):
        v[i] * 10**30


@pytest.mark.parametrize("value", [10**400, -(10**309)])
def test_integer_beyond_all_floats(value):
    with pytest.raises(gc.NotationError, match="larger than all floats"):
        v[i] ** value


def test_tensor_without_subscripts(rejects):
    with rejects(gc.NotationError):
        X[i, j] + v


def test_scalar_without_subscripts(rejects):
    with rejects(gc.NotationError):
        v[i] - lr * v[i]


def test_tensor_without_subscripts_in_a_function(rejects):
    with rejects(gc.NotationError):
        gc.hypot(v[i], X)


def test_tensor_without_subscripts_in_a_sum(rejects):
    with rejects(gc.NotationError):
        gc.sum(X, over=j)


def test_tensor_without_subscripts_as_value(rejects):
    Y = gc.tensor("Y")
    with rejects(gc.NotationError):
        Y[i, j] += X


def test_tensor_without_subscripts_as_subscript(rejects):
    with rejects(gc.NotationError):
        X[v, j]


def test_tensor_without_subscripts_compared(rejects):
    with rejects(gc.NotationError):
        gc.where(v == 0, 1, 2)


def test_matrix_product(rejects):
    with rejects(gc.NotationError):
        X @ A


def test_matrix_product_of_elements(rejects):
    with rejects(gc.NotationError):
        X[i, j] @ A[j, i]


def test_caret_as_power(rejects):
    with rejects(gc.NotationError):
        v[i] ^ 2


def test_tensor_in_if(rejects):
    with rejects(gc.NotationError):
        if X:
            pass


def test_len_of_tensor(rejects):
    with rejects(gc.NotationError):
        len(X)


def test_iter_of_tensor(rejects):
    with rejects(gc.NotationError):
        for _ in X:
            pass


def test_float_of_tensor(rejects):
    with rejects(gc.NotationError):
        float(lr)


def test_method_of_tensor(rejects):
    with rejects(gc.NotationError):
        X.sum(axis=1)


def test_method_of_element(rejects):
    with rejects(gc.NotationError):
        X[i, j].exp()


def test_subscripts_of_an_element(rejects):
    with rejects(gc.NotationError):
        v[i][j]


def test_boundary_view_without_subscripts(rejects):
    with rejects(gc.NotationError):
        v[i] * gc.pad(v, 0)


def test_element_changed_in_place(rejects):
    with rejects(gc.NotationError):
        v[i] -= 0.1


def test_dropped_contribution(rejects):
    U, Y = gc.tensors("U Y")
    u = U[i]
    u += X[i, j]
    Y[i] = U[i]
    with rejects(gc.NotationError):
        gc.loops(Y)


def test_contribution_reused(rejects):
    U, Y = gc.tensors("U Y")
    u = U[i]
    u += X[i, j]
    with rejects(gc.NotationError):
        Y[i] = 2 * u


def test_contribution_assigned_to_another_tensor(rejects):
    U, Y = gc.tensors("U Y")
    u = U[i]
    u += X[i, j]
    with rejects(gc.NotationError):
        Y[i] = u


def test_contribution_compiled(rejects):
    U = gc.tensor("U")
    u = U[i]
    u += X[i, j]
    with rejects(gc.NotationError):
        gc.compile(u)


@pytest.mark.parametrize("operation", [
    operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod, operator.pow, operator.matmul,
    operator.and_,
    operator.or_, operator.xor, operator.lshift, operator.lt, operator.ge, operator.eq, operator.ne,
])
@pytest.mark.parametrize("other", [None, "a", [1], (1,), {}, 1j, np.ones(2), object(), X, gc.pad(v), b"a", slice(1)],
                         ids=lambda o: type(o).__name__)
@pytest.mark.parametrize("left", [v[i], i, N, v[i] > 0], ids=str)
def test_no_operator_accepts_nonsense(operation, other, left):
    with pytest.raises(gc.GraphcError):
        operation(left, other)
    if not isinstance(other, str | bytes) or operation not in (operator.mod,):
        with pytest.raises((gc.GraphcError, TypeError)):
            operation(other, left)


def test_attribute_probes_still_work():
    assert not hasattr(X, "_ipython_display_") and not hasattr(X, "sum") and not hasattr(v[i], "shape")
    assert X == X and X != A and X is not None and X in [A, X] and {X: 1}[X] == 1
