"""What a call needs is known before it allocates anything."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gc
from graphc.calls import layout
from graphc.calls.layout import _places as places_of
from graphc.calls.memory import bytes_of
from graphc.runtime.memory import machine_memory

N, D = gc.dims("N D")
i, j, k = gc.indices("i j k")


def square():
    v, outer = gc.tensor("v", N), gc.tensor("outer")
    outer[i, j] = v[i] * v[j]
    return outer


@pytest.mark.parametrize("target", ["cpu", "interpret"])
def test_exact_limit(target):
    """The limit itself is enough, a byte less is not; nothing has to be compiled for a refusal."""
    outer = square()
    v = np.ones(30, "float32")
    with pytest.raises(gc.ArgumentError, match=r"needs 3.6 kB of memory"):
        gc.compile(outer, target=target, memory_limit=3599)(v=v)
    assert gc.compile(outer, target=target, memory_limit=3600)(v=v).shape == (30, 30)


def test_what_is_never_stored_needs_no_memory():
    """But the search for a NaN stores it."""
    v, twice, y = gc.tensor("v", N), gc.tensor("twice"), gc.tensor("y")
    twice[i] = 2 * v[i]
    y[i] = twice[i] + 1
    f = gc.compile(y, memory_limit="1.2 kB")
    assert f(v=np.ones(300, "float32"))[0] == 3
    with pytest.raises(gc.ArgumentError, match=r"2\.4 kB"):
        f.find_nan(v=np.ones(300, "float32"))


def test_updates_in_place_need_no_memory():
    w, new = gc.parameter("w", N, init="ones"), gc.tensor("new")
    new[i] = 2 * w[i]
    step = gc.compile([], updates={w: new}, memory_limit="100 B")
    state = step.init(N=1000)
    step(state)
    assert (state["w"] == 2).all()


def test_offset_tables_count():
    a, b, y = gc.tensor("A", N, D), gc.tensor("B", D, N), gc.tensor("y")
    y[i, k] += a[i, j] * b[j, k]
    with pytest.raises(gc.ArgumentError, match="offset tables of contractions"):
        gc.compile(y, memory_limit=70 * 70 * 4)(A=np.ones((70, 80), "float32"), B=np.ones((80, 70), "float32"))


def test_the_machine_is_the_default():
    memory = machine_memory()
    assert memory is None or 10**8 < memory < 10**15
    v, cube = gc.tensor("v", N), gc.tensor("cube")
    cube[i, j, k] = v[i] * v[j] * v[k]
    if memory is not None:
        with pytest.raises(gc.ArgumentError, match=r"needs 4000 TB of memory for its arrays, but the machine has .*B"):
            gc.compile(cube)(v=np.ones(100_000, "float32"))


def test_sizes_of_every_call_are_looked_at():
    f = gc.compile(square(), target="interpret", memory_limit="1 kB")
    assert f(v=np.ones(15, "float32")).shape == (15, 15)
    for _ in range(2):
        with pytest.raises(gc.ArgumentError, match="memory_limit"):
            f(v=np.ones(17, "float32"))


@pytest.mark.parametrize(("text", "count"), [("2 GiB", 2**31), ("1.5 kb", 1500), ("7", 7), (9, 9), ("3 XB", None), ("-1 GB", None),
                                             (0, None), (-5, None), (True, None), (1.5, None), ("0 GB", None)])
def test_amounts(text, count):
    assert bytes_of(text) == count


def layers(n=64, depth=6):
    """A chain of products with its gradient: U0 → U1 → … → L."""
    h = x = gc.tensor("x", n, n)
    weights = [gc.tensor(f"w{k}", n, n) for k in range(depth)]
    for layer, w in enumerate(weights):
        u, v = gc.tensor(f"u{layer}"), gc.tensor(f"v{layer}")
        u[i, j] += h[i, k] * w[k, j]
        v[i, j] = gc.sin(u[i, j])
        h = v
    L = gc.tensor("L")
    L[()] += h[i, j] ** 2
    return L, [x, *weights]


def test_arrays_that_are_not_needed_at_the_same_time_share_memory(monkeypatch):
    """The adjoint of a layer is not needed when that of the layer before is there."""
    L, inputs = layers()
    f = gc.compile([L, *gc.grad(L, inputs)], threads=2)
    report = f.report()
    block = 4 * 64 * 64
    assert report.arguments == 7 * block
    assert report.results == 7 * block + 4
    assert report.shared >= 4 * block
    assert report.peak == report.arguments + report.results + report.temporaries + report.tables
    random = np.random.default_rng(0)
    arrays = {t.name: random.normal(size=(64, 64)).astype("f") / 8 for t in inputs}
    first = [a.copy() for a in f(arrays)]
    for _ in range(20):
        for a, b in zip(first, f(arrays), strict=True):
            np.testing.assert_array_equal(a, b)
    alone = gc.compile([L, *gc.grad(L, inputs)], threads=1)
    monkeypatch.setattr(layout, "WORTH", 10**9)
    for a, b in zip(first, gc.compile([L, *gc.grad(L, inputs)], threads=2)(arrays), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(first, alone(arrays), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(30))
def test_places_of_arrays_that_live_at_the_same_time_do_not_overlap(seed):
    random = np.random.default_rng(seed)
    bytes_ = {f"t{n}": int(random.integers(0, 3000)) for n in range(30)}
    lives = {name: (int(first), int(first + random.integers(0, 6))) for name in bytes_ for first in [random.integers(0, 20)]}
    places, room = places_of(bytes_, lives)
    for name, start in places.items():
        assert start % 64 == 0
        assert start + bytes_[name] <= room
        for other, there in places.items():
            if other < name and lives[name][0] <= lives[other][1] and lives[other][0] <= lives[name][1]:
                assert start + bytes_[name] <= there or there + bytes_[other] <= start
    most = max(sum(bytes_[n] for n, (first, last) in lives.items() if first <= t <= last) for t in range(30))
    assert most <= room <= 1.6 * most + 30 * 64


def test_a_report_needs_the_sizes():
    v, y = gc.tensor("v", N), gc.tensor("y")
    y[i] = 2 * v[i]
    f = gc.compile(y)
    with pytest.raises(gc.ArgumentError, match="size N is not known"):
        f.report()
    with pytest.raises(gc.ArgumentError, match="no size K"):
        f.report(K=3)
    with pytest.raises(gc.ArgumentError, match="no size"):
        f.report(N=-1)
    f(v=np.ones(10, "f"))
    assert f.report().peak == 80
    assert f.report(N=1000).peak == 8000
    assert "peak" in repr(f.report(N=1000))
