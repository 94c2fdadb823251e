"""Distributed programs on simulated ranks: the same results as in one process, whatever rows the ranks have."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gc
from tests.lockstep import Lockstep, on_ranks, split
from tests.programs.writer import generate

COUNTS = ([7], [3, 4], [0, 5, 2])

Array = np.ndarray[Any, Any]


def compared(
    step: gc.Program, shard: Any, arrays: Mapping[str, Array], divided: Sequence[str], counts: Sequence[int], state: bool = False,
    calls: int = 2,
) -> list[gc.Distributed]:
    """Call the program in one process and on ranks; results that have rows are put together again."""
    single = step.init(seed=1) if state else {}
    for _ in range(calls):
        wanted = step(single, **arrays) if state else step(**arrays)

    def work(rank: Lockstep) -> tuple[gc.Distributed, Any, Any]:
        distributed = gc.distribute(step, rank, shard=shard)
        own = distributed.init(seed=1) if state else {}
        here = {name: split(a, counts)[rank.rank] if name in divided else a for name, a in arrays.items()}
        for _ in range(calls):
            found = distributed(own, **here) if state else distributed(**here)
        return distributed, found, own

    results = on_ranks(len(counts), work)
    for position, want in enumerate(wanted):
        found = [r[1][position] for r in results]
        rows = np.shape(found[0]) != np.shape(want) or (np.ndim(want) and np.shape(want)[0] == sum(counts) != counts[0])
        np.testing.assert_allclose(np.concatenate(found) if rows else found[0], want, rtol=1e-5, atol=1e-6)
        assert rows or all(np.array_equal(f, found[0], equal_nan=True) for f in found)
    for name, want in single.items():
        np.testing.assert_allclose(results[0][2][name], want, rtol=1e-5, atol=1e-6, err_msg=name)
        assert all(np.array_equal(r[2][name], results[0][2][name]) for r in results), name
    return [r[0] for r in results]


def data(seed: int = 0, rows: int = 7, **shapes: tuple[int, ...]) -> dict[str, Array]:
    random = np.random.default_rng(seed)
    return {name: random.normal(size=(rows, *shape)).astype("float32") for name, shape in shapes.items()}


@pytest.mark.parametrize("counts", COUNTS, ids=str)
def test_perceptron(counts: list[int]) -> None:
    b, i, j = gc.indices("b i j")
    N = gc.dim("N")
    X, T = gc.tensor("X", N, 4), gc.tensor("T", N, 3)
    A, c = gc.parameter("A", 4, 3), gc.parameter("c", 3, init="zeros")
    Y, L = gc.tensors("Y L")
    Y[b, i] = gc.sigmoid(gc.sum(X[b, j] * A[j, i], over=j) + c[i])
    L[()] += (Y[b, i] - T[b, i]) ** 2 / N
    L[()] += 0.01 * A[j, i] ** 2
    step = gc.compile([L, Y], updates=gc.optim.sgd(L, lr=0.1, momentum=0.9))
    found = compared(step, b, data(X=(4,), T=(3,)), ("X", "T"), counts, state=True)
    assert found[0].volume() == 4 * (1 + 12 + 3)


def convolutional(lr: float = 0.05) -> gc.Program:
    """A net with batch norm and dropout."""
    N = gc.dim("N")
    x, labels, key = gc.tensor("X", N, 1, 8, 8), gc.tensor("labels", N, dtype="int64"), gc.tensor("key", (), dtype="int64")
    updates: dict[gc.Tensor, gc.Tensor] = {}
    h = gc.nn.Conv2d(3, 3, name="conv")(x)
    mean, variance = gc.parameter("norm.mean", 3, init="zeros"), gc.parameter("norm.variance", 3, init="ones")
    weight, bias = gc.parameter("norm.weight", 3, init="ones"), gc.parameter("norm.bias", 3, init="zeros")
    h = gc.nn.batch_norm(h, mean, variance, weight, bias, training=True, updates=updates)
    h = gc.nn.max_pool2d(gc.nn.ReLU()(h), 2)
    h = gc.nn.dropout(gc.nn.flatten(h), 0.5, key=key[()])
    loss = gc.nn.cross_entropy(gc.nn.Linear(5, name="fc")(h), labels)
    return gc.compile([loss], updates={**gc.optim.sgd(loss, lr=lr), **updates})


def test_batch_norm_and_dropout() -> None:
    arrays = {**data(X=(1, 8, 8)), "labels": np.arange(7) % 5, "key": np.int64(3)}
    found = compared(convolutional(), gc.dim("N"), arrays, ("X", "labels"), [2, 0, 5], state=True)
    marks = [line.split()[0] for line in str(found[0]).splitlines()]
    assert {"local", "partial", "reduced", "Allreduce"} == set(marks)
    assert marks.count("Allreduce") == 5  # the mean, the variance, the gradients but those of the convolution, two for it


REDUCTIONS = {
    "sum": lambda e, over: gc.sum(e, over=over),
    "mean": lambda e, over: gc.mean(e, over=over),
    "prod": lambda e, over: gc.prod(e, over=over),
    "max": lambda e, over: gc.max(e, over=over),
    "min": lambda e, over: gc.min(e, over=over),
    "argmax": lambda e, over: gc.argmax(e, over=over),
    "argmin": lambda e, over: gc.argmin(e, over=over),
    "logsumexp": lambda e, over: gc.logsumexp(e, over=over),
    "any": lambda e, over: gc.any(e > 1, over=over),
    "all": lambda e, over: gc.all(e > -3, over=over),
}


def test_reductions() -> None:
    b, i = gc.indices("b i")
    N = gc.dim("N")
    X = gc.tensor("X", N, 4)
    outputs = []
    for name, reduce in REDUCTIONS.items():
        one, both = gc.tensor(name), gc.tensor(f"{name}.both")
        one[i] = reduce(X[b, i], b)
        both[()] = reduce(X[b, i] + 0.1 * N, (b, i))
        outputs += [one, both]
    step = gc.compile(outputs)
    arrays = data(X=(4,))
    arrays["X"][5] = arrays["X"][1]  # equal extrema: the first one counts
    for counts in ([3, 4], [0, 5, 2], [1, 1, 1, 4]):
        compared(step, "b", arrays, "X", counts)
    arrays["X"][6, 2] = np.nan
    arrays["X"][0, 1] = -np.inf
    compared(step, "b", arrays, "X", [3, 4])


@pytest.mark.parametrize("target", ["cpu", "interpret"])
def test_extrema_of_ranks_without_rows(target: str) -> None:
    """Also of small integers, and of a range of which a rank has nothing."""
    b, i, inner = *gc.indices("b i"), gc.index("b", 1, 3)
    X, Z = gc.tensor("X", 5, 3, dtype="int8"), gc.tensor("Z", 5, 3)
    outputs = list(gc.tensors("max min argmax inner_max inner_argmin"))
    for y, extremum, value, index in zip(outputs, (gc.max, gc.min, gc.argmax, gc.max, gc.argmin),
                                         (-X[b, i], X[b, i], -X[b, i], Z[inner, i], Z[inner, i]), (b, b, b, inner, inner), strict=True):
        y[i] = extremum(value, over=index)
    arrays = {"X": np.arange(1, 16, dtype="int8").reshape(5, 3), "Z": -data(rows=5, Z=(3,))["Z"] - 9}
    for counts in ([0, 5], [4, 0, 1], [1, 4]):
        compared(gc.compile(outputs, target=target), "b", arrays, ["X", "Z"], counts)


def test_positions_are_those_of_one_process() -> None:
    N = gc.dim("N")
    b, i = gc.index("b", N), gc.index("i")
    X, key = gc.tensor("X", N, 4), gc.tensor("key", (), dtype="int64")
    Y, P, S, first = gc.tensors("Y P S first")
    P[b] = gc.uniform(key[()], b) + b / N
    Y[b, i] = gc.where(b < 3, X[b, i], P[b])
    S[i] += gc.where((b >= 2) & (b + i < N - 1), X[b, i] * (b + i), 0)
    first[b] = gc.where(b % 2 == 0, b // 2, -b)
    arrays = {**data(X=(4,)), "key": np.int64(5)}
    for counts in COUNTS:
        compared(gc.compile([Y, S, first], "interpret"), b, arrays, "X", counts)


def test_an_index_without_an_array_is_divided_too() -> None:
    b = gc.index("b", 1000)
    key, total = gc.tensor("key", (), dtype="int64"), gc.tensor("inside")
    total[()] += gc.where(gc.uniform(key[()], b, 0) ** 2 + gc.uniform(key[()], b, 1) ** 2 < 1, 4.0 / 1000, 0)
    compared(gc.compile([total], "interpret"), b, {"key": np.int64(1)}, (), [0, 0, 0])


def test_tables_that_rows_point_into() -> None:
    b, t, d = gc.indices("b t d")
    N = gc.dim("N")
    token, E, G = gc.tensor("token", N, 2, dtype="int64"), gc.parameter("E", 6, 3, init="normal"), gc.tensor("G", N, 3)
    S, L = gc.tensors("S L")
    S[b, d] += E[token[b, t], d]
    L[()] += (S[b, d] - G[b, d]) ** 2 / N
    arrays = {**data(G=(3,)), "token": np.random.default_rng(2).integers(0, 6, (7, 2))}
    for counts in COUNTS:
        compared(gc.compile([L], "interpret", updates=gc.optim.sgd(L, lr=0.1)), b, arrays, ("token", "G"), counts, state=True)


def test_recurrence_in_time() -> None:
    b, t, i, j = gc.indices("b t i j")
    N = gc.dim("N")
    x, W, h0 = gc.tensor("x", N, 5, 3), gc.parameter("W", 3, 3), gc.tensor("h0", N, 3)
    h, L = gc.tensors("h L")
    h[b, -1, i] = h0[b, i]
    h[b, t, i] = gc.tanh(gc.sum(W[i, j] * h[b, t - 1, j], over=j) + x[b, t, i])
    L[()] = gc.mean(h[b, t, i] ** 2, over=(b, t, i))
    compared(gc.compile([L], "interpret", updates=gc.optim.sgd(L, lr=0.1)), b, data(x=(5, 3), h0=(3,)), ("x", "h0"), [2, 0, 5], state=True)


@pytest.mark.parametrize("counts", [*COUNTS, [1, 1, 1, 1, 3]], ids=str)
def test_rows_of_neighbours(counts: list[int]) -> None:
    b, i = gc.indices("b i")
    N = gc.dim("N")
    X, w = gc.tensor("X", N, 2), gc.parameter("w", 3)
    Y, Z, L = gc.tensors("Y Z L")
    Y[b, i] = gc.pad(X, 0)[b - 1, i] * w[0] + X[b, i] * w[1] + gc.pad(X, 0)[b + 2, i] * w[2]
    Z[b, i] = gc.where(b > 0, gc.pad(Y, 1)[b - 1, i], 2) * Y[b, i]
    L[()] = gc.mean(Z[b, i] ** 2, over=(b, i))
    compared(gc.compile([L, Y, Z], "interpret", updates=gc.optim.sgd(L, lr=0.1)), b, data(X=(2,)), ("X",), counts, state=True)


def test_checkpoints_are_read_by_any_number_of_ranks(tmp_path: Path) -> None:
    b, i = gc.indices("b i")
    X, w, L = gc.tensor("X", gc.dim("N"), 4), gc.parameter("w", 4), gc.tensor("L")
    L[()] = gc.mean((gc.sum(X[b, i] * w[i], over=i) - 1) ** 2, over=b)
    step, arrays, file = gc.compile(L, "interpret", updates=gc.optim.adam(L, lr=0.1)), data(X=(4,)), tmp_path / "run.npz"

    def train(ranks: Lockstep) -> dict[str, Array]:
        distributed = gc.distribute(step, ranks, shard=b)
        state = dict(np.load(file)) if file.exists() else distributed.init(seed=1)
        for _ in range(2):
            distributed(state, X=np.array_split(arrays["X"], ranks.size)[ranks.rank])
        return state

    np.savez(file, **on_ranks(2, train)[0])
    found, single = on_ranks(3, train), step.init(seed=1)
    for _ in range(4):
        step(single, **arrays)
    for name, want in single.items():
        np.testing.assert_allclose(found[2][name], want, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("ties", ["first", "split"])
def test_gradients_of_extrema(ties: str) -> None:
    b, i = gc.indices("b i")
    X, w, M, L = gc.tensor("X", gc.dim("N"), 4), gc.parameter("w", 4), *gc.tensors("M L")
    M[i] = gc.max(X[b, i] * w[i], over=b, ties=ties)
    L[()] += M[i] ** 2
    arrays = data(X=(4,))
    arrays["X"][6] = arrays["X"].max(axis=0)
    arrays["X"][2] = arrays["X"].max(axis=0)
    compared(gc.compile([L], "interpret", updates=gc.optim.sgd(L, lr=0.1)), b, arrays, ("X",), [3, 4], state=True)


@pytest.mark.parametrize("target", ["interpret", "cpu"])
def test_updates_that_are_sums_over_rows(target: str) -> None:
    b, i = gc.indices("b i")
    X, total, last = gc.tensor("X", gc.dim("N"), 4), gc.tensor("total", 4), gc.tensor("last", 4)
    count = gc.tensor("count", (), dtype="int64")
    more, counted, these, out = gc.tensors("more counted these out")
    more[i] += total[i]
    more[i] += X[b, i]
    counted[()] += count[()]
    counted[()] += gc.where(X[b, 0] > 0, 1, 0)
    these[i] += X[b, i]
    out[b] = X[b, 0] * total[0]
    step = gc.compile([out, total], target, updates={total: more, count: counted, last: these})
    compared(step, b, data(X=(4,)), ("X",), [0, 3, 4], state=True)


def test_many_sizes() -> None:
    b, i = gc.indices("b i")
    X, S = gc.tensor("X", gc.dim("N"), 2), gc.tensor("S")
    S[i] = gc.mean(X[b, i], over=b)
    distributed = gc.distribute(gc.compile(S), None, shard=b)
    for rows in [*range(1, 20), 1, 2, 19]:
        X_ = data(rows=rows, X=(2,))["X"]
        np.testing.assert_allclose(distributed(X=X_), X_.mean(axis=0), rtol=1e-5, atol=1e-6)
    assert len(distributed._plans) <= 8


def test_literal_sizes() -> None:
    b, i = gc.indices("b i")
    X, S = gc.tensor("X", 7, 2), gc.tensor("S")
    S[i] = gc.mean(X[b, i], over=b)
    compared(gc.compile([S], "interpret"), b, data(X=(2,)), "X", [3, 4])


def test_large_results_leave_early() -> None:
    b, i, j, k = gc.indices("b i j k")
    N = gc.dim("N")
    X = gc.tensor("X", N, 300)
    A, B = gc.parameter("A", 300, 300), gc.parameter("B", 300, 300)
    H, Y, L = gc.tensors("H Y L")
    H[b, i] = gc.tanh(gc.sum(X[b, j] * A[j, i], over=j))
    Y[b, k] += H[b, i] * B[i, k]
    L[()] = gc.mean(Y[b, k] ** 2, over=(b, k))
    step = gc.compile([L], "interpret", updates=gc.optim.sgd(L, lr=0.1))
    for overlap, exchanges in ((True, [{"L.sum", "B.grad"}, {"A.grad"}]), (False, [{"L.sum", "B.grad", "A.grad"}])):
        lines = str(gc.distribute(step, None, shard=b, overlap=overlap)).splitlines()
        assert [set(line.split(":  ")[1].split(", ")) for line in lines if line.startswith("Allreduce")] == exchanges


def of_index(name: str, program: gc.Program) -> gc.Distributed | None:
    """The program for a process alone; None if its rows cannot be divided along the index."""
    try:
        return gc.distribute(program, None, shard=name)
    except gc.NotationError:
        return None


@pytest.mark.parametrize("seeds", [range(start, start + 12) for start in (0, 12, 24)], ids=str)
def test_random_programs(seeds: range) -> None:
    """Every index of every program along which it can be divided, values and gradients."""
    divided = 0
    for seed in seeds:
        program = generate(seed)
        names = program.build()
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            outputs = [names["L"], *(gc.grad(names["L"], [names[n] for n in program.float_inputs()]) if seed % 2 else [])]
            step = gc.compile(outputs, "interpret", precision="float64")
            arrays = {n: a.astype("float64") if a.dtype.kind == "f" else a for n, a in program.typed().items() if n in step.inputs}
            wanted = step(**arrays)
            for name in {str(r.index).split("@")[0]: None for s in step.graph.statements for r in s.ranges}:
                single = of_index(name, step)
                if single is None:
                    continue
                divided += 1
                rows = next((arrays[n].shape[d] for n, d in single.divided.items() if n in arrays), 0)
                cut = min(seed % 4, rows)
                found = on_ranks(2, partial(on_rank, step, name, arrays, single.divided, [cut, rows - cut]))
                for position, output in enumerate(step.signature.outputs):
                    parts = [f[position] for f in found]
                    whole = np.concatenate(parts, single.divided[output]) if output in single.divided else parts[0]
                    np.testing.assert_allclose(whole, wanted[position], rtol=1e-9, atol=1e-9, err_msg=f"seed {seed}, {name}, {output}")
    assert divided > 5


def on_rank(
    step: gc.Program, name: str, arrays: Mapping[str, Array], divided: Mapping[str, int], counts: list[int], ranks: Lockstep
) -> list[Array]:
    distributed = gc.distribute(step, ranks, shard=name)
    return distributed(**{n: split(a, counts, divided[n])[ranks.rank] if n in divided else a for n, a in arrays.items()})
