"""Small building blocks of generated programs: filling arrays and checking subscripts that come from integer tensors."""

from typing import Any

import numpy as np
from numba import njit

from graphc.kernels.team import share

__all__ = ["checked", "fill", "part"]

INNER: dict[str, Any] = {"nogil": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


@njit(**INNER)
def fill(me, team, array):
    """Set this member's part of a C-contiguous array to 0."""
    flat = array.reshape(-1)
    first, last = share(me, team, flat.size)
    flat[first:last] = 0


@njit(forceinline=True, **INNER)
def part(array, start):
    """The elements of a C-contiguous array from the one at `start` on, in one dimension."""
    return array.reshape(-1)[start:]


@njit(forceinline=True, **INNER)
def checked(value, array, dimension, status, code):
    """The value of an integer tensor as a subscript; outside of the array it is recorded in `status` and 0 is used instead.

    ``status`` is an int64 array: [code of the first failure or 0, value]. The array must not be empty in that dimension.
    """
    if value < 0 or value >= array.shape[dimension]:
        status[0] = code
        status[1] = value
        return np.int64(0)
    return np.int64(value)
