"""Large results reuse memory that nobody holds, and only that."""

from __future__ import annotations

import threading

import numpy as np

import graphc as gc
from graphc.runtime.results import LARGE, Results

N = gc.dim("N")
COUNT = LARGE // 4


def doubled():
    x, y, i = gc.tensor("x", N), gc.tensor("y"), gc.index("i")
    y[i] = 2 * x[i]
    return gc.compile(y)


def place(array):
    return array.__array_interface__["data"][0]


def test_what_the_user_holds_is_not_used_again():
    f = doubled()
    results = [f(x=np.full(COUNT, n, "f")) for n in range(4)]
    part = f(x=np.full(COUNT, 9, "f"))[5:7]
    assert len({place(r) for r in results}) == 4
    for _ in range(3):
        f(x=np.zeros(COUNT, "f"))
    assert [float(r[-1]) for r in results] == [0, 2, 4, 6]
    assert part.tolist() == [18, 18]


def test_what_nobody_holds_is_used_again():
    results = Results()
    first = results.new("y", (COUNT,), "float32")
    where = place(first)
    second = results.new("y", (COUNT,), "float32")
    assert place(second) != where
    del first
    third = results.new("y", (COUNT,), "float32")
    assert place(third) == where
    both = {where, place(second)}
    del second, third
    assert place(results.new("y", (COUNT,), "float32")) in both
    assert len(results._kept["y"]) == 1


def test_other_shapes_and_small_arrays_are_new():
    results = Results()
    large = results.new("y", (COUNT,), "float32")
    where = place(large)
    del large
    other = results.new("y", (COUNT // 4, 8), "float32")
    assert other.shape == (COUNT // 4, 8)
    assert len(results._kept["y"]) == 1
    assert results.new("z", (3,), "int64").base is None
    assert "z" not in results._kept
    del other
    assert results.new("y", (COUNT,), "float32").dtype == "float32"
    assert where


def test_several_threads_get_different_arrays():
    f, found = doubled(), {}
    arrays = [np.full(COUNT, n, "f") for n in range(6)]
    f(x=arrays[0])

    def run(n):
        found[n] = [f(x=arrays[n]) for _ in range(5)]

    threads = [threading.Thread(target=run, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n, results in found.items():
        assert all((r == 2 * n).all() for r in results)
    assert len({place(r) for results in found.values() for r in results}) == 30
