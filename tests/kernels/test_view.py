"""Views read and write the element their subscripts name, convert on store, vectorise, and check when asked to."""

import os
import subprocess
import sys

import numpy as np
import pytest
from numba import float64, njit
from numba.core.errors import TypingError

from graphc.kernels.view import CHECKED, MODE, ViewType, view

DTYPES = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")


@njit
def copy_0(Y, X):
    Y, X = view(Y), view(X)
    Y[()] = X[()]


@njit
def copy_1(Y, X, shape):
    Y, X = view(Y), view(X)
    for i in range(shape[0]):
        Y[i] = X[i]


@njit
def copy_3(Y, X, shape):
    Y, X = view(Y), view(X)
    for i in range(shape[0]):
        for j in range(shape[1]):
            for k in range(shape[2]):
                Y[i, j, k] = X[i, j, k]


@njit
def transpose(Y, X, n, m):
    Y, X = view(Y), view(X)
    for i in range(n):
        for j in range(m):
            Y[j, i] = X[i, j]


@njit
def gather(Y, X, index, n):
    Y, X, index = view(Y), view(X), view(index)
    for i in range(n):
        Y[i] += X[index[i]]


@njit
def first_and_last(X, n, m):
    X = view(X)
    return X[0, 0], X[n - 1, m - 1]


@njit
def read(X, i, j):
    return view(X)[i, j]


@njit
def write(X, i, j, value):
    view(X)[i, j] = value


@njit
def add_at(v, i, value):
    v[i] += value


@njit
def pass_view_on(X):
    add_at(view(X), 1, 5)


def window(Y, X, W, first, last, n):
    Y, X, W = view(Y), view(X), view(W)
    for r in range(n):
        for p in range(max(first, 1 - r), last):
            Y[p] += X[p + r - 1] * W[r]


@pytest.mark.parametrize("dtype", DTYPES)
def test_copies_every_rank(dtype: str) -> None:
    X = (np.arange(2 * 3 * 5) % 7).astype(dtype).reshape(2, 3, 5)
    Y = np.zeros_like(X)
    copy_3(Y, X, X.shape)
    np.testing.assert_array_equal(Y, X)
    Y = np.zeros(30, dtype)
    copy_1(Y, X.reshape(30), (30,))
    np.testing.assert_array_equal(Y, X.reshape(30))
    Z = np.zeros((), dtype)
    copy_0(Z, np.array(1, dtype))
    assert Z == 1 and Z.dtype == dtype


def test_transposes_and_reads_corners() -> None:
    X = np.arange(12.0).reshape(3, 4)
    Y = np.empty((4, 3))
    transpose(Y, X, 3, 4)
    np.testing.assert_array_equal(Y, X.T)
    assert first_and_last(X, 3, 4) == (0.0, 11.0)


@pytest.mark.parametrize("index_dtype", ["int8", "int32", "int64", "uint8"])
def test_gathers_through_any_integer(index_dtype: str) -> None:
    X = np.arange(200, dtype=np.float32)
    index = np.array([3, 0, 127, 3], index_dtype)
    Y = np.ones(4, np.float32)
    gather(Y, X, index, 4)
    np.testing.assert_array_equal(Y, 1 + X[index.astype(np.int64)])


def test_unsigned_subscripts_are_zero_extended() -> None:
    X = np.arange(256.0)
    Y = np.zeros(1)
    gather(Y, X, np.array([200], np.uint8), 1)
    assert Y[0] == 200.0


def test_store_converts_to_the_element_type() -> None:
    X = np.zeros((2, 2), np.int32)
    write(X, 0, 1, 2.75)
    assert X[0, 1] == 2
    Y = np.zeros((2, 2), np.float32)
    write(Y, 1, 0, 3)
    write(Y, 1, 1, True)
    assert Y.tolist() == [[0, 0], [3, 1]]
    Z = np.zeros((2, 2), np.bool_)
    write(Z, 0, 0, 7.0)
    assert Z.tolist() == [[True, False], [False, False]]


def test_view_can_be_an_argument() -> None:
    X = np.zeros(3)
    pass_view_on(X)
    assert X.tolist() == [0, 5, 0]


def test_readonly_arrays_can_be_read_but_not_written() -> None:
    X = np.arange(4.0).reshape(2, 2)
    X.flags.writeable = False
    assert read(X, 1, 1) == 3.0
    with pytest.raises(TypingError):
        write(X, 0, 0, 1.0)


@pytest.mark.parametrize(
    "array",
    [np.zeros((4, 4))[:, ::2], np.zeros((4, 4), order="F"), np.zeros((2, 2), "datetime64[s]"), np.zeros((2, 2), complex), 3],
    ids=["strided", "fortran", "datetime", "complex", "number"],
)
def test_refuses_what_it_cannot_address(array: object) -> None:
    with pytest.raises(TypingError):
        read(array, 0, 0)


def test_refuses_a_wrong_number_of_subscripts() -> None:
    with pytest.raises(TypingError):
        read(np.zeros(3), 0, 0)
    with pytest.raises(TypingError):
        read(np.zeros((3, 3, 3)), 0, 0)
    with pytest.raises(TypingError):
        read(np.zeros((3, 3)), 0, 1.5)


@pytest.mark.skipif(CHECKED, reason="checks end vectorisation")
def test_shifted_window_vectorises() -> None:
    kernel = njit(fastmath={"contract", "reassoc", "nsz"}, error_model="numpy")(window)
    X, W = np.arange(20, dtype=np.float32), np.array([1, 2, 3], np.float32)
    Y = np.zeros(18, np.float32)
    kernel(Y, X, W, 1, 18, 3)
    np.testing.assert_array_equal(Y[1:], np.correlate(X, W, "valid")[:17])
    optimised = next(iter(kernel.inspect_llvm().values()))
    assert "x float>" in optimised, "the loop over p was not vectorised"


CHECKED_PROGRAM = """
import numpy as np, pytest
from numba import njit
from graphc.kernels.view import MODE, view
assert MODE == "checked"
@njit
def read(X, i, j):
    return view(X)[i, j]
@njit
def write(X, i, j):
    view(X)[i, j] = 1
X = np.arange(12.0).reshape(3, 4)
assert read(X, 2, 3) == 11
write(X, 0, 0)
assert X[0, 0] == 1
for i, j in [(3, 0), (0, 4), (-1, 0), (0, -1), (2**62, 0)]:
    for access in read, write:
        with pytest.raises(IndexError, match="subscript [01] of a view"):
            access(X, i, j)
"""


def test_checked_mode_raises_for_every_bad_subscript() -> None:
    subprocess.run([sys.executable, "-c", CHECKED_PROGRAM], env=os.environ | {"GRAPHC_CHECK": "1"}, check=True)


def test_the_mode_is_part_of_the_type() -> None:
    assert MODE in str(ViewType(float64, 2, True))
    assert (MODE == "checked") is CHECKED
