"""Contractions agree with NumPy through any tables, touch nothing else, divide among threads, and are cached."""

import ctypes
import mmap
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import njit
from numba.core.errors import TypingError

from graphc.kernels import contraction, tile
from graphc.kernels.choice import DIRECT, INNER, PACKED, TRANSPOSED, WAYS, Choice, cache_bytes, estimated
from graphc.kernels.contraction import contract

SIZES = (0, 1, 2, 3, 5, 6, 7, 15, 16, 17, 63, 64, 65)
DTYPES = ("float32", "float64")
TOLERANCE = {"float32": 2e-6, "float64": 4e-15}
Tables = tuple[Any, Any, Any, Any]


@njit
def call_as(me, team, C, A, B, batch, rows, columns, depth, choice, accumulate, scale):  # type: ignore[no-untyped-def]
    contract(me, team, C, A, B, batch, rows, columns, depth, choice, accumulate, scale)


def call(me: int, team: int, C: Any, A: Any, B: Any, *rest: Any) -> None:
    """The contraction as the estimate wants it."""
    *tables, accumulate, scale = rest
    call_as(me, team, C, A, B, *tables, estimated(tables, C.itemsize).numbers(), accumulate, scale)


def table(*offsets: Any) -> Any:
    """A table of offsets from arrays of any (equal) shape."""
    return np.ascontiguousarray([np.asarray(each, np.int64).ravel() for each in offsets])


def grid(**strides: tuple[int, int]) -> Any:
    """The sums of index times stride over all combinations of indices; ``name=(extent, stride)``, last fastest."""
    total = np.zeros((), np.int64)
    for extent, stride in strides.values():
        total = total[..., None] + stride * np.arange(extent)
    return total


def reference(C: Any, A: Any, B: Any, tables: Tables, accumulate: bool, scale: float) -> tuple[Any, Any]:
    """The result in float64, and for each element a bound of the size of what is summed."""
    batch, rows, columns, depth = tables
    left = A.ravel()[batch[1][:, None, None] + rows[1][:, None] + depth[0]].astype(np.float64)
    right = B.ravel()[batch[2][:, None, None] + depth[1][:, None] + columns[1]].astype(np.float64)
    where = batch[0][:, None, None] + rows[0][:, None] + columns[0]
    result, size = C.ravel().astype(np.float64), np.zeros(C.size)
    result[where] = scale * (left @ right) + (result[where] if accumulate else 0)
    size[where] = abs(scale) * (np.abs(left) @ np.abs(right)) + np.abs(result[where])
    return result.reshape(C.shape), size.reshape(C.shape)


def check(
    C: Any, A: Any, B: Any, tables: Tables, accumulate: bool = False, scale: float = 1.0, team: int = 1, choice: Choice | None = None
) -> None:
    """One contraction, by all members of a team one after the other, against the reference."""
    expected, size = reference(C, A, B, tables, accumulate, scale)
    chosen = choice or estimated(tables, C.itemsize)
    numbers = chosen.numbers(tables, C.itemsize) if C.size % 2 else chosen.numbers()  # with or without where vectors begin
    for me in range(team):
        call_as(me, team, C, A, B, *tables, numbers, accumulate, scale)
    tolerance = TOLERANCE[C.dtype.name] * max(1, tables[3].shape[1]) ** 0.5
    error = np.abs(C - expected) - tolerance * size
    assert not (error > 0).any(), f"{(error > 0).sum()} of {C.size} wrong"
    np.testing.assert_array_equal(np.isnan(C), np.isnan(expected))


def random(shape: Any, dtype: str, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def product(groups: int, m: int, n: int, k: int, layout: str) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], Tables]:
    """Shapes and tables of a batched matrix product; `layout` says which of C, A, B is stored transposed."""
    strides = {name: (1, rows) if name in layout else (columns, 1) for name, rows, columns in (("C", m, n), ("A", m, k), ("B", k, n))}
    g, i, j, r = (np.arange(extent) for extent in (groups, m, n, k))
    tables = (
        table(g * m * n, g * m * k, g * k * n),
        table(i * strides["C"][0], i * strides["A"][0]),
        table(j * strides["C"][1], j * strides["B"][1]),
        table(r * strides["A"][1], r * strides["B"][0]),
    )
    return (groups, m, n), (groups, m, k), (groups, k, n), tables


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["", "A", "B", "AB", "C", "BC"])
def test_products_of_odd_sizes(layout: str, dtype: str) -> None:
    generator = np.random.default_rng(1)
    sizes = [(m, n, k) for m in SIZES for n in SIZES for k in SIZES]
    chosen = [sizes[i] for i in generator.choice(len(sizes), 150, replace=False)]
    for m, n, k in [*chosen, (65, 65, 65), (1, 1, 1), (3, 0, 2), (0, 3, 2), (3, 2, 0), (7, 70, 600), (1, 1, 5000), (20, 3, 3000)]:
        c_shape, a_shape, b_shape, tables = product(2, m, n, k, layout)
        check(random(c_shape, dtype, 3), random(a_shape, dtype, 1), random(b_shape, dtype, 2), tables, bool(m % 2), 1.0 + n % 3, 1 + k % 3)


