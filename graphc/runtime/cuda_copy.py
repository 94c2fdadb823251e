"""The kernel that writes new values into the caller's arrays."""

from typing import Any

from numba import cuda as numba_cuda

cuda: Any = numba_cuda

__all__ = ["commit"]


@cuda.jit
def commit(status, target, source):
    """Copy a flat array, unless the status array says that a kernel before found a fault."""
    if status[0] == 0:
        for k in range(cuda.grid(1), target.size, cuda.gridsize(1)):
            target[k] = source[k]
