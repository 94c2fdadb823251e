"""The random numbers against published vectors and against what they shall be."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numba import njit

from graphc.ir import random as meaning
from graphc.kernels import random as kernels

KNOWN = [
    ((0x00000000, 0x00000000), (0x00000000, 0x00000000), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
]
"""Counter, key and result of threefry2x32 with 20 rounds: file kat_vectors of Random123 (Salmon, Moraes, Dror and Shaw, SC 2011)."""


def joined(words: tuple[int, int]) -> int:
    """Two words as a signed integer, the low one first."""
    return int(np.uint64(words[0] | words[1] << 32).astype(np.int64))


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_published_vectors(counter, key, result):
    assert joined(result) == np.uint64(meaning.draw(joined(key), joined(counter)) & 2**64 - 1).astype(np.int64)


CASES = [np.random.default_rng(0).integers(-(2**63), 2**63 - 1, 300), np.arange(-50, 250)]
EDGES = [0, -1, 2**63 - 1, -(2**63), 2**32 - 1, 2**32, -(2**32), 0x80000000, 0x7FFFFFFF, 1 << 62]


@pytest.fixture(scope="module")
def compiled():
    """For every element of two arrays: the bits, and what is made of the first array as bits."""

    @njit
    def call(keys, indices, bits, u32, u64, n32, n64):
        for k in range(len(keys)):
            bits[k] = kernels.draw(keys[k], indices[k])
            u32[k], u64[k] = kernels.uniform32(keys[k]), kernels.uniform64(keys[k])
            n32[k], n64[k] = kernels.normal32(keys[k]), kernels.normal64(keys[k])

    return call


def test_vector_code_and_definition_agree_bit_by_bit(compiled):
    keys = np.concatenate([CASES[0], EDGES])
    indices = np.concatenate([CASES[1], EDGES[::-1]])
    found = [np.zeros(len(keys), dtype) for dtype in ("int64", "float32", "float64", "float32", "float64")]
    compiled(keys, indices, *found)
    bits = [meaning.draw(int(k), int(i)) for k, i in zip(keys, indices, strict=True)]
    np.testing.assert_array_equal(found[0].view("uint64"), np.array([b & 2**64 - 1 for b in bits], "uint64"))
    for array, function in zip(found[1:], (meaning.uniform32, meaning.uniform64, normal(32), normal(64)), strict=True):
        want = np.array([function(int(k)) for k in keys])
        assert want.dtype == array.dtype
        np.testing.assert_array_equal(array, want)


def normal(width: int):
    return lambda bits: getattr(meaning, f"normal{width}")(meaning.polar(bits))


def test_definition_compiles_as_it_stands():
    """Numba infers integers of 64 bits in the functions that cuda kernels contain."""
    compiled = njit(meaning.draw), njit(meaning.polar)
    for key in EDGES:
        assert compiled[0](key, 7) & 2**64 - 1 == meaning.draw(key, 7) & 2**64 - 1
        assert compiled[1](key) == meaning.polar(key)


def test_uniform_is_in_the_half_open_interval():
    for function, largest in ((meaning.uniform32, 1 - 2.0**-24), (meaning.uniform64, 1 - 2.0**-53)):
        assert function(0) == 0
        assert function(-1) == largest < 1
    assert all(0 <= meaning.uniform64(b) - float(meaning.uniform32(b)) < 2.0**-24 for b in map(int, CASES[0]))


def test_normal_is_what_box_and_muller_say():
    for bits in map(int, np.concatenate([CASES[0], EDGES])):
        u, v = ((bits >> 32 & 0xFFFFFFFF) | 1) / 2**32, (((bits & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000 | 1) / 2**31
        squared, sine = -2 * math.log(u), math.sin(math.pi / 2 * v)
        exact = math.sqrt(squared) * sine
        slack = 2.0**-26 / max(math.sqrt(squared), 2.0**-13) + 2.0**-26 * math.sqrt(squared)
        assert abs(normal(64)(bits) - exact) < slack
        assert abs(normal(32)(bits) - exact) < 2 * slack + 1e-6 * abs(exact)
