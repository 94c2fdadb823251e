"""Small building blocks of generated programs: filling arrays, choices without branches, and checked subscripts from integer tensors."""

from typing import Any

import numpy as np
from numba import njit, types
from numba.core.errors import TypingError
from numba.extending import intrinsic

from graphc.kernels.team import share
from graphc.kernels.unit import Part

__all__ = ["checked", "choose", "fill"]

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


@intrinsic
def choose(typingctx: Any, condition: Any, chosen: Any, otherwise: Any) -> Any:
    """`chosen if condition else otherwise`, both of which are computed, for numbers of one type."""
    if condition != types.boolean or chosen != otherwise:
        raise TypingError(f"choose takes a condition and two numbers of one type, not ({condition}, {chosen}, {otherwise})")

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.select(*values)

    return chosen(condition, chosen, otherwise), generate
