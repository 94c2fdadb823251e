"""What the kernels of a simulated GPU find in ``numba.cuda`` and ``math``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.gpu.memory import Fault, Local, Memory
from tests.gpu.threads import WARP

if TYPE_CHECKING:
    from tests.gpu.device import Device

__all__ = ["HELPERS", "MATH", "cuda_of", "rounded"]

MOST_SHARED = 48 * 1024


def cuda_of(device: Device) -> Any:
    """What kernels find in ``numba.cuda``."""

    class Kernel:
        def __init__(self, function: Callable[..., Any], bounds: Any) -> None:
            self.function, self.bounds = function, bounds

        def __getitem__(self, configuration: Sequence[Any]) -> Callable[..., None]:
            return lambda *arguments: device.launch(self.function, self.bounds, configuration, arguments)

    def jit(*functions: Any, launch_bounds: Any = None, **_: Any) -> Any:
        return Kernel(functions[0], launch_bounds) if functions else lambda f: Kernel(f, launch_bounds)

    def shared(shape: Any, dtype: Any, site: str = "", **_: Any) -> Memory:
        block = device.here.block
        if site not in block.shared:
            block.shared[site] = device.empty(shape, dtype, "a shared array")
            if sum(m.array.nbytes for m in block.shared.values()) > MOST_SHARED:
                raise Fault(f"more than {MOST_SHARED} bytes of shared memory")
        return block.shared[site]

    def place(of: Callable[[], tuple[int, int, int]]) -> Any:
        class Place:
            x, y, z = (property(lambda _, k=k: of()[k]) for k in range(3))

        return Place()

    def along(count: int, first: Callable[[int], int]) -> Any:
        return first(0) if count == 1 else tuple(map(first, range(count)))

    def grid(count: int) -> Any:
        here = device.here
        return along(count, lambda k: here.block.place[k] * here.block.shape[k] + here.place[k])

    def gridsize(count: int) -> Any:
        block = device.here.block
        return along(count, lambda k: block.grid[k] * block.shape[k])

    operations = {"add": lambda a, b: a + b, "sub": lambda a, b: a - b, "max": max, "min": min, "exch": lambda a, b: b}
    return SimpleNamespace(
        jit=jit, grid=grid, gridsize=gridsize, warpsize=WARP,
        threadIdx=place(lambda: device.here.place), blockIdx=place(lambda: device.here.block.place),
        blockDim=place(lambda: device.here.block.shape), gridDim=place(lambda: device.here.block.grid),
        shared=SimpleNamespace(array=shared), local=SimpleNamespace(array=lambda shape, dtype, **_: Local(shape, dtype)),
        atomic=SimpleNamespace(**{n: lambda m, key, value, f=f: m.change(key, value, f) for n, f in operations.items()}),
        cg=SimpleNamespace(this_grid=lambda: None), threadfence=lambda: None, threadfence_block=lambda: None,
    )  # fmt: skip


_SAME = ("exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tan", "tanh", "hypot", "floor", "ceil", "copysign", "isnan", "isinf")
MATH = SimpleNamespace(
    erf=lambda x: type(x)(math.erf(x)), fabs=np.abs, pow=np.power, atan2=np.arctan2, **{name: getattr(np, name) for name in _SAME})
"""Functions of ``math`` in the type of their arguments; `math` itself computes in float64, and has errors in place of infinities."""


def rounded(value: Any) -> Any:
    """The nearest number of TF32, the one with the larger magnitude if two are."""
    bits = np.float32(value).view(np.uint32)
    return ((bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)


def _lies_well(array: Memory, place: int) -> None:
    size = array.array.itemsize
    if (array.base + int(place) * size) % min(16, 4 * size):
        raise Fault(f"four elements of {array.name} from {place} on do not lie at a multiple of {min(16, 4 * size)} bytes")


def _get_four(to: Local, begin: int, array: Memory, place: int) -> None:
    _lies_well(array, place)
    for k in range(4):
        to[begin + k] = array[place + k]


def _put_four(array: Memory, place: int, source: Local, begin: int) -> None:
    _lies_well(array, place)
    for k in range(4):
        array[place + k] = source[begin + k]


def _add_one(array: Memory, place: int, value: Any) -> None:
    array[place] += value


HELPERS = {
    "get_four": _get_four, "put_four": _put_four, "get_one": Memory.__getitem__, "put_one": Memory.__setitem__,
    "add_one": _add_one, "rounded": rounded,
    "aligned": lambda array: array.base % 16 == 0,
}  # fmt: skip
"""What they find in `graphc.kernels`, but for `multiply`, which waits for a warp."""
