"""Counter-based random numbers: what ``uniform`` and ``normal`` mean, in integer arithmetic that every target repeats bit by bit.

The functions are plain Python on integers and correctly rounded float operations. The interpreter calls them, the cuda target writes
their source into its kernels, and `graphc.kernels.random` is the same for the CPU's vector loops.
"""

from __future__ import annotations

import math

import numpy as np

__all__ = ["RANDOM", "draw", "normal32", "normal64", "polar", "uniform32", "uniform64"]

f32, f64 = np.float32, np.float64

RANDOM = {
    "uniform": "weak_float", "uniform32": "float32", "uniform64": "float64",
    "normal": "weak_float", "normal32": "float32", "normal64": "float64",
}  # fmt: skip
"""Functions ``name(key, index, …)`` and the types of their values. The user writes the first of each row; `collect` puts in its place the
one of the type in which the statement computes, which no pass changes: the numbers of a program are settled there."""


def draw(key: int, index: int) -> int:
    """64 random bits that depend on two 64-bit integers only; with several indices they are the key of the next one.

    Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror and Shaw, Parallel random numbers: as easy as 1, 2, 3, SC 2011): additions,
    rotations and exclusive ors of 32-bit words, the low word first.
    """
    k0, k1 = key & 0xFFFFFFFF, key >> 32 & 0xFFFFFFFF
    k2 = k0 ^ k1 ^ 0x1BD11BDA
    x0, x1 = index + k0 & 0xFFFFFFFF, (index >> 32) + k1 & 0xFFFFFFFF
    for n in range(1, 6):
        a, b, c, d = (13, 15, 26, 6) if n & 1 else (17, 29, 16, 24)
        x0 = x0 + x1 & 0xFFFFFFFF
        x1 = (x1 << a | x1 >> 32 - a) & 0xFFFFFFFF ^ x0
        x0 = x0 + x1 & 0xFFFFFFFF
        x1 = (x1 << b | x1 >> 32 - b) & 0xFFFFFFFF ^ x0
        x0 = x0 + x1 & 0xFFFFFFFF
        x1 = (x1 << c | x1 >> 32 - c) & 0xFFFFFFFF ^ x0
        x0 = x0 + x1 & 0xFFFFFFFF
        x1 = (x1 << d | x1 >> 32 - d) & 0xFFFFFFFF ^ x0
        k0, k1, k2 = k1, k2, k0
        x0, x1 = x0 + k0 & 0xFFFFFFFF, x1 + k1 + n & 0xFFFFFFFF
    return x1 << 32 | x0


def uniform32(bits: int) -> np.float32:
    """The first 24 bits as a number in [0, 1)."""
    return f32(bits >> 40 & 0xFFFFFF) * f32(2.0**-24)


def uniform64(bits: int) -> np.float64:
    """The first 53 bits as a number in [0, 1): cut to 24 bits it is what `uniform32` gives."""
    return f64(bits >> 11 & 0x1FFFFFFFFFFFFF) * f64(2.0**-53)


def polar(bits: int) -> tuple[int, int, int]:
    """Integers of a normally distributed number sqrt(-2 log u) sin(pi v/2) with u in (0, 1) and v in (-1, 1), both of 32 bits.

    Box and Muller, A note on the generation of random normal deviates, 1958, in fixed-point arithmetic: errors of -2 log u and of the
    sine are below 2^-26, and the largest number is 6.66.

    Returns:
        -2^31 log u, 2^31 v, and 2^31 sin(pi v/2)/(2v).
    """
    x, n = bits >> 32 & 0xFFFFFFFF | 1, 0
    if x < 1 << 16:
        x, n = x << 16, 16
    if x < 1 << 24:
        x, n = x << 8, n + 8
    if x < 1 << 28:
        x, n = x << 4, n + 4
    if x < 1 << 30:
        x, n = x << 2, n + 2
    if x < 1 << 31:
        x, n = x << 1, n + 1
    # u = x / 2^(32+n) with 1 <= x/2^31 < 2; h = 3/2 - x/2^31, and log(2)/2^31 - log(x) is a polynomial of it.
    h = 0x17FFFFFFF - (x << 1)
    q = 13202552 + (7864605 * h >> 32)
    q = 17574312 + (q * h >> 32)
    q = 30795159 + (q * h >> 32)
    q = 56594017 + (q * h >> 32)
    q = 106105756 + (q * h >> 32)
    q = 212096053 + (q * h >> 32)
    q = 477216784 + (q * h >> 32)
    q = 1431655771 + (q * h >> 32)
    q = 617792563 + (q * h >> 32)
    v = (bits & 0xFFFFFFFF ^ 0x80000000) - 0x80000000 | 1
    h = v * v >> 31
    p = -40150590 + (2605700 * h >> 32)
    p = 342265593 + (p * h >> 32)
    p = -1387196611 + (p * h >> 32)
    p = 1686629706 + (p * h >> 32)
    return n * 1488522236 + q, v, p


def normal32(parts: tuple[int, int, int]) -> np.float32:
    """The number of `polar` by operations that are rounded correctly everywhere."""
    length, turn, sine = parts
    return f32(math.sqrt(f32(length >> 5) * f32(2.0**-25))) * f32(turn) * (f32(sine) * f32(2.0**-61))


def normal64(parts: tuple[int, int, int]) -> np.float64:
    """The number of `polar` by operations that are rounded correctly everywhere."""
    length, turn, sine = parts
    return f64(math.sqrt(f64(length) * f64(2.0**-30))) * f64(turn) * (f64(sine) * f64(2.0**-61))
