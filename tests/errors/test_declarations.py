"""Sizes, indices, tensors, parameters and functions that are declared wrongly (LANGUAGE 1, 3, 8)."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gc

N, M = gc.dims("N M")
i, j = gc.indices("i j")
X = gc.tensor("X", N)


def test_bad_size_name(rejects):
    with rejects(gc.NotationError):
        gc.dims("N 2D")


def test_empty_name(rejects):
    with rejects(gc.NotationError):
        gc.index("")


def test_keyword_as_name(rejects):
    with rejects(gc.NotationError):
        gc.indices("i in")


def test_number_as_name(rejects):
    with rejects(gc.NotationError):
        gc.dim(5)


def test_name_twice(rejects):
    with rejects(gc.NotationError):
        gc.indices("i j i")


def test_two_names_for_one_index(rejects):
    with rejects(gc.NotationError):
        gc.index("i j")


def test_index_range_of_floats(rejects):
    with rejects(gc.NotationError):
        gc.index("p", 0, 2.5)


def test_index_range_of_an_index(rejects):
    with rejects(gc.NotationError):
        gc.index("p", i)


def test_index_range_of_three(rejects):
    with rejects(gc.NotationError):
        gc.index("p", 0, 10, 2)


def test_index_range_backwards(rejects):
    with rejects(gc.NotationError):
        gc.index("p", 5, 2)


def test_index_declared_twice(rejects):
    first, second = gc.index("p", 3), gc.index("p", 4)
    with rejects(gc.NotationError):
        X[first] * X[second]


def test_bad_tensor_name(rejects):
    with rejects(gc.NotationError):
        gc.tensor("my tensor", N)


def test_keyword_as_tensor_name(rejects):
    with rejects(gc.NotationError):
        gc.tensor("lambda", N)


def test_bad_names_of_tensors(rejects):
    with rejects(gc.NotationError):
        gc.tensors("U V-1")


def test_forgotten_tensor_name(rejects):
    with rejects(gc.NotationError):
        gc.tensor(N, M)


def test_float_extent(rejects):
    with rejects(gc.ShapeError):
        gc.tensor("X", 3.0, N)


def test_bool_extent(rejects):
    with rejects(gc.ShapeError):
        gc.tensor("X", True)


def test_numpy_bool_extent(rejects):
    with rejects(gc.ShapeError):
        gc.tensor("X", np.True_)


def test_nan_extent(rejects):
    with rejects(gc.ShapeError):
        gc.tensor("X", float("nan"))


def test_negative_extent(rejects):
    with rejects(gc.ShapeError):
        gc.tensor("X", -3)


def test_huge_extent(rejects):
    with rejects(gc.ShapeError):
        gc.tensor("X", 2**70)


def test_string_extent(rejects):
    with rejects(gc.ShapeError):
        gc.tensor("X", "N")


def test_index_extent(rejects):
    with rejects(gc.ShapeError):
        gc.tensor("X", i)


def test_fractional_extent(rejects):
    with rejects(gc.ShapeError):
        gc.tensor("X", N / 2)


def test_tuple_extent(rejects):
    with rejects(gc.ShapeError):
        gc.tensor("X", (N, M), 3)


def test_none_extent(rejects):
    with rejects(gc.ShapeError):
        gc.tensor("X", None, 3)


def test_unknown_dtype(rejects):
    with rejects(gc.DtypeError):
        gc.tensor("X", N, dtype="floot32")


def test_complex_dtype(rejects):
    with rejects(gc.DtypeError):
        gc.tensor("X", N, dtype=complex)


def test_unsupported_dtype(rejects):
    with rejects(gc.DtypeError):
        gc.tensors("X Y", N, dtype=np.uint32)


def test_unknown_initialiser(rejects):
    with rejects(gc.NotationError):
        gc.parameter("W", N, M, init="glorot")


def test_array_as_initialiser(rejects):
    with rejects(gc.NotationError):
        gc.parameter("W", 3, init=np.ones(3))


def test_initialiser_with_a_negative_width(rejects):
    with rejects(gc.NotationError):
        gc.parameter("W", 3, init=("uniform", -0.1))


def test_random_integers_as_initialiser(rejects):
    with rejects(gc.DtypeError):
        gc.parameter("W", N, M, dtype="int64")


@pytest.mark.parametrize(("dtype", "init"), [("float32", 1e39), ("float64", 10**400), ("int64", 0.5), ("uint8", 300), ("int64", np.nan),
                                             ("float64", ("uniform", 1e308))], ids=["single", "double", "half", "large", "nan", "width"])
def test_initialiser_that_the_dtype_does_not_have(rejects, dtype, init):
    with rejects(gc.DtypeError):
        gc.parameter("W", 3, dtype=dtype, init=init)


def test_function_redefined(rejects):
    with rejects(gc.NotationError):
        gc.function("tanh", lambda x: x)


def test_function_bad_name(rejects):
    with rejects(gc.NotationError):
        gc.function("my swish", lambda x: x)


def test_function_of_numpy(rejects):
    with rejects(gc.NotationError):
        gc.function("swish", np.exp)


def test_function_without_value(rejects):
    with rejects(gc.NotationError):
        gc.function("swish", lambda x: None)


def test_function_using_math(rejects):
    def swish(x):
        return x / float(x)

    with rejects(gc.NotationError):
        gc.function("swish", swish)


def test_function_with_too_few_derivatives(rejects):
    with rejects(gc.NotationError):
        gc.function("area", lambda x, y: x * y, grad=lambda x, y, z: y)


def test_function_derivative_without_value(rejects):
    with rejects(gc.NotationError):
        gc.function("swish", lambda x: x * x, grad=lambda x: 2 * x)


def test_function_arguments(rejects):
    with rejects(gc.NotationError):
        gc.maximum(X[i])


def test_function_without_arguments(rejects):
    with rejects(gc.NotationError):
        gc.exp()


def test_user_function_arguments(rejects):
    double = gc.function("double_it", lambda x: 2 * x)
    with rejects(gc.NotationError):
        double(X[i], 3)


def test_redefined_user_functions_keep_their_meanings():
    first, second = gc.function("shifted", lambda x: x + 1), gc.function("shifted", lambda x: x + 2)
    again = gc.function("shifted", lambda x: x + 1)
    Y = gc.tensor("Y")
    Y[i] = first(X[i]) + 10 * second(X[i]) + 100 * again(X[i])
    f = gc.compile(Y, target="interpret")
    assert f(X=np.zeros(1, "float32"))[0] == 1 + 20 + 100
