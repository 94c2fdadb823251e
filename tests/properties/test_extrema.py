"""Places of extrema: the first one in the order of `over`, whatever the order of the loops, with ties, NaN and infinities."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import graphc as gc
from tests import unjitted
from tests.gpu import compiled

N, M, K = gc.dims("N M K")
LETTERS = "abcd"
KINDS = ("argmax", "argmin", "max", "min")


def extrema(shape, free, over, dtype):
    """The four reductions of a tensor, the others of its dimensions on the left, and the gradients of the last two."""
    places = [gc.index(letter) for letter in LETTERS[: len(shape)]]
    x, left = gc.tensor("x", *shape, dtype=dtype), tuple(places[d] for d in free)
    outputs = []
    for kind in KINDS:
        y = gc.tensor(kind)
        y[left] = getattr(gc, kind)(x[tuple(places)], over=tuple(places[d] for d in over))
        outputs.append(y)
    if dtype.startswith("float"):
        for kind, y in zip(KINDS[2:], outputs[2:], strict=True):
            L = gc.tensor(f"L_{kind}")
            L[()] += y[left]
            outputs.append(gc.grad(L, x))
    return outputs


def expected(x, free, over):
    """The same with NumPy."""
    rows = np.transpose(x, (*free, *over))
    flat = rows.reshape(*(x.shape[d] for d in free), -1)
    found = [getattr(np, kind)(flat, axis=-1) for kind in KINDS]
    if x.dtype.kind == "f":
        for first in found[:2]:
            slope = np.zeros_like(flat)
            np.put_along_axis(slope, first[..., None], 1, -1)
            found.append(np.transpose(slope.reshape(rows.shape), np.argsort((*free, *over))))
    return found


def drawn(random, shape, dtype, missing):
    """Few different values: ties everywhere."""
    x = random.integers(0, 3, shape).astype(dtype)
    if x.dtype.kind == "f":
        x[random.random(shape) < missing] = np.nan
    return x


def on_one_thread(outputs, arrays):
    return unjitted.run(gc.compile(outputs), arrays)


def interpreted(outputs, arrays):
    return gc.compile(outputs, target="interpret")(arrays)


def on_gpu(outputs, arrays):
    return compiled(outputs)(arrays)


@pytest.mark.parametrize("how", [interpreted, on_one_thread, on_gpu])
@pytest.mark.parametrize("seed", range(24))
def test_first_in_the_order_of_over(how, seed):
    random = np.random.default_rng(seed)
    rank = int(random.integers(2, 5))
    shape = tuple(map(int, random.choice([1, 2, 3, 4, 5, 9], rank)))
    order, some = tuple(map(int, random.permutation(rank))), int(random.integers(0, rank))
    free, over = tuple(sorted(order[:some])), order[some:]
    dtype = ("float32", "int32", "float64", "float32", "int64", "float32")[seed % 6]
    sizes = (N, M, K, gc.dim("H"))[:rank] if seed % 3 == 0 else shape
    x = drawn(random, shape, dtype, (0, 0.05, 0.4)[seed % 3])
    for got, want in zip(how(extrema(sizes, free, over, dtype), {"x": x}), expected(x, free, over), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("shape", [(64, 4), (2, 2), (3, 4)])
@pytest.mark.parametrize("over", [(0, 1), (1, 0)])
@pytest.mark.parametrize("missing", [0, 0.3])
def test_all_of_a_matrix(shape, over, missing):
    random = np.random.default_rng(7)
    program = gc.compile(extrema(shape, (), over, "float32"))
    for _ in range(8):
        x = drawn(random, shape, "float32", missing)
        for got, want in zip(unjitted.run(program, {"x": x}), expected(x, (), over), strict=True):
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("value", [-np.inf, np.inf, np.nan])
def test_nothing_but_the_value_where_a_search_begins(value):
    x = np.full((3, 4), value, "float32")
    for got, want in zip(on_one_thread(extrema((3, 4), (), (1, 0), "float32"), {"x": x}), expected(x, (), (1, 0)), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    ("shape", "free", "over"), [((600, 300), (), (1, 0)), ((300, 40, 30), (0,), (2, 1)), ((40, 30, 300), (2,), (1, 0))]
)
def test_large_arrays_in_vectors_and_on_threads(shape, free, over, threads):
    random = np.random.default_rng(3)
    program = gc.compile(extrema(shape, free, over, "float32"), threads=threads)
    for missing in (0, 0.001):
        x = drawn(random, shape, "float32", missing)
        for given in (x, np.asfortranarray(x)):
            for got, want in zip(program(x=given), expected(x, free, over), strict=True):
                np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("order", list(itertools.permutations("crs")), ids="".join)
@pytest.mark.parametrize("how", [on_one_thread, on_gpu])
def test_windows_with_channels_last(order, how):
    n, p, q, c = gc.indices("n p q c")
    x, best, where, L = gc.tensor("x", N, 6, 4, 3), *gc.tensors("best where L")
    names = {"c": c, "r": gc.index("r", 3), "s": gc.index("s", 2)}
    over = tuple(names[letter] for letter in order)
    window = x[n, 3 * p + names["r"], 2 * q + names["s"], c]
    best[n, p, q], where[n, p, q] = gc.max(window, over=over), gc.argmax(window, over=over)
    L[()] += best[n, p, q]
    data = drawn(np.random.default_rng(5), (2, 6, 4, 3), "float32", 0.02)
    got = how([best, where, gc.grad(L, x)], {"x": data})
    windows = np.lib.stride_tricks.sliding_window_view(data, (3, 2), (1, 2))[:, ::3, ::2]  # n p q c r s
    rows = np.transpose(windows, (0, 1, 2, *(3 + "crs".index(letter) for letter in order)))
    flat = rows.reshape(*rows.shape[:3], -1)
    first, slope = flat.argmax(-1), np.zeros_like(data)
    for place in np.ndindex(*first.shape):
        at = dict(zip(order, np.unravel_index(first[place], rows.shape[3:]), strict=True))
        slope[place[0], 3 * place[1] + at["r"], 2 * place[2] + at["s"], at["c"]] = 1
    for mine, theirs in zip(got, (flat.max(-1), first, slope), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("how", [interpreted, on_one_thread, on_gpu])
def test_a_condition_leaves_the_order(how):
    i, j = gc.index("i", 5), gc.index("j", 4)
    x, y = gc.tensor("x", 5, 4), gc.tensor("y")
    y[()] = gc.argmax(gc.skip(x)[i - 1, j - 1], over=(j, i))
    data = drawn(np.random.default_rng(8), (5, 4), "float32", 0)
    shifted = np.full((5, 4), -np.inf)
    shifted[1:, 1:] = data[:-1, :-1]
    assert how([y], {"x": data})[0] == shifted.T.argmax()
