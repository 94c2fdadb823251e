"""What the machine can do at most: chains of multiply-adds in registers, and copying."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils

from graphc.kernels.team import launch, share
from graphc.kernels.tile import SIMD, intrinsic, multiply_add, splat, vector_of, versioned

__all__ = ["CHAINS", "start_copy", "start_multiply_adds"]

CHAINS = 24 if SIMD == 512 else 12
"""Independent sums, one vector each: enough to hide the latency of a multiply-add, few enough for the registers."""


def kernel(function: Any) -> Any:
    """Compile a function with Numba's disk cache."""
    return njit(cache=True, nogil=True, error_model="numpy")(versioned(function))


@intrinsic
def _chains(typing_context, factor, count):
    """The sum of the first lanes of `CHAINS` vectors ``s``, after ``s = s*factor + factor`` has been computed `count` times."""

    def generate(context, builder, call, arguments):
        vector = vector_of(context.get_value_type(call.return_type))
        factors = splat(builder, arguments[0], vector.count)
        places = [cgutils.alloca_once(builder, vector) for _ in range(CHAINS)]
        for place in places:
            builder.store(factors, place)
        with cgutils.for_range(builder, arguments[1]):
            for place in places:
                builder.store(multiply_add(builder, builder.load(place), factors, factors), place)
        total = builder.load(places[0])
        for place in places[1:]:
            total = builder.fadd(total, builder.load(place))
        return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

    return factor(factor, types.int64), generate


@kernel
def _multiply_adds(me, team, sync, results, count):
    results[me] = _chains(results[-1], count)


@kernel
def _copy(me, team, sync, target, source):
    first, last = share(me, team, source.size)
    target[first:last] = source[first:last]


@kernel
def start_multiply_adds(sync, results, count):
    """Every member computes its chains; ``results`` has an element per member, and a last one, the factor."""
    launch(_multiply_adds, sync, (results, np.int64(count)))


@kernel
def start_copy(sync, target, source):
    """The members copy an array together."""
    launch(_copy, sync, (target, source))
