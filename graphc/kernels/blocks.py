"""Small building blocks of generated programs: filling arrays and checking subscripts that come from integer tensors."""

from typing import Any

import numpy as np
from numba import njit

from graphc.kernels.team import share
from graphc.kernels.unit import Part

__all__ = ["checked", "fill"]

INNER: dict[str, Any] = {"nogil": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True, "pipeline_class": Part}


@njit(**INNER)
def fill(me, team, elements):
    """Set this member's part of a view of one dimension to 0."""
    first, last = share(me, team, elements.shape[0])
    for e in range(first, last):
        elements[e] = 0


@njit(forceinline=True, **INNER)
def checked(value, viewed, dimension, status, code):
    """The value of an integer tensor as a subscript; outside of the view it is recorded in `status` and 0 is used instead.

    ``status`` is an int64 array: [code of the first failure or 0, value]. The view must not be empty in that dimension.
    """
    if value < 0 or value >= viewed.shape[dimension]:
        status[0] = code
        status[1] = value
        return np.int64(0)
    return np.int64(value)
