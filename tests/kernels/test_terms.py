"""Sums, largest and least values of any function of two factors: as in NumPy, in every way and team, and nothing else is touched."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numba import njit
from numba.core.errors import TypingError

from graphc.kernels import tile
from graphc.kernels.blocks import choose
from graphc.kernels.choice import DIRECT, PACKED, TRANSPOSED, Choice, estimated
from graphc.kernels.contraction import max_terms, min_terms, sum_terms
from graphc.kernels.elementary import absolute, exp, sign

f32 = np.float32


@njit
def distance(a, b):  # type: ignore[no-untyped-def]
    return absolute(a - b)


@njit
def squared(a, b):  # type: ignore[no-untyped-def]
    return (a - b) * (a - b)


@njit
def turned(a, b, h):  # type: ignore[no-untyped-def]
    return -sign(h - b) * a


@njit
def near(a, b):  # type: ignore[no-untyped-def]
    return choose(a < b, f32(1.0), f32(0.0)) + f32(0.5) * exp(-absolute(a - b))


@njit
def beside(a, b, h):  # type: ignore[no-untyped-def]
    return choose(h > a + b, h - a, b)


TERMS = {
    distance: lambda a, b: abs(a - b), squared: lambda a, b: (a - b) ** 2, turned: lambda a, b, h: -np.sign(h - b) * a,
    near: lambda a, b: (a < b) + 0.5 * np.exp(-abs(a - b)), beside: lambda a, b, h: np.where(h > a + b, h - a, b),
}  # fmt: skip
REDUCED = {
    "sum": (sum_terms, np.sum, np.add, 0), "max": (max_terms, np.max, np.maximum, -np.inf), "min": (min_terms, np.min, np.minimum, np.inf),
}  # fmt: skip
CALLS: dict[Any, Any] = {}


def call(kind: str, term: Any) -> Any:
    """A compiled function that calls the engine."""
    engine = REDUCED[kind][0]
    if (kind, term) not in CALLS:

        @njit
        def compiled(me, team, C, A, B, H, batch, rows, columns, depth, choice, accumulate):  # type: ignore[no-untyped-def]
            engine(me, team, C, A, B, H, batch, rows, columns, depth, choice, accumulate, term)

        CALLS[kind, term] = compiled
    return CALLS[kind, term]


def table(*offsets: Any) -> Any:
    return np.ascontiguousarray([np.asarray(each, np.int64).ravel() for each in offsets])


def check(
    kind: str, term: Any, sizes: tuple[int, int, int], choice: Choice | None, team: int, adding: bool, dtype: str, along: bool
) -> None:
    """Two groups, in arrays with a margin that stays as it is; `along`: the second factor is contiguous along the depth."""
    m, n, k = sizes
    random = np.random.default_rng([m, n, k])
    third = term.py_func.__code__.co_argcount - 2
    A, H, C = (random.standard_normal((2, *shape)).astype(dtype) for shape in ((m, k), (m, n), (m + 1, n + 3)))
    B = random.standard_normal((2, n, k) if along else (2, k, n)).astype(dtype)
    if A.size and H.size and B.size:
        A[0, 0, 0] = np.nan
        H[1, -1, -1] = B[1, -1, -1]
        B[1].flat[0] = np.inf
    g, i, j, d = (np.arange(extent) for extent in (2, m, n, k))
    batch = [g * (m + 1) * (n + 3), g * m * k, g * n * k, *[g * m * n] * third]
    rows = [i * (n + 3), i * k, *[i * n] * third]
    columns = [j, j * k if along else j, *[j] * third]
    tables = table(*batch), table(*rows), table(*columns), table(d, d if along else d * n)
    numbers = (choice or estimated(tables, C.itemsize, products=False)).numbers(tables, C.itemsize)
    got = C.copy()
    for me in range(team):
        call(kind, term)(me, team, got, A, B, H, *tables, numbers, adding)
    first, second = A[:, :, :, None], (B.transpose(0, 2, 1) if along else B)[:, None]
    _, reduced, combined, neutral = REDUCED[kind]
    with np.errstate(all="ignore"):
        terms = TERMS[term](*(x.astype("float64") for x in (first, second, *[H[:, :, None]] * third)))
        whole = reduced(np.broadcast_to(terms, (2, m, k, n)), axis=2, initial=neutral)
        want = C.astype("float64")
        want[:, :m, :n] = combined(want[:, :m, :n], whole) if adding else whole
    if m and n and k + (not adding):
        error = 3e-5 if dtype == "float32" else 1e-13
        np.testing.assert_allclose(got, want, rtol=error, atol=error * max(k, 1))
    else:
        np.testing.assert_array_equal(got[:, m:], C[:, m:])


SIZES = (1, 2, 3, 4, 5, 8, 15, 16, 17, 31, 33, 63, 64, 65, 130)
CHOICES = [None, *(Choice(way, block, tiles) for way in (DIRECT, PACKED, TRANSPOSED) for block, tiles in ((384, 1), (7, 3)))]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", REDUCED)
@pytest.mark.parametrize("term", TERMS, ids=lambda t: t.__name__)
def test_odd_sizes(term: Any, kind: str, dtype: str) -> None:
    random = np.random.default_rng(7)
    for number, choice in enumerate(CHOICES * 6):
        m, n, k = (int(x) for x in random.choice(SIZES, 3))
        along = choice is not None and choice.way == TRANSPOSED
        check(kind, term, (m, n, k), choice, 1 + number % 3, bool(number % 2), dtype, along or (choice is None and number % 4 == 0))
    for sizes in ((0, 3, 2), (3, 0, 2), (3, 2, 0)):
        check(kind, term, sizes, None, 1, False, dtype, True)


@pytest.mark.parametrize("simd", [bits for bits in (128, 256) if bits < tile.SIMD])
def test_narrower_vectors(simd: int) -> None:
    """Once more with vectors that this machine would not choose."""
    if "GRAPHC_SIMD" in os.environ:
        pytest.skip("already chosen")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", "odd and sum and float32 and not near", __file__]
    run = subprocess.run(command, env=os.environ | {"GRAPHC_SIMD": str(simd)}, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout


def test_what_is_no_term_is_refused() -> None:
    C, A = np.zeros((2, 2), f32), np.zeros((2, 2), f32)
    tables = table([0], [0], [0]), table([0, 2], [0, 2]), table([0, 1], [0, 1]), table([0, 1], [0, 2])
    for arrays in ([C, A, A, A.astype("float64")], [C, A, A.astype("float64"), A]):
        with pytest.raises(TypingError, match="of one type"):
            call("sum", distance)(0, 1, *arrays, *tables, Choice(DIRECT).numbers(), False)
