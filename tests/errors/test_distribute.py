"""Programs that cannot be distributed, and ranks that do not fit together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc as gc
from tests.errors.conftest import Rejects
from tests.lockstep import Lockstep, on_ranks

b, a, i = gc.indices("b a i")
N, D = gc.dims("N D")
X = gc.tensor("X", N, D)


def compiled(*outputs: gc.Tensor, **options: Any) -> gc.Program:
    return gc.compile(list(outputs), "interpret", **options)


def summed(power: int = 2) -> gc.Program:
    """A program that can be distributed."""
    w, L = gc.parameter("w", D), gc.tensor("L")
    L[()] = gc.mean(X[b, i] * w[i] ** power, over=(b, i))
    return compiled(L, updates=gc.optim.sgd(L, lr=0.1))


def test_distribute_no_program(rejects: Rejects) -> None:
    with rejects(gc.NotationError):
        gc.distribute(X, None, shard=b)


def test_distribute_no_communicator(rejects: Rejects) -> None:
    with rejects(gc.ArgumentError, call=True):
        gc.distribute(summed(), 4, shard=b)


def test_distribute_no_index(rejects: Rejects) -> None:
    with rejects(gc.NotationError):
        gc.distribute(summed(), None, shard=0)


def test_distribute_unknown_index(rejects: Rejects) -> None:
    with rejects(gc.NotationError):
        gc.distribute(summed(), None, shard="batch")


def test_distribute_unknown_size(rejects: Rejects) -> None:
    with rejects(gc.NotationError):
        gc.distribute(summed(), None, shard=gc.dim("M"))


def test_distribute_parameter(rejects: Rejects) -> None:
    with rejects(gc.NotationError):
        gc.distribute(summed(), None, shard=i)


def test_distribute_one_row(rejects: Rejects) -> None:
    Y = gc.tensor("Y")
    Y[b, i] = X[b, i] - X[0, i]
    with rejects(gc.NotationError):
        gc.distribute(compiled(Y), None, shard=b)


def test_distribute_mirrored_rows(rejects: Rejects) -> None:
    Y = gc.tensor("Y")
    Y[b, i] = X[b, i] - X[N - 1 - b, i]
    with rejects(gc.NotationError):
        gc.distribute(compiled(Y), None, shard=b)


def test_distribute_chosen_rows(rejects: Rejects) -> None:
    Y, order = gc.tensor("Y"), gc.tensor("order", N, dtype="int64")
    Y[b, i] = X[b, i] - X[order[b], i]
    with rejects(gc.NotationError):
        gc.distribute(compiled(Y), None, shard=b)


def test_distribute_pairs_of_rows(rejects: Rejects) -> None:
    S = gc.tensor("S")
    S[b] += (X[b, i] - X[a, i]) ** 2
    with rejects(gc.NotationError):
        gc.distribute(compiled(S), None, shard=b)


def test_distribute_square(rejects: Rejects) -> None:
    K, Y = gc.tensor("K", N, N), gc.tensor("Y")
    Y[b] = K[b, b]
    with rejects(gc.NotationError):
        gc.distribute(compiled(Y), None, shard=b)


def test_distribute_lengths(rejects: Rejects) -> None:
    M = gc.dim("M")
    Z, Y, S = gc.tensor("Z", M), gc.tensor("Y"), gc.tensor("S")
    Y[b, i] = 2 * X[b, i]
    S[b] = Z[b] ** 2
    with rejects(gc.NotationError):
        gc.distribute(compiled(Y, S), None, shard=b)


def test_distribute_written_elsewhere(rejects: Rejects) -> None:
    Y = gc.tensor("Y", 2 * N, D)
    Y[2 * b, i] = X[b, i]
    with rejects(gc.NotationError):
        gc.distribute(compiled(Y), None, shard=b)


def test_distribute_recurrence_along_rows(rejects: Rejects) -> None:
    s = gc.tensor("s")
    s[b, i] = gc.pad(s, 0)[b - 1, i] + X[b, i]
    with rejects(gc.NotationError):
        gc.distribute(compiled(s), None, shard=b)


def test_distribute_recurrence_over_rows(rejects: Rejects) -> None:
    h, start, t = gc.tensor("h"), gc.tensor("start", D), gc.index("t", 5)
    h[-1, i] = start[i]
    h[t, i] = gc.tanh(gc.sum(X[b, i] * h[t - 1, i], over=b))
    with rejects(gc.NotationError):
        gc.distribute(compiled(h), None, shard=b)


def test_distribute_own_reduction(rejects: Rejects) -> None:
    norm, S = gc.reduction("far", lambda x, y: gc.hypot(x, y), 0), gc.tensor("S")
    S[i] = norm(X[b, i], over=b)
    with rejects(gc.NotationError):
        gc.distribute(compiled(S), None, shard=b)


def product(*, logarithms: bool) -> gc.Program:
    """A step that needs the derivative of a product over rows; or of the same product as the message advises to write it."""
    w, p, L = gc.parameter("w", D, init="ones"), *gc.tensors("p L")
    factor = gc.exp(X[b, i]) * w[i]
    p[i] = gc.exp(gc.sum(gc.log(factor), over=b)) if logarithms else gc.prod(factor, over=b)
    L[()] += p[i] ** 2
    return compiled(L, updates=gc.optim.sgd(L, lr=0.01))


@pytest.mark.parametrize("shard", [b, N], ids=["index", "size"])
def test_distribute_derivative_of_a_product(rejects: Rejects, shard: Any) -> None:
    with rejects(gc.NotationError):
        gc.distribute(product(logarithms=False), None, shard=shard)


def test_distribute_logarithms_in_place_of_a_product() -> None:
    x = np.linspace(-1, 1, 8, dtype="float32").reshape(4, 2)
    step, states = product(logarithms=False), []
    states.append(step.init(D=2))
    expected = step(states[0], X=x)

    def work(ranks: Lockstep) -> None:
        distributed = gc.distribute(product(logarithms=True), ranks, shard=b)
        state = distributed.init(D=2)
        np.testing.assert_allclose(distributed(state, X=x[:3] if ranks.rank else x[3:]), expected, rtol=1e-5)
        states.append(state)

    on_two(work)
    assert len(states) == 3
    for state in states[1:]:
        np.testing.assert_allclose(state["w"], states[0]["w"], rtol=1e-5)


def test_distribute_derivative_of_a_product_that_is_not_computed(rejects: Rejects) -> None:
    """Only the rows that the derivative combines are left of it, under other names than the index."""
    q = gc.tensor("q")
    q[()] = gc.log(gc.prod(X[b, i], over=(b, i)))
    dX = gc.grad(q, X)
    with rejects(gc.NotationError):
        gc.distribute(compiled(dX), None, shard=b)


def test_distribute_derivative_of_a_product_within_rows() -> None:
    w, p, S, L = gc.parameter("w", D), *gc.tensors("p S L")
    p[b] = gc.prod(X[b, i] * w[i], over=i)
    S[()] += p[b]
    L[()] = gc.prod(gc.prod(X[b, i], over=i), over=b)
    gc.distribute(compiled(L, updates=gc.optim.sgd(S, lr=0.1)), None, shard=b)


def test_distribute_derivative_of_an_own_reduction(rejects: Rejects) -> None:
    w, norm, S = gc.parameter("w", D), gc.reduction("longest", lambda x, y: gc.hypot(x, y), 0), gc.tensor("S")
    S[()] = norm(X[b, i] * w[i], over=(b, i))
    with rejects(gc.NotationError):
        gc.distribute(compiled(S, updates=gc.optim.sgd(S, lr=0.1)), None, shard=b)


def test_distribute_extremum_with_condition(rejects: Rejects) -> None:
    S, row = gc.tensor("S"), gc.index("row", N)
    S[i] = gc.max(gc.skip(X)[row - 1, i], over=row)
    with rejects(gc.NotationError):
        gc.distribute(compiled(S), None, shard=row)


def test_distribute_vanished_index(rejects: Rejects) -> None:
    S, row = gc.tensor("S"), gc.index("row", N)
    S[i] = gc.sum(X[0, i], over=row)
    with rejects(gc.NotationError, call=True):
        gc.distribute(compiled(S), None, shard=row)


def test_distribute_volume_without_size(rejects: Rejects) -> None:
    with rejects(gc.ArgumentError, call=True):
        gc.distribute(summed(), None, shard=b).volume()


def on_two(work: Any) -> None:
    on_ranks(2, work)


def test_distribute_other_program(rejects: Rejects) -> None:
    with rejects(gc.RankError, call=True):
        on_two(lambda ranks: gc.distribute(summed(2 + ranks.rank), ranks, shard=b))


def test_distribute_other_index(rejects: Rejects) -> None:
    with rejects(gc.RankError, call=True):
        on_two(lambda ranks: gc.distribute(summed(), ranks, shard=b if ranks.rank else "batch"))


def called(ranks: Lockstep, rows: int = 3, columns: int = 2, seed: int = 0, **others: Any) -> None:
    step = gc.distribute(summed(), ranks, shard=b)
    step(step.init(seed, D=columns), X=np.ones((rows, columns), "float32"), **others)


def test_distribute_other_shapes(rejects: Rejects) -> None:
    with rejects(gc.RankError, call=True):
        on_two(lambda ranks: called(ranks, columns=2 + ranks.rank))


def test_distribute_other_parameters(rejects: Rejects) -> None:
    with rejects(gc.RankError, call=True):
        on_two(lambda ranks: called(ranks, seed=ranks.rank))


def test_distribute_wrong_argument_of_one(rejects: Rejects) -> None:
    with rejects(gc.RankError, call=True):
        on_two(lambda ranks: called(ranks, **({"Y": 1} if ranks.rank else {})))


def test_distribute_wrong_argument_of_all(rejects: Rejects) -> None:
    with rejects(gc.ArgumentError, call=True):
        on_two(lambda ranks: called(ranks, Y=1))


def test_distribute_no_rows(rejects: Rejects) -> None:
    S = gc.tensor("S")
    S[i] = gc.max(X[b, i], over=b)
    step = compiled(S)
    with rejects(gc.ArgumentError, call=True):
        on_two(lambda ranks: gc.distribute(step, ranks, shard=b)(X=np.ones((0, 2), "float32")))


def test_distribute_failing_rank(rejects: Rejects) -> None:
    table, row, S = gc.tensor("table", 4), gc.tensor("row", N, dtype="int64"), gc.tensor("S")
    S[()] += table[row[b]]
    step, values = compiled(S), np.ones(4, "float32")
    with rejects(gc.RankError, call=True):
        on_two(lambda ranks: gc.distribute(step, ranks, shard=b)(table=values, row=np.array([0, 3 + ranks.rank])))


def test_distribute_failing_rank_at_the_end(rejects: Rejects) -> None:
    table, row, S = gc.tensor("table", 4), gc.tensor("row", N, dtype="int64"), gc.tensor("S")
    S[b] = table[row[b]]
    step, values = compiled(S), np.ones(4, "float32")
    with rejects(gc.RankError, call=True):
        on_two(lambda ranks: gc.distribute(step, ranks, shard=b)(table=values, row=np.array([0, 3 + ranks.rank])))


def test_distribute_rows_of_two_arrays(rejects: Rejects) -> None:
    Z, Y = gc.tensor("Z", N), gc.tensor("Y")
    Y[b, i] = X[b, i] * Z[b]
    step = gc.distribute(compiled(Y), None, shard=b)
    with rejects(gc.ShapeError, call=True):
        step(X=np.ones((3, 2), "float32"), Z=np.ones(2, "float32"))


def test_distribute_rows_of_all_ranks(rejects: Rejects) -> None:
    Z, S = gc.tensor("Z", 6), gc.tensor("S")
    S[()] += Z[b]
    step = compiled(S)
    with rejects(gc.ShapeError, call=True):
        on_two(lambda ranks: gc.distribute(step, ranks, shard=b)(Z=np.ones(2 + ranks.rank, "float32")))


def test_distribute_volume_of_an_unknown_size(rejects: Rejects) -> None:
    with rejects(gc.ArgumentError, call=True):
        gc.distribute(summed(), None, shard=b).volume(D=4, M=3)


class Null:
    """As MPI.COMM_NULL: false, with the methods of a communicator."""

    Iallreduce = Dup = Is_inter = dict

    def __bool__(self) -> bool:
        return False


def test_distribute_no_ranks(rejects: Rejects) -> None:
    with rejects(gc.ArgumentError, call=True):
        gc.distribute(summed(), Null(), shard=b)
