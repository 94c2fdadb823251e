"""What a call needs is known before it allocates anything."""

from __future__ import annotations

import numpy as np
import pytest

import graphc as gc
from graphc.memory import bytes_of
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
