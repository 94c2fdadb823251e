"""The simulated GPU of `tests.gpu`: what is right runs, and every kind of mistake is found."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from tests.gpu import Device, Fault

HEAD = """\
import math
import numpy as np
from numba import cuda, float32
from graphc.kernels.four import get_four, put_four
f32 = np.float32


@cuda.jit
def kernel(X, Y, status):
    me, line = cuda.threadIdx.x, cuda.grid(1)
"""


def run(body: str, threads: int = 64, blocks: int = 2, size: int = 128, head: str = HEAD) -> tuple[np.ndarray, np.ndarray]:
    """X and Y = X / 10 after a kernel with this body; Y is empty before."""
    device = Device(head + "".join(f"    {line}\n" for line in body.splitlines()) + "\n\ndef program(n, threads, X, Y, status):\n"
                    "    kernel[n, threads, 0](X, Y, status)\n")
    X = device.array(np.arange(size, dtype="float32"), "X")
    Y = device.empty(size, "float32", "Y")
    status = device.array(np.zeros(2, np.int64), "status", racing=True)
    device.module["program"](blocks, threads, X, Y, status)
    return X.array, Y.array


TURNED = """\
tile = cuda.shared.array(64, f32)
for n in range(2):
    tile[me] = X[line] + n
    cuda.syncthreads()
    Y[line] = tile[63 - me]
    cuda.syncthreads()
"""

SUMMED = """\
part = cuda.shared.array(2, float32)
total = X[line]
for step in (16, 8, 4, 2, 1):
    total = total + cuda.shfl_down_sync(-1, total, step)