CHOICES = [Choice(way, block, tiles, exchanged) for way in WAYS for block, tiles in ((384, 1), (40, 3)) for exchanged in (False, True)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("choice", CHOICES, ids=repr)
def test_any_choice_computes_the_same(choice: Choice, dtype: str) -> None:
    """Products in all layouts and convolutions of odd sizes, empty ones too, by several members."""
    generator = np.random.default_rng(2)
    cases = [product(2, *map(int, generator.choice(SIZES, 3)), layout) for layout in ("", "A", "B", "AB", "C", "BC") for _ in range(3)]
    cases += [product(1, 13, 300, 97, ""), product(1, 70, 11, 0, ""), product(1, 203, 6, 2600, "B")]
    cases += [convolution(2, 3, 5, 7, 9, 3)[part] for part in ("forward", "weights")]
    for k, (c_shape, a_shape, b_shape, tables) in enumerate(cases):
        C, A, B = random(c_shape, dtype, 3), random(a_shape, dtype, 1), random(b_shape, dtype, 2)
        check(C, A, B, tables, bool(k % 2), 1.0 + k % 3, 1 + k % 3, choice)


@pytest.mark.parametrize(
    "sizes, layout, way",
    [((20, 50, 300), "", DIRECT), ((64, 1024, 1024), "", PACKED), ((512, 512, 512), "", PACKED), ((512, 512, 512), "B", TRANSPOSED),
     ((2, 3, 5000), "B", INNER)],
)
def test_the_estimate_follows_sizes_and_strides(sizes: tuple[int, int, int], layout: str, way: int) -> None:
    assert estimated(product(1, *sizes, layout)[3], 4).way == way


def test_the_estimate_exchanges_factors() -> None:
    """A large second factor is not copied for few rows if the results that are scattered then are few for their sums."""
    straight, exchanged = (estimated(product(1, 64, n, k, "B")[3], 4) for n, k in ((3000, 100), (1000, 1000)))
    assert (straight.exchanged, exchanged.exchanged) == (False, True)


def test_tiles_lie_beside_each_other_where_the_first_factor_is_large() -> None:
    rows = cache_bytes() // (4 * 4 * 64)
    assert [estimated(product(1, m, 900, 64, "")[3], 4).tiles for m in (rows - 1, rows)] == [1, 4]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("accumulate", [False, True])
def test_empty_sums_write_zeros_or_nothing(accumulate: bool, dtype: str) -> None:
    c_shape, a_shape, b_shape, tables = product(3, 9, 20, 0, "")
    C = random(c_shape, dtype)
    before = C.copy()
    check(C, random(a_shape, dtype), random(b_shape, dtype), tables, accumulate)
    np.testing.assert_array_equal(C, before if accumulate else 0)


def convolution(batch: int, c: int, f: int, y: int, x: int, r: int) -> dict[str, tuple[Any, Any, Any, Tables]]:
    """Shapes and tables of the three products of ``Y[b,f,y,x] += X[b,c,y+r,x+s]*W[f,c,r,s]``; X is padded already."""
    h, w = y + r - 1, x + r - 1
    X, W, Y = (batch, c, h, w), (f, c, r, r), (batch, f, y, x)
    b, filters = np.arange(batch), np.arange(f)
    pixels, in_pixels = grid(y=(y, x), x=(x, 1)), grid(y=(y, w), x=(x, 1))
    taps, in_taps = grid(c=(c, r * r), r=(r, r), s=(r, 1)), grid(c=(c, h * w), r=(r, w), s=(r, 1))
    forward = (table(b * f * y * x, b * 0, b * c * h * w), table(filters * y * x, filters * c * r * r), table(pixels, in_pixels))
    weights_depth = grid(b=(batch, f * y * x), y=(y, x), x=(x, 1)), grid(b=(batch, c * h * w), y=(y, w), x=(x, 1))
    weights = (table([0], [0], [0]), table(filters * c * r * r, filters * y * x), table(taps, in_taps), table(*weights_depth))
    return {"forward": (Y, W, X, (*forward, table(taps, in_taps))), "weights": (W, Y, X, weights)}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("part", ["forward", "weights"])
@pytest.mark.parametrize(
    "sizes", [(2, 1, 20, 28, 28, 5), (3, 5, 7, 14, 14, 5), (2, 3, 4, 6, 7, 3), (1, 2, 3, 1, 1, 1), (2, 3, 50, 9, 33, 2)]
)
def test_convolutions(sizes: tuple[int, ...], part: str, dtype: str) -> None:
    c_shape, a_shape, b_shape, tables = convolution(*sizes)[part]
    for accumulate in False, True:
        check(random(c_shape, dtype, 3), random(a_shape, dtype, 1), random(b_shape, dtype, 2), tables, accumulate, 0.5, 2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(40))
def test_any_tables(seed: int, dtype: str) -> None:
    """Offsets without order, repeated, with runs; results anywhere."""
    generator = np.random.default_rng(seed)
    groups, m, n, k = (int(generator.integers(1, limit)) for limit in (4, 30, 90, 400 if seed % 4 else 30))

    def offsets(count: int) -> Any:
        kind = generator.integers(4)
        if kind == 0:
            return np.zeros(count, np.int64)
        if kind == 1:
            return np.arange(count) * generator.integers(1, 4)
        if kind == 2:
            return np.arange(count) + 3 * (np.arange(count) // generator.integers(1, 40))
        return generator.integers(0, 500, count)

    order = [np.arange(count) for count in (groups, m, n)]
    if seed % 2:
        order = [generator.permutation(each) for each in order]
    batch, rows = table(order[0] * m * n, offsets(groups), offsets(groups)), table(order[1] * n, offsets(m))
    columns, depth = table(order[2], offsets(n)), table(offsets(k), offsets(k))
    check(
        random(groups * m * n, dtype, 3),
        random(4000, dtype, 1),
        random(4000, dtype, 2),
        (batch, rows, columns, depth),
        bool(seed % 3),
        -1.5,
        3,
    )


@pytest.mark.parametrize("layout", ["", "A", "B", "AB", "C"])
@pytest.mark.parametrize("special", [np.nan, np.inf])
def test_specials_propagate_to_their_results_only(special: float, layout: str) -> None:
    c_shape, a_shape, b_shape, tables = product(1, 13, 37, 300, layout)
    A, B = random(a_shape, "float32", 1), random(b_shape, "float32", 2)
    A.ravel()[tables[1][1][7] + tables[3][0][290]] = special
    B.ravel()[tables[2][1][36] + tables[3][1][3]] = special
    C = np.zeros(c_shape, "float32")
    call(0, 1, C, A, B, *tables, False, 1.0)
    bad = ~np.isfinite(C.ravel()[tables[1][0][:, None] + tables[2][0]])
    expected = np.zeros((13, 37), bool)
    expected[7, :] = expected[:, 36] = True
    np.testing.assert_array_equal(bad, expected)
    A[:] = 0
    call(0, 1, C, A, B, *tables, False, 1.0)
    assert np.isnan(C.ravel()[tables[1][0] + tables[2][0][36]]).all(), "0 * special is nan"


@pytest.mark.parametrize("team", [1, 2, 3, 7])
def test_each_result_belongs_to_exactly_one_member(team: int) -> None:
    for groups, m, n, k, layout in [(1, 20, 25, 9, ""), (3, 7, 130, 5, ""), (5, 1, 1, 3, ""), (1, 64, 10, 700, "B"), (2, 13, 40, 20, "C")]:
        c_shape, a_shape, b_shape, tables = product(groups, m, n, k, layout)
        A, B, owners = np.ones(a_shape, "float32"), np.ones(b_shape, "float32"), np.zeros(c_shape, "float32")
        for me in range(team):
            mine = np.zeros(c_shape, "float32")
            call(me, team, mine, A, B, *tables, True, 1.0)
            assert np.isin(mine, (0, k)).all()
            owners += mine
        np.testing.assert_array_equal(owners, k)


def guarded(shape: tuple[int, ...], dtype: str, keep: list[Any]) -> Any:
    """A zeroed array that ends where an inaccessible page begins."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    pages = -(-size // mmap.PAGESIZE)
    memory = mmap.mmap(-1, (pages + 1) * mmap.PAGESIZE)
    keep.append(memory)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(address + pages * mmap.PAGESIZE), mmap.PAGESIZE, 0) == 0
    return np.frombuffer(memory, dtype, int(np.prod(shape)), pages * mmap.PAGESIZE - size).reshape(shape)


@pytest.mark.skipif(sys.platform != "linux", reason="needs mprotect")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["", "A", "B", "AB", "C"])
def test_reads_and_writes_nothing_beyond_its_arrays(layout: str, dtype: str) -> None:
    keep: list[Any] = []
    for m, n, k in [(7, 19, 5), (1, 1, 1), (6, 64, 33), (5, 65, 300), (64, 3, 70), (3, 33, 1000)]:
        c_shape, a_shape, b_shape, tables = product(1, m, n, k, layout)
        C, A, B = (guarded(shape, dtype, keep) for shape in (c_shape, a_shape, b_shape))
        A[:], B[:] = random(a_shape, dtype, 1), random(b_shape, dtype, 2)
        check(C, A, B, tables)


@pytest.mark.parametrize("dtype", DTYPES)
def test_writes_only_the_results(dtype: str) -> None:
    """A block of rows and columns inside a larger array: everything around it keeps its value."""
    for m, n, k in [(7, 19, 5), (6, 64, 40), (13, 70, 300)]:
        _, a_shape, b_shape, (_, rows, columns, depth) = product(1, m, n, k, "")
        C = np.full((m + 6, n + 11), 7.0, dtype)
        tables = table([3 * (n + 11) + 5], [0], [0]), table(np.arange(m) * (n + 11), rows[1]), columns, depth
        check(C, random(a_shape, dtype, 1), random(b_shape, dtype, 2), tables)
        C[3 : 3 + m, 5 : 5 + n] = 7
        assert (C == 7).all()


def test_long_sums_keep_their_digits() -> None:
    c_shape, a_shape, b_shape, tables = product(1, 2, 3, 100_000, "")
    C, A, B = np.zeros(c_shape, "float32"), np.full(a_shape, 0.1, "float32"), np.ones(b_shape, "float32")
    call(0, 1, C, A, B, *tables, False, 1.0)
    np.testing.assert_allclose(C, 1e5 * np.float64(np.float32(0.1)), rtol=2e-5)


def test_refuses_other_types() -> None:
    good = np.zeros((4, 4))
    tables = [np.zeros((rows, 1), np.int64) for rows in (3, 2, 2, 2)]
    frozen = good.copy()
    frozen.flags.writeable = False
    bad: list[list[Any]] = [
        [good.astype("float32"), good, good, *tables],
        [good.astype("int64")] * 3 + tables,
        [good, np.zeros((4, 8))[:, ::2], good, *tables],
        [frozen, good, good, *tables],
        [good, good, good, tables[0].astype(np.int32), *tables[1:]],
        [good, good, good, np.zeros(3, np.int64), *tables[1:]],
    ]
    choice = Choice(DIRECT).numbers()
    for arguments in bad:
        with pytest.raises(TypingError, match="contract"):
            call_as(0, 1, *arguments, choice, False, 1.0)
    call_as(0, 1, good, frozen, frozen, *tables, choice, False, 1.0)


@pytest.mark.parametrize("simd", [bits for bits in (128, 256) if bits < tile.SIMD])
def test_narrower_vectors(simd: int) -> None:
    """The tests of this file once more, with vectors this machine would not choose."""
    if "GRAPHC_SIMD" in os.environ:
        pytest.skip("already chosen")
    chosen = "not narrower and not cached" + (" and not float64 and not refuses" if simd == 128 else "")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", chosen, __file__]
    run = subprocess.run(command, env=os.environ | {"GRAPHC_SIMD": str(simd)}, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout


CALLER = """
from numba import njit
from graphc.kernels.contraction import contract
@njit(cache=True)
def call(C, A, B, batch, rows, columns, depth, choice):
    contract(0, 1, C, A, B, batch, rows, columns, depth, choice, False, 1.0)
"""
PROGRAM = """
import sys
import numpy as np
from graphc.kernels import contraction
import generated
tables = [np.zeros((rows, 1), np.int64) for rows in (3, 2, 2, 2)] + [np.ones((1, 4), np.int64)]
C, A, B = np.zeros((1, 1)), np.full((1, 1), 3.0), np.full((1, 1), 7.0)
if sys.argv[1] == "ready":
    contraction.load("float64")
try:
    generated.call(C, A, B, *tables)
    print(int(C[0, 0]), sum(generated.call.stats.cache_hits.values()))
except RuntimeError as error:
    print(error)
"""


def test_cached_callers_find_the_engine(tmp_path: Path) -> None:
    (tmp_path / "generated.py").write_text(CALLER)
    path = os.pathsep.join([str(tmp_path), str(Path(contraction.__file__).parents[2])])

    def answer(state: str) -> str:
        run = subprocess.run([sys.executable, "-c", PROGRAM, state], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        return run.stdout.strip()

    assert answer("unready") == "21 0", "compiling the caller makes the engine ready"
    assert answer("ready") == "21 1"
    assert "load('float64')" in answer("unready"), "a cached caller must ask for the engine"