if me % 32 == 0:
    part[me // 32] = total
cuda.syncthreads()
Y[line] = part[0] + part[1]
"""

NEIGHBOURS = """\
Y[line] = X[line] * f32(2)
cuda.syncwarp()
X[line] = Y[line // 32 * 32 + (line + 1) % 32]
"""

COUNTED = """\
Y[line] = f32(0)
cuda.cg.this_grid().sync()
cuda.atomic.add(Y, line % 4, X[line])
"""

PRIVATE = """\
best = cuda.local.array((2, 2), f32)
for k in range(4):
    best[k // 2, k % 2] = X[line] * f32(k)
Y[line] = best[1, 1]
status[0] = 3
"""

NESTED = """\
tile = cuda.shared.array(64, f32)
def there(value):
    tile[me] = value
    cuda.syncthreads()
    return tile[63 - me]
Y[line] = there(X[line])
"""


FOUR = """\
four = cuda.local.array(4, f32)
if line % 4 == 0:
    get_four(four, 0, X, line)
    put_four(Y, line, four, 0)
"""


def test_what_is_right_runs() -> None:
    x = np.arange(128, dtype="float32")
    blocks = x.reshape(2, 64)
    assert np.array_equal(run(TURNED)[1], blocks[:, ::-1].ravel() + 1)
    assert np.array_equal(run(NESTED)[1], blocks[:, ::-1].ravel())
    assert np.array_equal(run(SUMMED)[1], np.repeat(blocks.sum(1), 64))
    assert np.array_equal(run(NEIGHBOURS)[0], 2 * np.roll(x.reshape(4, 32), -1, 1).ravel())
    assert np.array_equal(run(COUNTED)[1][:5], [*x.reshape(32, 4).sum(0), 0])
    assert np.array_equal(run(PRIVATE)[1], 3 * x)
    assert np.array_equal(run(FOUR)[1], x)


BROKEN: dict[str, tuple[str, str, str, str]] = {
    "a removed barrier": (TURNED, "    Y[line] = tile[63 - me]\n    cuda.syncthreads()", "    Y[line] = tile[63 - me]", "race: a thread"),
    "a removed barrier before the first read": (TURNED, "+ n\n    cuda.syncthreads()", "+ n", "a shared array.* nothing has written"),
    "a removed barrier of a warp": (NEIGHBOURS, "cuda.syncwarp()", "", "nothing has written"),
    "a barrier of warps in place of blocks": (TURNED, "syncthreads", "syncwarp", "nothing has written"),
    "a removed barrier of the grid": (COUNTED, "cuda.cg.this_grid().sync()", "cuda.syncthreads()", "race: block|nothing has written"),
    "two threads on one element": (PRIVATE, "Y[line] =", "Y[line // 2] =", "race: thread .* Y.0."),
    "two blocks on one element": (PRIVATE, "Y[line] =", "Y[me] =", "race: block .* Y.0."),
    "a read of what another block writes": (PRIVATE, "X[line]", "X[line] + Y[0]", "nothing has written|race"),
    "no atomic operation": (COUNTED, "cuda.atomic.add(Y, line % 4, X[line])", "Y[line % 4] += X[line]", "race"),
    "a plain read of what is counted": (COUNTED, "X[line])", "X[line])\nX[line] = Y[line % 4]", "race"),
    "a read behind the end": (PRIVATE, "X[line]", "X[line + 1]", "X.128. is outside"),
    "a negative subscript": (PRIVATE, "X[line]", "X[line - 1]", "X.-1. is outside"),
    "a write behind the end": (PRIVATE, "Y[line]", "Y[line + 1]", "Y.128. is outside"),
    "behind the end of shared memory": (TURNED, "tile[63 - me]", "tile[64 - me]", "a shared array.64. is outside"),
    "behind the end of a local array": (PRIVATE, "range(4)", "range(5)", r"\(2, 0\) is outside"),
    "too few subscripts": (PRIVATE, "best[1, 1]", "best[1]", "a local array"),
    "a local array that is not filled": (PRIVATE, "range(4)", "range(3)", r"\(1, 1\) of a local array"),
    "a result of another thread": (PRIVATE, "= best[1, 1]", "= best[1, 1] + Y[(line + 1) % 128]", "nothing has written|race"),
    "a barrier in a condition": (TURNED, "cuda.syncthreads()\n    Y", "if me < 32:\n        cuda.syncthreads()\n    Y", "divergence"),
    "a barrier that some do not reach": (SUMMED, "cuda.syncthreads()", "if me >= 32:\n    return\ncuda.syncthreads()", "divergence"),
    "a shuffle in a condition": (SUMMED, "total = total +", "if me % 2: total = total +", "divergence"),
    "a shuffle of a thread that has ended": (SUMMED, "part = ", "if me % 32 > 20:\n    return\npart = ", "does not take part"),
    "float64": (PRIVATE, "best[1, 1]", "best[1, 1] * np.float64(0.5)", "computed in float64"),
    "four elements astray": (FOUR, "X, line)", "X, line + 2)", "four elements of X from 2 on do not lie at a multiple of 16 bytes"),
    "four elements behind the end": (FOUR, "X, line)", "X, line + 124)", "X.128. is outside"),
    "four elements twice": (FOUR, "line % 4", "line % 2", "multiple of 16|race"),
    "too much shared memory": (TURNED, "array(64,", "array(12289,", "more than 49152 bytes"),
}


@pytest.mark.parametrize("mistake", BROKEN)
def test_mistakes_are_found(mistake: str) -> None:
    body, old, new, message = BROKEN[mistake]
    assert body.count(old)
    with pytest.raises(Fault) as caught:
        run(body.replace(old, new))
    assert re.search(message, str(caught.value)), str(caught.value)
    assert str(caught.value).startswith("kernel")


def test_the_line_is_named() -> None:
    with pytest.raises(Fault, match=r"kernel, line 13: best.k // 2, k % 2. = X.line \+ 1."):
        run(PRIVATE.replace("X[line]", "X[line + 1]"))


@pytest.mark.parametrize("threads", [1025, 0])
def test_launches_that_a_gpu_refuses(threads: Any) -> None:
    with pytest.raises(Fault, match="cannot be launched"):
        run(PRIVATE, threads)


def test_bounds_that_a_kernel_was_compiled_for() -> None:
    head = HEAD.replace("@cuda.jit", "@cuda.jit(launch_bounds=(32, 2))")
    with pytest.raises(Fault, match="cannot be launched"):
        run(PRIVATE, head=head)
    run(PRIVATE, 32, 4, head=head)
